/** Needs cgroup v2 with all controllers: `hack/vm-test pkg/kubelet/cgroups/v2.vm-test.ts`. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ResourceRequirements } from "#pkg/api/types/core-v1.ts";
import { SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { KernelLog } from "../node/kernel-log.ts";
import { outOfMemoryKills } from "../node/machine.ts";
import { container, pod } from "../testing/observed.ts";
import { CgroupManager, parseHierarchies } from "./manager.ts";
import { cgroupUsage } from "./usage.ts";

const ROOT = "/sys/fs/cgroup";
const MI = 2 ** 20;
const hierarchies = parseHierarchies(readFileSync("/proc/self/mountinfo", "utf8"));
const manager = new CgroupManager({
  hierarchies,
  driver: "cgroupfs",
  cgroupRoot: "",
  perQos: true,
  podPidsLimit: 20,
  commands: new SpawnRunner(),
  log: silentLogger,
});

const podOf = (uid: string, resources: ResourceRequirements) =>
  pod({ containers: [container("c", { resources })] }, {}, { uid });

function files(path: string, ...names: readonly string[]): string[] {
  return names.map((name) => readFileSync(join(ROOT, path, name), "utf8").trim());
}

/** Runs a shell where a runtime would: in a cgroup of its own below the pod's. */
async function runIn(path: string, script: string, group = false) {
  const own = join(ROOT, path, "container");
  mkdirSync(own, { recursive: true });
  if (group) {
    writeFileSync(join(ROOT, path, "cgroup.subtree_control"), "+memory");
    writeFileSync(join(own, "memory.oom.group"), "1");
  }
  const child = spawn("sh", ["-c", `echo $$ >${own}/cgroup.procs; ${script}`], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()));
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return { code, signal, output };
}

async function removed(subject: ReturnType<typeof podOf>): Promise<void> {
  const end = Date.now() + 60_000;
  // The kernel may need a moment to let go of processes that have ended.
  while (!(await manager.removePod(subject, "kill"))) {
    assert.ok(Date.now() < end, "the pod's cgroup stays");
    await delay(50);
  }
  assert.equal(await manager.read(manager.podPath(subject), "memory", "memory.max"), undefined);
}

test("kubepods, the QoS levels and a pod have their limits; a resize changes them", async () => {
  assert.deepEqual([hierarchies.version, [...hierarchies.mounts]], [2, [["", ROOT]]]);
  await manager.setUpNode({ milliCpu: 2000, memoryBytes: 1024 * MI, pids: 1000 });
  await manager.setBurstableShares(100);
  assert.deepEqual(files("kubepods", "cpu.weight", "memory.max", "pids.max"), ["174", String(1024 * MI), "1000"]);
  assert.deepEqual(files("kubepods/burstable", "cpu.weight", "memory.max"), ["17", "max"]);
  assert.deepEqual(files("kubepods/besteffort", "cpu.weight", "memory.max"), ["1", "max"]);

  const before = podOf("1", { requests: { cpu: "100m" }, limits: { cpu: "250m", memory: "64Mi" } });
  const limits = () =>
    files(manager.podPath(before), "cpu.weight", "cpu.max", "memory.max", "pids.max", "memory.low", "memory.min");
  assert.equal(await manager.ensurePod(before), "/kubepods/burstable/pod1");
  assert.deepEqual(limits(), ["17", "25000 100000", String(64 * MI), "20", "0", "0"]);
  const after = podOf("1", { requests: { cpu: "200m" }, limits: { cpu: "500m", memory: "32Mi" } });
  await manager.widenPod(after);
  assert.deepEqual(limits().slice(1, 3), ["50000 100000", String(64 * MI)], "what grows has grown, nothing has shrunk");
  await manager.ensurePod(after);
  assert.deepEqual(limits().slice(0, 3), ["29", "50000 100000", String(32 * MI)]);
  await manager.ensurePod(podOf("1", { requests: { cpu: "200m" } }));
  assert.deepEqual(limits().slice(1, 3), ["max 100000", "max"], "limits go when they are taken away");
  await removed(before);
});

