import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { CommandError, SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import type { CommandRunner } from "#pkg/util/index.ts";
import { container, pod } from "../testing/observed.ts";
import { limitWrites, weightOf } from "./limits.ts";
import { CgroupManager, parseHierarchies } from "./manager.ts";
import { limitProperties } from "./slices.ts";
import { containerResources, oomScoreAdj, podSums, quotaOf, sharesOf } from "./resources.ts";

const GI = 2 ** 30;
const options = {
  nodeMemoryBytes: 4 * GI,
  cpuCFSQuota: true,
  minOomScoreAdj: -1000,
  killsTogether: false,
  withoutSwap: false,
};

test("CPU becomes shares and quota within the kernel's bounds", () => {
  assert.deepEqual([0, 1, 2, 250, 1000, 1_000_000].map(sharesOf), [2, 2, 2, 256, 1024, 262_144]);
  assert.deepEqual([0, 5, 10, 250, 1000].map(quotaOf), [0, 1000, 1000, 25_000, 100_000]);
  assert.deepEqual(
    [0, 1, 2, 3, 102, 1024, 2048, 262_143, 262_144].map(weightOf),
    [0, 1, 1, 2, 17, 100, 174, 10_000, 10_000],
  );
});

test("a container's resources", () => {
  const c = container("c", { resources: { requests: { cpu: "100m" }, limits: { cpu: "200m", memory: "64Mi" } } });
  const { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes } = containerResources(
    pod({ containers: [c] }),
    c,
    options,
  );
  assert.deepEqual(
    { cpuShares, cpuQuota, cpuPeriod, memoryLimitInBytes },
    { cpuShares: 102, cpuQuota: 20_000, cpuPeriod: 100_000, memoryLimitInBytes: 64 * 2 ** 20 },
  );
  const unified = (more: Partial<typeof options>) =>
    containerResources(pod({ containers: [c] }), c, { ...options, ...more }).unified;
  assert.deepEqual(
    [unified({}), unified({ killsTogether: true }), unified({ killsTogether: true, withoutSwap: true })],
    [undefined, { "memory.oom.group": "1" }, { "memory.oom.group": "1", "memory.swap.max": "0" }],
  );
});

test("the out-of-memory score follows the QoS class and this machine's permission", () => {
  const guaranteed = container("c", {
    resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "1", memory: "1Gi" } },
  });
  const burstable = container("c", { resources: { requests: { memory: "1Gi" } } });
  const score = (c: typeof guaranteed, spec: object = {}) => oomScoreAdj(pod({ containers: [c], ...spec }), c, 4 * GI);
  assert.deepEqual(
    [score(guaranteed), score(burstable), score(container("c")), score(container("c"), { priority: 2_000_000_000 })],
    [-997, 750, 1000, -997],
  );
  assert.equal(
    containerResources(pod({ containers: [guaranteed] }), guaranteed, { ...options, minOomScoreAdj: 0 }).oomScoreAdj,
    0,
  );
});

test("a pod's sums: regular and sidecars together, or the largest init phase, plus overhead", () => {
  const of = (name: string, cpu: string, more = {}) => container(name, { resources: { requests: { cpu } }, ...more });
  const sums = podSums(
    pod({
      containers: [of("a", "100m"), of("b", "200m")],
      initContainers: [of("side", "50m", { restartPolicy: "Always" }), of("init", "400m")],
      overhead: { cpu: "10m" },
    }),
  );
  assert.deepEqual([sums.milliCpuRequest, sums.milliCpuLimit, sums.memoryLimit], [460, undefined, undefined]);
});

test("limits as files, on both versions of cgroups", () => {
  const limits = { cpuShares: 1024, cpuQuota: 50_000, memoryLimit: -1, pidsLimit: 100 };
  const lines = (version: 1 | 2) => limitWrites(version, limits).map(({ file, value }) => `${file}=${value}`);
  assert.deepEqual(lines(1), [
    "cpu.shares=1024",
    "cpu.cfs_period_us=100000",
    "cpu.cfs_quota_us=50000",
    "memory.limit_in_bytes=-1",
    "pids.max=100",
  ]);
  assert.deepEqual(lines(2), ["cpu.weight=100", "cpu.max=50000 100000", "memory.max=max", "pids.max=100"]);
});

