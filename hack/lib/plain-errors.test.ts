import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test } from "node:test";
import { fetchPackage } from "./images/oci.ts";
import { withPlainErrors } from "./plain-errors.ts";

test("a package that there is none of is named in a sentence, and nothing of the attempt stays", async () => {
  const cache = await mkdtemp(join(tmpdir(), "plain-errors-"));
  const printed = mock.method(console, "error", () => undefined);
  const before = process.exitCode;
  try {
    await withPlainErrors("hack/lab", async () => void (await fetchPackage("no-such-package-of-debian", cache)));
    assert.equal(process.exitCode, 1);
    const text = String(printed.mock.calls[0]?.arguments);
    assert.match(text, /^hack\/lab: cannot download the Debian package no-such-package-of-debian: /);
    assert.deepEqual(await readdir(join(cache, "debs")), []);
    await assert.rejects(
      withPlainErrors("hack/lab", () => Promise.reject(new TypeError("ours"))),
      TypeError,
    );
  } finally {
    process.exitCode = before;
    printed.mock.restore();
    await rm(cache, { recursive: true });
  }
});