test("what a pod uses, and that it cannot have more processes than it may", async () => {
  const subject = podOf("2", { limits: { cpu: "1", memory: "128Mi" } });
  await manager.ensurePod(subject);
  const path = manager.podPath(subject);
  // The shell holds 16 MiB in a variable while it is looked at.
  const done = runIn(path, `x=$(head -c ${16 * MI} /dev/zero | tr '\\0' x); echo full >&2; sleep 3; : $x`);
  const end = Date.now() + 60_000;
  let usage = await cgroupUsage(manager, path);
  while (usage!.rssBytes < 16 * MI) {
    assert.ok(Date.now() < end, JSON.stringify(usage));
    await delay(50);
    usage = await cgroupUsage(manager, path);
  }
  assert.ok(usage!.cpuNanoseconds > 0 && usage!.processes >= 1 && usage!.pageFaults > 0, JSON.stringify(usage));
  assert.ok(usage!.workingSetBytes <= usage!.memoryBytes && usage!.memoryBytes >= 16 * MI, JSON.stringify(usage));
  await done;
  const bomb = await runIn(path, "for i in $(seq 50); do sleep 10 & done; wait");
  assert.match(bomb.output, /can't fork/);
  assert.equal(files(path, "pids.max")[0], "20");
  await removed(subject);
});

test("out of memory: all processes of a container go together, and the kernel's log names its cgroup", async () => {
  const subject = podOf("3", { limits: { memory: "32Mi" } });
  await manager.ensurePod(subject);
  const path = manager.podPath(subject);
  const log = KernelLog.open()!;
  log.read();
  const before = await outOfMemoryKills();
  const hungry = "dd if=/dev/zero of=/dev/null bs=64M count=1; echo survived";
  const alone = await runIn(path, hungry);
  assert.match(alone.output, /survived/, "the shell outlives its child where they do not go together");
  assert.equal((await outOfMemoryKills()) > before, true);
  const together = await runIn(path, hungry, true);
  assert.deepEqual([together.code, together.signal, together.output.includes("survived")], [null, "SIGKILL", false]);
  const told = log.read().filter((record) => record.includes("oom-kill:"));
  assert.equal(told.length, 2, told.join(""));
  assert.match(told[0]!, new RegExp(`task_memcg=${path},`), "memory was not counted below the pod's cgroup then");
  assert.match(told[1]!, new RegExp(`task_memcg=${path}/container,`));
  await removed(subject);
});

test("a pod that is to grow no more is held up, and neither killed nor kept from being", async () => {
  const subject = podOf("6", {});
  await manager.ensurePod(subject);
  const path = manager.podPath(subject);
  await manager.stopGrowth(subject);
  const running = runIn(path, `exec tail /dev/zero`);
  const end = Date.now() + 60_000;
  const held = async () => Number(/^high (\d+)$/m.exec((await manager.read(path, "memory", "memory.events"))!)![1]);
  while ((await held()) < 3) {
    assert.ok(Date.now() < end, "nothing holds it up");
    await delay(50);
  }
  assert.match((await manager.read(path, "memory", "memory.events"))!, /^oom_kill 0$/m);
  assert.ok((await cgroupUsage(manager, path))!.memoryBytes < 64 * MI);
  await manager.removePod(subject, "kill");
  assert.equal((await running).signal, "SIGKILL");
  await removed(subject);
});

test("cgroups of forgotten pods go, and in the end all of them", async () => {
  await manager.ensurePod(podOf("4", {}));
  await manager.ensurePod(podOf("5", {}));
  await manager.removeOrphans((uid) => uid === "5");
  const pods = () => readdirSync(join(ROOT, "kubepods/besteffort")).filter((name) => name.startsWith("pod"));
  assert.deepEqual(pods(), ["pod5"]);
  const end = Date.now() + 60_000;
  while (!(await manager.removeAll())) assert.ok(Date.now() < end);
  assert.equal(readdirSync(ROOT).includes("kubepods"), false);
});

test("whether swap is counted shows in a cgroup with limits, of which the root is none", async () => {
  assert.equal(await manager.countsSwap(), false);
  mkdirSync(join(ROOT, "own"));
  writeFileSync(join(ROOT, "cgroup.subtree_control"), "+memory");
  writeFileSync(join(ROOT, "own/cgroup.procs"), String(process.pid));
  assert.equal(await manager.countsSwap(), true);
  writeFileSync(join(ROOT, "cgroup.procs"), String(process.pid));
});