test("hierarchies are read from mountinfo", () => {
  const v1 = parseHierarchies(
    "30 25 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
  );
  assert.equal(v1.version, 1);
  assert.equal(v1.unified, "/sys/fs/cgroup/unified", "a hybrid machine's second tree is known");
  assert.deepEqual(
    [...v1.mounts],
    [
      ["cpu", "/sys/fs/cgroup/cpu"],
      ["cpuacct", "/sys/fs/cgroup/cpu"],
      ["memory", "/sys/fs/cgroup/memory"],
    ],
  );
  assert.deepEqual(parseHierarchies("30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"), {
    version: 2,
    mounts: new Map([["", "/sys/fs/cgroup"]]),
  });
});

test("paths: nested directories, or slices as systemd nests them", () => {
  const make = (driver: "cgroupfs" | "systemd", cgroupRoot: string) =>
    new CgroupManager({
      hierarchies: { version: 2, mounts: new Map() },
      driver,
      cgroupRoot,
      perQos: true,
      podPidsLimit: -1,
      commands: new SpawnRunner(),
      log: silentLogger,
    });
  const subject = pod({ containers: [container("c")] }, {}, { uid: "1-2" });
  assert.equal(make("cgroupfs", "/lab/n1").podParent(subject), "/lab/n1/kubepods/besteffort/pod1-2");
  assert.equal(
    make("systemd", "").podPath(subject),
    "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice",
  );
  assert.equal(make("systemd", "").podParent(subject), "kubepods-besteffort-pod1_2.slice");
});

test("orphans go; a pod that began while they were looked for does not", async () => {
  const root = await mkdtemp(join(tmpdir(), "cgroups-"));
  const manager = new CgroupManager({
    hierarchies: { version: 1, mounts: new Map([["memory", root]]) },
    driver: "cgroupfs",
    cgroupRoot: "",
    perQos: true,
    podPidsLimit: -1,
    commands: new SpawnRunner(),
    log: silentLogger,
  });
  for (const name of ["pod1/container", "burstable/pod2", "besteffort/pod3"])
    await mkdir(join(root, "kubepods", name), { recursive: true });
  const known = new Set<string>();
  const orphans = manager.removeOrphans((uid) => known.has(uid));
  known.add("2");
  await orphans;
  assert.deepEqual((await readdir(join(root, "kubepods"))).sort(), ["besteffort", "burstable"]);
  assert.deepEqual(await readdir(join(root, "kubepods/burstable")), ["pod2"]);
  assert.deepEqual(await readdir(join(root, "kubepods/besteffort")), []);
  await rm(root, { recursive: true });
});

test("what the runtime has lost in a pod's cgroup, even frozen, is killed when the pod goes, not before", async () => {
  const hierarchies = parseHierarchies(await readFile("/proc/self/mountinfo", "utf8"));
  const manager = new CgroupManager({
    hierarchies,
    driver: "cgroupfs",
    cgroupRoot: `/kubits-test-${process.pid}`,
    perQos: true,
    podPidsLimit: -1,
    commands: new SpawnRunner(),
    log: silentLogger,
  });
  const subject = pod({ containers: [container("c")] });
  await manager.ensurePod(subject);
  const lost = spawn("sleep", ["600"]);
  const ended = once(lost, "exit");
  const mount = hierarchies.mounts.get(hierarchies.version === 2 ? "" : "memory")!;
  const inner = join(mount, manager.podPath(subject), "container");
  try {
    await mkdir(inner);
    await writeFile(join(inner, "cgroup.procs"), String(lost.pid));
    if (hierarchies.version === 2) await writeFile(join(inner, "cgroup.freeze"), "1");
    else {
      const frozen = join(hierarchies.mounts.get("freezer")!, manager.podPath(subject), "container");
      await mkdir(frozen, { recursive: true });
      await writeFile(join(frozen, "cgroup.procs"), String(lost.pid));
      await writeFile(join(frozen, "freezer.state"), "FROZEN");
    }
    assert.equal(await manager.removePod(subject, "wait"), false);
    assert.equal(lost.exitCode ?? lost.signalCode, null);
    await manager.removePod(subject, "kill");
    assert.deepEqual(await ended, [null, "SIGKILL"]);
    // The kernel may need a moment to let go of a process that has been waited for.
    while (!(await manager.removePod(subject, "kill"))) await setImmediate();
    assert.equal(existsSync(join(mount, manager.podPath(subject))), false);
  } finally {
    lost.kill("SIGKILL");
    await manager.removeAll();
    for (const each of [...hierarchies.mounts.values(), hierarchies.unified ?? mount])
      await rmdir(join(each, `kubits-test-${process.pid}`)).catch(() => undefined);
  }
});

