/**
 * The pods' cgroups: <root>/kubepods[/burstable|/besteffort]/pod<uid>, on cgroup v1 and v2, with the cgroupfs driver
 * (we make directories) or systemd's (slices of the same structure, named as systemd nests them).
 */
import { readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { hasCode, ifExists } from "#pkg/util/index.ts";
import type { QosClass } from "#pkg/api/rules/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { CommandRunner, Logger } from "#pkg/util/index.ts";
import { qosClass } from "../pod/spec.ts";
import { type CgroupLimits, limitWrites } from "./limits.ts";
import { podSums, quotaOf, sharesOf } from "./resources.ts";
import { Slices } from "./slices.ts";
import { CgroupTree, contentNow, contentOf, listDirectories, listDirectoriesNow } from "./tree.ts";

/**
 * What to do with processes that are still in a cgroup that is to go. The runtime may have lost one, as when it was told to
 * forget a container while it started it: once it says that a pod has none left, nobody else will end it.
 */
export type Stragglers = "wait" | "kill";

export interface CgroupHierarchies {
  readonly version: 1 | 2;
  /** Mount point by controller; for version 2 the one entry "". */
  readonly mounts: ReadonlyMap<string, string>;
  /** Version 2 beside version 1: without controllers, but runtimes make their cgroups there as well. */
  readonly unified?: string;
}

const CONTROLLERS_V1 = [
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "pids",
  "blkio",
  "devices",
  "freezer",
  "hugetlb",
  "net_cls",
  "net_prio",
  "perf_event",
  "rdma",
  "misc",
  "systemd",
];
const CONTROLLERS_V2 = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];
const QOS_LEVELS = [["kubepods"], ["kubepods", "burstable"], ["kubepods", "besteffort"]];
/** Version 1 shows a memory limit of -1 as the largest number of whole pages. */
export const UNLIMITED_BYTES = 2 ** 62;

/** Reads from mountinfo where each controller lives. Pure. A hybrid machine counts as version 1. */
export function parseHierarchies(mountinfo: string): CgroupHierarchies {
  const v1 = new Map<string, string>();
  let v2: string | undefined;
  for (const line of mountinfo.split("\n")) {
    const [before, after] = line.split(" - ");
    const point = before?.split(" ")[4];
    const [type, , options = ""] = after?.split(" ") ?? [];
    if (point === undefined) continue;
    if (type === "cgroup2") v2 ??= point;
    if (type !== "cgroup") continue;
    for (const option of options.split(",")) {
      const controller = option.startsWith("name=") ? option.slice("name=".length) : option;
      if (CONTROLLERS_V1.includes(controller) && !v1.has(controller)) v1.set(controller, point);
    }
  }
  if (v2 === undefined) return { version: 1, mounts: v1 };
  return v1.has("memory") ? { version: 1, mounts: v1, unified: v2 } : { version: 2, mounts: new Map([["", v2]]) };
}

/** The larger of two limits, where none is more than any: -1, as a limit that is to be has it. */
function wider(wanted: number | undefined, current: number | undefined): number {
  return wanted === undefined || wanted <= 0 || current === undefined ? -1 : Math.max(wanted, current);
}

export class CgroupManager {
  readonly #hierarchies: CgroupHierarchies;
  readonly #driver: "cgroupfs" | "systemd";
  readonly #root: readonly string[];
  readonly #perQos: boolean;
  readonly #podPidsLimit: number;
  readonly #log: Logger;
  readonly #tree: CgroupTree;
  readonly #slices: Slices;
  #burstableShares: number | undefined;

  constructor(deps: {
    hierarchies: CgroupHierarchies;
    driver: "cgroupfs" | "systemd";
    cgroupRoot: string;
    perQos: boolean;
    podPidsLimit: number;
    commands: CommandRunner;
    log: Logger;
  }) {
    this.#hierarchies = deps.hierarchies;
    this.#driver = deps.driver;
    this.#root = deps.cgroupRoot.split("/").filter((part) => part !== "");
    this.#perQos = deps.perQos;
    this.#podPidsLimit = deps.podPidsLimit;
    this.#log = deps.log;
    this.#tree = new CgroupTree(deps.hierarchies, deps.commands);
    this.#slices = new Slices(deps.commands, deps.hierarchies.version);
  }

  get version(): 1 | 2 {
    return this.#hierarchies.version;
  }

