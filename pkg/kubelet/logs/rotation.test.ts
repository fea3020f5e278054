import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { RuntimeError } from "../cri/runtime.ts";
import type { Runtime } from "../cri/runtime.ts";
import type { ObservedContainer } from "../pod/observed.ts";
import { bytesRead } from "../testing/bytes-read.ts";
import { LogRotation } from "./rotation.ts";

const GB = 2 ** 30;
const signal = AbortSignal.timeout(60_000);
let directory: string;
let logPath: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "kubelet-rotation-"));
  await mkdir(join(directory, "c"));
  logPath = join(directory, "c", "0.log");
});
afterEach(() => rm(directory, { recursive: true }));

const container = (): ObservedContainer =>
  ({
    id: "1",
    state: "Running",
    metadata: { name: "c", attempt: 0 },
    labels: {},
    logPath,
  }) as unknown as ObservedContainer;

/** A runtime that opens the log again, as a new file, or cannot. */
function rotation(clock: FakeClock, reopen: () => Promise<void> = () => writeFile(logPath, "")) {
  const runtime = { rotatesLogs: false, reopenContainerLog: reopen } as unknown as Runtime;
  return new LogRotation({ runtime, clock, log: silentLogger, maxBytes: 1000, maxFiles: 3, linkDirectory: directory });
}
const files = async () => (await readdir(join(directory, "c"))).sort();

test("a log that is too large makes room for a new one; the newest stays as it is, older ones are compressed, few are kept", async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1));
  const rotate = rotation(clock);
  await writeFile(logPath, "small");
  await rotate.rotate([container()], signal);
  assert.deepEqual(await files(), ["0.log"]);
  for (const letter of ["a", "b", "c", "d"]) {
    await writeFile(logPath, letter.repeat(1000));
    await rotate.rotate([container()], signal);
    await clock.advance(10_000);
  }
  assert.deepEqual(await files(), ["0.log", "0.log.20260101-000020.gz", "0.log.20260101-000030"]);
  assert.equal((await readFile(join(directory, "c", "0.log.20260101-000030"), "utf8"))[0], "d");
  assert.equal(gunzipSync(await readFile(join(directory, "c", "0.log.20260101-000020.gz"))).toString()[0], "c");
});

test("a log of ten gigabytes is put aside at once, without being read", async () => {
  await writeFile(logPath, "");
  await truncate(logPath, 10 * GB);
  const before = bytesRead();
  await rotation(new FakeClock()).rotate([container()], signal);
  assert.ok(bytesRead() - before < GB);
  assert.equal((await files()).length, 2);
  assert.equal((await readFile(logPath)).length, 0);
});

test("where the runtime cannot open the log again, it keeps its name", async () => {
  await writeFile(logPath, "x".repeat(1000));
  const refuse = () => Promise.reject(new RuntimeError("Unavailable", "away"));
  await rotation(new FakeClock(), refuse).rotate([container()], signal);
  assert.deepEqual(await files(), ["0.log"]);
});

test("a link in the place of a log is neither followed nor rotated", async () => {
  const secret = join(directory, "secret");
  await writeFile(secret, "x".repeat(5000));
  await symlink(secret, logPath);
  await rotation(new FakeClock()).rotate([container()], signal);
  assert.deepEqual(await files(), ["0.log"]);
  await rm(logPath);
  await symlink(secret, `${logPath}.20250101-000000`);
  await writeFile(logPath, "y".repeat(1000));
  await rotation(new FakeClock()).rotate([container()], signal);
  assert.ok(!(await files()).some((name) => name.endsWith(".gz")));
  assert.equal((await readFile(secret)).length, 5000);
});