test("all of a container is killed for its memory again after somebody has undone that, and only of one that is there", async () => {
  const root = await mkdtemp(join(tmpdir(), "cgroups-"));
  const manager = new CgroupManager({
    hierarchies: { version: 2, mounts: new Map([["", root]]) },
    driver: "systemd",
    cgroupRoot: "",
    perQos: true,
    podPidsLimit: -1,
    commands: systemdOf(root),
    log: silentLogger,
  });
  const subject = pod({ containers: [container("c")] });
  const scope = join(root, manager.podPath(subject), "cri-containerd-abc.scope");
  await mkdir(scope, { recursive: true });
  await writeFile(join(scope, "memory.oom.group"), "0\n");
  await manager.killTogether(subject, "gone");
  assert.equal(await readFile(join(scope, "memory.oom.group"), "utf8"), "0\n");
  await manager.killTogether(subject, "abc");
  assert.equal(await readFile(join(scope, "memory.oom.group"), "utf8"), "1");
  await rm(root, { recursive: true });
});

test("limits as properties of a slice, on both versions of cgroups", () => {
  const limits = { cpuShares: 1024, cpuQuota: 25_050, memoryLimit: -1, pidsLimit: 100 };
  const lines = (version: 1 | 2) => limitProperties(version, limits).map(([name, , value]) => `${name}=${value}`);
  const none = "18446744073709551615";
  // Quotas are whole percents, and never less than what was asked for.
  assert.deepEqual(lines(2), ["CPUWeight=100", "CPUQuotaPerSecUSec=260000", `MemoryMax=${none}`, "TasksMax=100"]);
  assert.deepEqual(lines(1), ["CPUShares=1024", "CPUQuotaPerSecUSec=260000", `MemoryLimit=${none}`, "TasksMax=100"]);
  assert.deepEqual(limitProperties(2, { cpuQuota: -1 }), [["CPUQuotaPerSecUSec", "t", none]]);
  assert.deepEqual(limitProperties(2, {}), []);
});

/** A systemd that makes and removes directories for slices, and writes down what it was told. */
function systemdOf(root: string): CommandRunner & { calls: string[] } {
  const where = (unit: string) => {
    const names = unit.slice(0, -".slice".length).split("-");
    return join(root, ...names.map((_, index) => `${names.slice(0, index + 1).join("-")}.slice`));
  };
  const calls: string[] = [];
  return {
    calls,
    async run(file, args) {
      const verb = file === "systemctl" ? args[0]! : args[5]!;
      const unit = args[file === "systemctl" ? 1 : 7]!;
      const result = { exitCode: 0, stdout: "", stderr: "" };
      calls.push(`${verb} ${unit}`);
      if (verb === "StartTransientUnit") {
        if (existsSync(where(unit))) {
          const stderr = `Call failed: Unit ${unit} was already loaded or has a fragment file.`;
          throw new CommandError(file, args, { ...result, exitCode: 1, stderr });
        }
        await mkdir(where(unit), { recursive: true });
      }
      if (verb === "stop") await rm(where(unit), { recursive: true });
      return result;
    },
  };
}

test("systemd's slices: started once, then changed; stopped when empty; those of forgotten pods, too", async () => {
  const root = await mkdtemp(join(tmpdir(), "cgroups-"));
  const commands = systemdOf(root);
  const manager = new CgroupManager({
    hierarchies: { version: 2, mounts: new Map([["", root]]) },
    driver: "systemd",
    cgroupRoot: "",
    perQos: true,
    podPidsLimit: -1,
    commands,
    log: silentLogger,
  });
  const subject = pod({ containers: [container("c")] }, {}, { uid: "1-2" });
  const slice = "kubepods-besteffort-pod1_2.slice";
  await manager.ensurePod(subject);
  await manager.ensurePod(subject);
  assert.deepEqual(commands.calls.splice(0), [`StartTransientUnit ${slice}`, `SetUnitProperties ${slice}`]);
  const scope = join(root, manager.podPath(subject), "cri-containerd-1.scope");
  await mkdir(scope);
  await writeFile(join(scope, "cgroup.procs"), "4321\n");
  assert.equal(await manager.removePod(subject), false, "a process runs in it");
  await manager.removeOrphans(() => false);
  await manager.removeOrphans((uid) => uid === "1-2");
  assert.deepEqual(commands.calls, []);
  await writeFile(join(scope, "cgroup.procs"), "");
  await manager.removeOrphans((uid) => uid === "1-2");
  assert.deepEqual(commands.calls, []);
  await manager.removeOrphans(() => false);
  assert.deepEqual(commands.calls.splice(0), [`stop ${slice}`]);
  assert.equal(await manager.removePod(subject, "kill"), true);
  assert.deepEqual(commands.calls, [], "what is gone is not stopped");
  await rm(root, { recursive: true });
});
