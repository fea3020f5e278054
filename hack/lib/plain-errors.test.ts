import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test } from "node:test";
import { fetchPackage } from "./images/oci.ts";
import { parseCommandLine, withPlainErrors } from "./plain-errors.ts";

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

test("an option that there is none of ends the program with a sentence", () => {
  const printed = mock.method(console, "error", () => undefined);
  const exit = mock.method(process, "exit", (code: number) => {
    throw new Error(`exit ${code}`);
  });
  try {
    const parse = (args: string[]) =>
      parseCommandLine("hack/lab", { args, options: { nodes: { type: "string" } }, allowPositionals: false });
    assert.equal(parse(["--nodes", "2"]).values.nodes, "2");
    for (const [args, pattern] of [
      [["--node=2"], /^hack\/lab: Unknown option '--node'; "hack\/lab --help" lists what there is$/],
      [["--nodes"], /^hack\/lab: Option '--nodes <value>' argument missing; /],
      [["stray"], /^hack\/lab: Unexpected argument 'stray'/],
    ] as const) {
      assert.throws(() => parse([...args]), /exit 2/);
      assert.match(String(printed.mock.calls.at(-1)?.arguments), pattern);
    }
  } finally {
    printed.mock.restore();
    exit.mock.restore();
  }
});
