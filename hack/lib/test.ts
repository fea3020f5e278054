import { type StdioOptions, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, globSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { buildPrograms } from "./cluster.ts";
import type { TestCounts } from "./count-reporter.ts";
import { Lab, type LabOptions } from "./lab.ts";
import { DEFAULT_DATA_DIR, layoutOf } from "./layout.ts";
import { shareNetns } from "./netns.ts";
import { newestContainerd } from "./sid.ts";

const root = join(import.meta.dirname, "../..");
const known = ["check", "unit", "sid", "e2e"];
/** More files than these do not fail by chance. */
const MOST_FILES_AGAIN = 3;
const chosen = process.argv.length > 2 ? process.argv.slice(2) : known;
const unknown = chosen.filter((part) => !known.includes(part));
if (unknown.length > 0) {
  console.error(`hack/test: unknown part ${unknown.join(", ")}; known are ${known.join(", ")}`);
  process.exit(2);
}

/** Every test file is a process that loads much of the project: what those before it have compiled is kept. */
const COMPILE_CACHE = join(root, ".kubits/compile-cache");

const total = { passed: 0, failed: 0, skipped: 0 };
const passedLater: string[] = [];

/** Where a part of the tests prints. */
interface Output {
  readonly line: (text: string) => void;
  /** Of programs that print there. */
  readonly stdio: StdioOptions;
}
const atOnce: Output = { line: (text) => console.log(text), stdio: "inherit" };

/** Runs two parts that mostly wait at the same time. What the second prints comes when both are through. */
async function sideBySide(...parts: readonly [first: Part, second: Part]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kubits-test-"));
  const path = join(folder, "output");
  const file = openSync(path, "w");
  const later: Output = { line: (text) => writeSync(file, `${text}\n`), stdio: ["ignore", file, file] };
  const ends = await Promise.allSettled([parts[0](atOnce), parts[1](later)]);
  closeSync(file);
  process.stdout.write(readFileSync(path));
  rmSync(folder, { recursive: true });
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
type Part = (output: Output) => Promise<void>;

async function runFiles(
  files: readonly string[],
  concurrency: number,
  env: Record<string, string>,
  { stdio }: Output,
): Promise<TestCounts> {
  const folder = mkdtempSync(join(tmpdir(), "kubits-test-"));
  const counts = join(folder, "counts.json");
  const child = spawn(
    join(root, "hack/node"),
    [
      "--test",
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      `--test-reporter=${join(root, "hack/lib/count-reporter.ts")}`,
      `--test-reporter-destination=${counts}`,
      `--test-concurrency=${concurrency}`,
      "--test-timeout=600000",
      `--import=${join(root, "hack/lib/end-of-tests.ts")}`,
      ...files,
    ],
    { cwd: root, stdio, env: { ...process.env, NODE_COMPILE_CACHE: COMPILE_CACHE, ...env } },
  );
  const [status] = (await once(child, "exit")) as [number | null];
  const result = JSON.parse(readFileSync(counts, "utf8")) as TestCounts;
  rmSync(folder, { recursive: true });
  // A file that crashes outside of any test is a failure even when no test says so.
  if (status !== 0 && result.failed === 0) return { ...result, failed: 1 };
  return result;
}

/**
 * Runs test files. A few files that fail run once more, one after another: on a busy machine a test of real containers can
 * lose a race that is none of its subject. What passes only then is named at the end, so that it is mended all the same.
 */
async function runTests(
  title: string,
  patterns: readonly string[],
  concurrency: number,
  { env = {}, output = atOnce }: { readonly env?: Record<string, string>; readonly output?: Output } = {},
): Promise<void> {
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).sort();
  output.line(`\n== ${title}: ${files.length} files`);
  let result = await runFiles(files, concurrency, env, output);
  const again = result.failedFiles.map((file) => relative(root, resolve(root, file)));
  if (again.length > 0 && again.length <= MOST_FILES_AGAIN && again.every((file) => files.includes(file))) {
    output.line(`\n== ${title}, once more: ${again.join(", ")}`);
    const second = await runFiles(again, 1, env, output);
    if (second.failed === 0) {
      passedLater.push(...again);
      result = { ...result, passed: result.passed + result.failed, failed: 0 };
    }
  }
  total.passed += result.passed;
  total.failed += result.failed;
  total.skipped += result.skipped;
}

/** Brings up a lab for test files, which find it by KUBITS_LAB, and takes it down whatever happens. */
async function withLab(
  what: string,
  options: LabOptions,
  output: Output,
  tests: (shared: Record<string, string>) => Promise<void>,
): Promise<void> {
  output.line(`\n== ${what}`);
  const lab = await Lab.start({ ...options, progress: (line) => output.line(`  ${line}`) });
  try {
    await tests({ KUBITS_LAB: lab.dir });
  } finally {
    await lab.destroy();
  }
}

/** The kubelet on the containerd of Debian's development release: image volumes and some of isolation need 2.x. */
async function runOnNewestContainerd(output: Output): Promise<void> {
  const found = await newestContainerd(layoutOf(DEFAULT_DATA_DIR).cacheDir);
  if ("missing" in found) {
    output.line(`\n== pods on the newest containerd: skipped, Debian sid's cannot be had here: ${found.missing}`);
    total.skipped++;
    return;
  }
  const env = { KUBELET_TEST_CONTAINERD: found.binaries };
  await runTests(`pods on ${found.version}`, ["pkg/kubelet/{kubelet,isolation}.test.ts"], 2, { env, output });
}

async function runInLab(output: Output): Promise<void> {
  await withLab("a lab of two nodes", { nodes: 2 }, output, async (env) => {
    const options = { env, output };
    await runTests("end-to-end tests", ["test-e2e/!(commands|disruptive)/**/*.test.ts"], 4, options);
    // These kill what the others stand on, so they run alone and last.
    await runTests("end-to-end tests that break things", ["test-e2e/disruptive/**/*.test.ts"], 1, options);
  });
}

async function runOnDocker(output: Output): Promise<void> {
  const files = ["test-e2e/pods/pods.test.ts", "test-e2e/storage/volumes.test.ts"];
  await withLab("a lab whose node drives Docker", { nodes: 1, docker: true }, output, (env) =>
    runTests("pods and volumes on Docker", files, 2, { env, output }),
  );
}

await shareNetns();
if (chosen.includes("check")) {
  console.log("== checks");
  const { status } = spawnSync(join(root, "hack/check"), { stdio: "inherit" });
  if (status === 0) total.passed++;
  else total.failed++;
}
if (chosen.includes("unit")) {
  await sideBySide(
    () => runTests("unit tests", ["{cmd,hack}/**/*.test.ts", "pkg/!(kubelet)/**/*.test.ts"], 2),
    (output) => runTests("unit tests of the kubelet", ["pkg/kubelet/**/*.test.ts"], 3, { output }),
  );
}
if (chosen.includes("e2e")) {
  // The commands first: they need the machine's own ports and network, and prove that a cluster comes up at all.
  await runTests("end-to-end tests of the commands", ["test-e2e/commands/*.test.ts"], 1);
  await buildPrograms();
  await sideBySide(runInLab, async (output) => {
    if (chosen.includes("sid")) await runOnNewestContainerd(output);
    await runOnDocker(output);
  });
} else if (chosen.includes("sid")) await runOnNewestContainerd(atOnce);

if (passedLater.length > 0) console.log(`\nFailed first and passed when run once more: ${passedLater.join(", ")}`);
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