  /** Path below the hierarchy's mount point. */
  path(names: readonly string[]): string {
    const all = [...this.#root, ...names];
    if (this.#driver === "cgroupfs") return `/${all.join("/")}`;
    // systemd nests a-b.slice below a.slice; dashes inside a name would nest once more.
    const escaped = all.map((name) => name.replaceAll("-", "_"));
    return `/${escaped.map((_, index) => `${escaped.slice(0, index + 1).join("-")}.slice`).join("/")}`;
  }

  #podNames(pod: Pod): string[] {
    const qos: QosClass = qosClass(pod);
    const level = qos === "Guaranteed" ? [] : [qos.toLowerCase()];
    return ["kubepods", ...level, `pod${pod.metadata.uid}`];
  }
  podPath(pod: Pod): string {
    return this.path(this.#podNames(pod));
  }
  /** kubepods and the QoS levels below it; none where pods have no cgroups of their own. */
  levels(): string[] {
    return this.#perQos ? QOS_LEVELS.map((names) => this.path(names)) : [];
  }
  /** As the runtime wants it in a sandbox's cgroup_parent. */
  podParent(pod: Pod): string {
    if (!this.#perQos) return "";
    const path = this.podPath(pod);
    return this.#driver === "systemd" ? basename(path) : path;
  }

  /** Makes kubepods and the QoS levels below it; `allocatable` bounds all pods together. */
  async setUpNode(allocatable: { milliCpu: number; memoryBytes: number; pids?: number }): Promise<void> {
    if (!this.#perQos) return;
    await this.#apply(["kubepods"], {
      cpuShares: sharesOf(allocatable.milliCpu),
      memoryLimit: allocatable.memoryBytes,
      ...(allocatable.pids === undefined ? {} : { pidsLimit: allocatable.pids }),
    });
    await this.#apply(["kubepods", "burstable"], { cpuShares: 2 });
    await this.#apply(["kubepods", "besteffort"], { cpuShares: 2 });
  }

  /** Burstable pods together weigh as much as they asked for. */
  async setBurstableShares(milliCpu: number): Promise<void> {
    const cpuShares = sharesOf(milliCpu);
    if (!this.#perQos || cpuShares === this.#burstableShares) return;
    await this.#apply(["kubepods", "burstable"], { cpuShares });
    this.#burstableShares = cpuShares;
  }

  /** Creates or updates the pod's cgroup; resolves to its name for the runtime. */
  async ensurePod(pod: Pod): Promise<string> {
    if (this.#perQos) await this.#apply(this.#podNames(pod), this.podLimits(pod), "limited");
    return this.podParent(pod);
  }

  /**
   * Raises the pod's limits where it is to have more, and lowers none: for the time in which its containers change one after
   * the other, none of which may ever have more than the pod (version 1 refuses it). `ensurePod` ends that time.
   */
  async widenPod(pod: Pod): Promise<void> {
    if (!this.#perQos) return;
    const names = this.#podNames(pod);
    const { cpuQuota, memoryLimit } = this.podLimits(pod);
    const v2 = this.version === 2;
    const limits = {
      cpuQuota: wider(cpuQuota, await this.#limit("cpu", names, v2 ? "cpu.max" : "cpu.cfs_quota_us")),
      memoryLimit: wider(memoryLimit, await this.#limit("memory", names, v2 ? "memory.max" : "memory.limit_in_bytes")),
    };
    await this.#apply(names, limits, "limited");
  }

  /**
   * From now on the kernel holds up every process of the pod that wants more memory, and kills none for it. Version 1 has no
   * such bound. It is written beside systemd, whose slice is about to go with the pod.
   */
  async stopGrowth(pod: Pod): Promise<void> {
    const mount = this.#mount("memory");
    if (!this.#perQos || this.version === 1 || mount === undefined) return;
    const file = join(mount, this.podPath(pod), "memory.high");
    if ((await contentOf(file)) !== undefined) await this.#write(file, "0");
  }

  /** As the kernel has it, or undefined where it has none. */
  async #limit(controller: string, names: readonly string[], file: string): Promise<number | undefined> {
    const mount = this.#mount(controller);
    if (mount === undefined) return undefined;
    const text = await ifExists(readFile(join(mount, this.path(names), file), "utf8"));
    const value = Number.parseInt(text ?? "", 10);
    return value > 0 && value < UNLIMITED_BYTES ? value : undefined;
  }

  podLimits(pod: Pod): CgroupLimits {
    const sums = podSums(pod);
    return {
      cpuShares: qosClass(pod) === "BestEffort" ? 2 : sharesOf(sums.milliCpuRequest),
      cpuQuota: sums.milliCpuLimit === undefined ? -1 : quotaOf(sums.milliCpuLimit) || -1,
      memoryLimit: sums.memoryLimit ?? -1,
      ...(this.#podPidsLimit > 0 ? { pidsLimit: this.#podPidsLimit } : {}),
    };
  }

  /** False when a process of the pod is still on its way out. */
  async removePod(pod: Pod, stragglers: Stragglers = "wait"): Promise<boolean> {
    return !this.#perQos || (await this.#remove(this.podPath(pod), stragglers));
  }

  /** Of a pod of which nothing but its uid is known: whatever its class was. */
  async removePodOf(uid: string): Promise<void> {
    if (!this.#perQos) return;
    for (const level of QOS_LEVELS) await this.#remove(this.path([...level, `pod${uid}`]), "kill");
  }

  /**
   * Removes cgroups of pods that are not known, left over from an earlier life. It is asked of each once its cgroup has been
   * seen: a pod that begins meanwhile was known before it had one.
   */
  async removeOrphans(known: (uid: string) => boolean): Promise<void> {
    if (!this.#perQos) return;
    for (const level of QOS_LEVELS) {
      // A name that nothing has, to learn how the driver writes names.
      const [before, after] = basename(this.path([...level, "pod?"])).split("?") as [string, string];
      const uids = new Set<string>();
      for (const directory of this.#tree.directories(this.path(level))) {
        for (const name of await listDirectories(directory))
          if (name.startsWith(before) && name.endsWith(after))
            uids.add(name.slice(before.length, name.length - after.length));
      }
      for (const uid of uids)
        if (!known(this.#driver === "systemd" ? uid.replaceAll("_", "-") : uid))
          await this.#remove(this.path([...level, `pod${uid}`]), "wait");
    }
  }

  /** Removes kubepods and everything in it. False when a process in it is still on its way out. */
  async removeAll(): Promise<boolean> {
    return !this.#perQos || (await this.#remove(this.path(["kubepods"]), "kill"));
  }

  /** A value below the pod's cgroup, or undefined when it does not exist. */
  async read(path: string, controller: string, file: string): Promise<string | undefined> {
    const mount = this.#mount(controller);
    if (mount === undefined) return undefined;
    return contentOf(join(mount, path, file));
  }

  /**
   * The same without another thread's help: the kernel answers from memory, and whoever reads all files of all cgroups would
   * spend most of the time on waiting.
   */
  readNow(path: string, controller: string, file: string): string | undefined {
    const mount = this.#mount(controller);
    return mount === undefined ? undefined : contentNow(join(mount, path, file));
  }

  /** Names of the cgroups directly below. */
  children(path: string): string[] {
    const mount = this.#mount("memory");
    return mount === undefined ? [] : listDirectoriesNow(join(mount, path));
  }

  /** Whether the kernel counts what a cgroup of version 2 has in swap, which takes a switch at boot of some. */
  async countsSwap(): Promise<boolean> {
    if (this.version === 1) return false;
    // The root has no limits: our own cgroup shows which there are.
    return (await this.read(await this.own(), "memory", "memory.swap.max")) !== undefined;
  }

  /** The path of the cgroup that this process is in. */
  async own(): Promise<string> {
    const lines = await readFile("/proc/self/cgroup", "utf8");
    const line = this.version === 2 ? /^0::(.*)$/m : /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m;
    return line.exec(lines)?.[1] ?? "/";
  }

  /** The path of the cgroup directly below whose name, whatever the driver makes of it, has this in it. */
  below(path: string, part: string): string | undefined {
    const name = this.children(path).find((one) => one.includes(part));
    return name === undefined ? undefined : join(path, name);
  }

  /**
   * Has the kernel end all of a container that is out of memory, where it can. Runtimes ask for it when they make a container
   * (Docker cannot); systemd takes it back whenever somebody has it read its units anew.
   */
  async killTogether(pod: Pod, containerId: string): Promise<void> {
    if (this.version === 1) return;
    const path = this.below(this.podPath(pod), containerId);
    if (path === undefined || (await this.read(path, "memory", "memory.oom.group")) !== "0") return;
    await this.#write(join(this.#mount("memory")!, path, "memory.oom.group"), "1");
  }

  /** A process of one of the cgroups below, as a way into the namespaces that they share. */
  async someProcess(path: string): Promise<number | undefined> {
    const mount = this.#mount("pids");
    if (mount === undefined) return undefined;
    for (const name of await listDirectories(join(mount, path))) {
      const processes = await this.read(join(path, name), "pids", "cgroup.procs");
      if (processes !== undefined && processes !== "") return Number(processes.split("\n")[0]);
    }
    return undefined;
  }

  #mount(controller: string): string | undefined {
    return this.#hierarchies.mounts.get(this.version === 2 ? "" : controller);
  }

  /** Of version 1, "limited" leaves hierarchies without a limit to the runtime, which makes what it misses. */
  async #apply(names: readonly string[], limits: CgroupLimits, where: "all" | "limited" = "all"): Promise<void> {
    const path = this.path(names);
    if (this.#driver === "systemd") {
      await this.#slices.apply(path, limits, await this.#tree.exists(path));
      return;
    }
    const writes = Map.groupBy(limitWrites(this.version, limits), ({ controller }) => this.#mount(controller));
    const mounts = where === "limited" && this.version === 1 ? writes.keys() : this.#hierarchies.mounts.values();
    await Promise.all(
      [...new Set(mounts)].map(async (mount) => {
        if (mount === undefined) return;
        await this.#create(mount, path);
        for (const { file, value } of writes.get(mount) ?? []) await this.#write(join(mount, path, file), value);
      }),
    );
  }

  /** Limits may be refused (usage already above a new memory limit, a controller not delegated): said, not fatal. */
  async #write(file: string, value: string): Promise<void> {
    try {
      // The kernel answers from memory: to have another thread wait for it would cost more than the answer.
      const current = readFileSync(file, "utf8").trim();
      if (current !== value && !(value === "-1" && Number(current) >= UNLIMITED_BYTES)) await writeFile(file, value);
    } catch (err) {
      this.#log.warn({ err, file, value }, "Writing a cgroup limit failed");
    }
  }

  async #create(mount: string, path: string): Promise<void> {
    if (this.version === 1) {
      await this.#createFrom(mount, join(mount, path));
      return;
    }
    let current = mount;
    for (const name of path.split("/").filter((part) => part !== "")) {
      await this.#delegate(current);
      current = join(current, name);
      await mkdir(current, { recursive: true });
    }
  }

  /** Version 1 has many hierarchies, and above a pod's directory all is nearly always there: it is tried first. */
  async #createFrom(mount: string, directory: string): Promise<void> {
    try {
      await mkdir(directory);
    } catch (error) {
      if (hasCode(error, "EEXIST")) return;
      if (!hasCode(error, "ENOENT") || directory === mount) throw error;
      await this.#createFrom(mount, dirname(directory));
      await this.#createFrom(mount, directory);
      return;
    }
    if (mount === this.#hierarchies.mounts.get("cpuset")) await copyCpuset(directory);
  }

  async #delegate(directory: string): Promise<void> {
    const available = (await readFile(join(directory, "cgroup.controllers"), "utf8")).trim().split(" ");
    const enabled = (await readFile(join(directory, "cgroup.subtree_control"), "utf8")).trim().split(" ");
    for (const controller of CONTROLLERS_V2) {
      if (!available.includes(controller) || enabled.includes(controller)) continue;
      try {
        await writeFile(join(directory, "cgroup.subtree_control"), `+${controller}`);
      } catch (err) {
        this.#log.warn({ err, directory, controller }, "A cgroup controller could not be delegated");
      }
    }
  }

  /** False when something of it is still in use. */
  async #remove(path: string, stragglers: Stragglers): Promise<boolean> {
    if (this.#driver === "systemd") {
      if (!(await this.#tree.exists(path))) return true;
      if (stragglers === "wait" && (await this.#tree.processes(path)).size > 0) return false;
      await this.#slices.stop(path);
      return !(await this.#tree.exists(path));
    }
    const gone = await this.#tree.remove(path);
    if (gone || stragglers === "wait") return gone;
    const processes = await this.#tree.kill(path);
    if (processes.length > 0) this.#log.warn({ path, processes }, "Killed processes that the runtime has lost");
    return false;
  }
}

/** A new cpuset directory of version 1 admits no process until it has cpus and memory nodes. */
async function copyCpuset(directory: string): Promise<void> {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    const own = (await readFile(join(directory, file), "utf8")).trim();
    if (own === "")
      await writeFile(join(directory, file), (await readFile(join(dirname(directory), file), "utf8")).trim());
  }
}
