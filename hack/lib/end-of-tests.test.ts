import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const TESTS = 2000;

test("a file that does not end by itself is ended after its last hook, and each of its tests counts", () => {
  const folder = mkdtempSync(join(tmpdir(), "kubits-end-of-tests-"));
  try {
    writeFileSync(
      join(folder, "hanging.test.mjs"),
      `import { createServer } from "node:http";
       import { after, test } from "node:test";
       after(() => new Promise((resolve) => setTimeout(resolve, 6000)));
       after(() => console.log("the last hook has run"));
       createServer().listen(0, "127.0.0.1");
       for (let n = 0; n < ${TESTS}; n++) test(\`\${n} \${"of many ".repeat(50)}\`, () => {});
       test("one that fails", () => { throw new Error("as it should"); });`,
    );
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { stdout } = spawnSync(
      join(import.meta.dirname, "../node"),
      [
        "--test",
        "--test-reporter=spec",
        "--test-reporter-destination=stdout",
        `--test-reporter=${join(import.meta.dirname, "count-reporter.ts")}`,
        `--test-reporter-destination=${join(folder, "counts.json")}`,
        `--import=${join(import.meta.dirname, "end-of-tests.ts")}`,
        "hanging.test.mjs",
      ],
      { cwd: folder, env, encoding: "utf8", timeout: 120_000, killSignal: "SIGKILL" },
    );
    const { passed, failed } = JSON.parse(readFileSync(join(folder, "counts.json"), "utf8")) as Record<string, number>;
    assert.deepEqual({ passed, failed }, { passed: TESTS, failed: 1 });
    assert.match(stdout, /the last hook has run/u);
    assert.match(stdout, /hanging\.test\.mjs does not end by itself: .*TCPServerWrap/u);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
