/** stats/summary: what the node and its pods use, in the form of stats/v1alpha1. */
import { readFile } from "node:fs/promises";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { Runtime } from "../cri/runtime.ts";
import type { TreeUsage } from "../eviction/limits.ts";
import { interfaceStats, networkOf } from "./network.ts";
import type { InterfaceCounters } from "./network.ts";
import { fileSystemStats } from "./file-system.ts";
import type { FileSystemStats } from "./file-system.ts";
import type { PodFiles, PodFilesCache } from "./pod-files.ts";
import type { ContainerUsage, CpuAndMemory, StatsProvider } from "./stats.ts";

/** What the summary API is made of. */
export interface SummaryDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly nodeName: string;
  readonly rootDirectory: string;
  readonly runtimeCgroups: string;
  readonly stats: StatsProvider;
  readonly files: PodFilesCache;
  readonly pods: () => readonly Pod[];
}

/** The interface that counts as the pod's or the node's network. */
const MAIN_INTERFACE = "eth0";

const sum = (values: readonly (number | undefined)[]) =>
  values.reduce<number>((total, value) => total + (value ?? 0), 0);

function networkStats(time: string, counted: readonly InterfaceCounters[] | undefined) {
  if (counted === undefined) return {};
  const interfaces = counted.map(interfaceStats);
  const main = interfaces.find(({ name }) => name === MAIN_INTERFACE);
  return { network: { time, name: "", ...main, interfaces } };
}

/** The runtime's image file system, and the one of containers' writable layers. */
async function runtimeFileSystems(runtime: Runtime, signal: AbortSignal) {
  const { images, containers } = await runtime.imageFsInfo({ signal });
  const of = async (found: (typeof images)[number] | undefined) => {
    if (found === undefined) return undefined;
    const system = await fileSystemStats(found.mountpoint);
    // Some runtimes do not count; then what the file system says is all that is known.
    const own = { usedBytes: found.usedBytes || system?.usedBytes, inodesUsed: found.inodesUsed || system?.inodesUsed };
    return { ...system, ...own };
  };
  const imageFs = await of(images[0]);
  return { imageFs, containerFs: containers.length === 0 ? imageFs : await of(containers[0]) };
}

async function nodePart(deps: SummaryDeps, time: string, fs: FileSystemStats, signal: AbortSignal) {
  const { imageFs, containerFs } = await runtimeFileSystems(deps.runtime, signal);
  return {
    ...networkStats(time, networkOf("self")),
    fs: { time, ...fs },
    runtime: { imageFs: { time, ...imageFs }, containerFs: { time, ...containerFs } },
    rlimit: { time, ...(await processes()) },
  };
}

function containerPart(c: ContainerUsage, time: string, disk: { fs: FileSystemStats; logs?: TreeUsage } | undefined) {
  const part = ({ bytes, inodes }: TreeUsage) => ({ time, ...disk?.fs, usedBytes: bytes, inodesUsed: inodes });
  return {
    name: c.name,
    startTime: c.startTime === undefined ? time : new Date(c.startTime).toISOString(),
    cpu: c.cpu,
    memory: c.memory,
    ...(c.io === undefined ? {} : { io: c.io }),
    ...(disk === undefined
      ? {}
      : {
          rootfs: part({ bytes: c.rootfsUsedBytes, inodes: c.rootfsInodesUsed }),
          ...(disk.logs === undefined ? {} : { logs: part(disk.logs) }),
        }),
  };
}

/** Where a pod has no cgroup of its own, its containers' use is what is known. */
function summedUp(time: string, own: readonly ContainerUsage[]): CpuAndMemory {
  return {
    cpu: {
      time,
      usageNanoCores: sum(own.map(({ cpu }) => cpu.usageNanoCores)),
      usageCoreNanoSeconds: sum(own.map(({ cpu }) => cpu.usageCoreNanoSeconds)),
    },
    memory: {
      time,
      usageBytes: sum(own.map(({ memory }) => memory.usageBytes)),
      workingSetBytes: sum(own.map(({ memory }) => memory.workingSetBytes)),
      rssBytes: sum(own.map(({ memory }) => memory.rssBytes)),
    },
  };
}

function diskPart(time: string, fs: FileSystemStats, own: readonly ContainerUsage[], files: PodFiles | undefined) {
  const onDisk = files?.onDisk ?? { bytes: 0, inodes: 0 };
  return {
    volume: (files?.volumes ?? []).map((volume) => ({ time, ...volume })),
    "ephemeral-storage": {
      time,
      ...fs,
      usedBytes: onDisk.bytes + sum(own.map(({ rootfsUsedBytes }) => rootfsUsedBytes)),
      inodesUsed: onDisk.inodes + sum(own.map(({ rootfsInodesUsed }) => rootfsInodesUsed)),
    },
  };
}

/** `onlyCpuAndMemory` leaves out what takes a walk through directories. */
export async function summary(deps: SummaryDeps, onlyCpuAndMemory: boolean, signal: AbortSignal): Promise<unknown> {
  const { stats, clock } = deps;
  const time = new Date(clock.now()).toISOString();
  const pods = deps.pods().filter(({ status }) => status?.phase === "Running" || status?.phase === "Pending");
  const [containers, node, system, fs] = await Promise.all([
    stats.containers(signal),
    stats.node(),
    stats.systemContainers(deps.runtimeCgroups),
    fileSystemStats(deps.rootDirectory),
  ]);
  if (fs === undefined) throw new Error(`${deps.rootDirectory} is gone`);
  const files = onlyCpuAndMemory ? undefined : await deps.files.of(pods);
  const startTime = await bootTime();
  const podPart = async (pod: Pod) => {
    const { name, namespace, uid } = pod.metadata;
    const own = containers.filter(({ podUid }) => podUid === uid);
    const ownFiles = files?.get(uid);
    const { processes: count, ...used } = (await stats.pod(pod)) ?? { ...summedUp(time, own), processes: undefined };
    return {
      podRef: { name, namespace, uid },
      startTime: pod.status?.startTime ?? time,
      containers: own.map((c) =>
        containerPart(c, time, files === undefined ? undefined : { fs, logs: ownFiles?.logs.get(c.name) }),
      ),
      ...used,
      ...(files === undefined
        ? {}
        : {
            ...networkStats(time, await stats.network(pod)),
            ...diskPart(time, fs, own, ownFiles),
            ...(count === undefined ? {} : { process_stats: { process_count: count } }),
          }),
    };
  };
  return {
    node: {
      nodeName: deps.nodeName,
      systemContainers: system.map((container) => ({ ...container, startTime })),
      startTime,
      ...node,
      ...(onlyCpuAndMemory ? {} : await nodePart(deps, time, fs, signal)),
    },
    pods: await Promise.all(pods.map(podPart)),
  };
}

async function bootTime(): Promise<string> {
  const seconds = Number(/^btime (\d+)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1] ?? 0);
  return new Date(seconds * 1000).toISOString();
}

async function processes(): Promise<{ maxpid: number; curproc: number }> {
  const [maxpid, loads] = await Promise.all([
    readFile("/proc/sys/kernel/pid_max", "utf8"),
    readFile("/proc/loadavg", "utf8"),
  ]);
  return { maxpid: Number(maxpid), curproc: Number(loads.split(" ")[3]?.split("/")[1] ?? 0) };
}
