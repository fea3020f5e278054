/** Translates requests and limits into kernel terms. Pure. Source: the resource management documentation, KEP-1287, KEP-2837. */
import type { Container, EphemeralContainer, Pod, ResourceRequirements } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import type { LinuxResources } from "../cri/runtime.ts";
import { isCriticalPod, isSidecar, qosClass } from "../pod/spec.ts";

const SHARES_PER_CPU = 1024;
const MIN_SHARES = 2;
const MAX_SHARES = 262_144;
const CFS_PERIOD_US = 100_000;
const MIN_QUOTA_US = 1000;

export type ResourceList = Readonly<Record<string, string | number>>;

export function milliCpu(list: ResourceList | undefined): number | undefined {
  const value = list?.["cpu"];
  return value === undefined ? undefined : parseQuantity(value).milliValue();
}
function bytes(list: ResourceList | undefined, name = "memory"): number | undefined {
  const value = list?.[name];
  return value === undefined ? undefined : parseQuantity(value).value();
}

export function sharesOf(milli: number): number {
  if (milli === 0) return MIN_SHARES;
  return Math.min(Math.max(Math.floor((milli * SHARES_PER_CPU) / 1000), MIN_SHARES), MAX_SHARES);
}
/** 0 means no quota. */
export function quotaOf(milli: number): number {
  return milli === 0 ? 0 : Math.max(Math.floor((milli * CFS_PERIOD_US) / 1000), MIN_QUOTA_US);
}

export function oomScoreAdj(pod: Pod, container: Container | EphemeralContainer, nodeMemoryBytes: number): number {
  if (isCriticalPod(pod)) return -997;
  const qos = qosClass(pod);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const regular = (c: Container | EphemeralContainer) => {
    const request = bytes(c.resources?.requests) ?? bytes(c.resources?.limits) ?? 0;
    const score = Math.floor(1000 - (1000 * request) / nodeMemoryBytes);
    return score < 1000 + -997 ? 3 : score >= 1000 ? 999 : score;
  };
  const own = regular(container);
  const sidecar = (pod.spec.initContainers ?? []).some((c) => isSidecar(c) && c.name === container.name);
  return sidecar ? Math.min(own, ...pod.spec.containers.map(regular)) : own;
}

export interface ResourceOptions {
  readonly nodeMemoryBytes: number;
  readonly cpuCFSQuota: boolean;
  /** The lowest oom_score_adj this machine lets us set. */
  readonly minOomScoreAdj: number;
  /** When a container is out of memory all of its processes are killed, not one of them: the kernel can on cgroup v2. */
  readonly killsTogether: boolean;
  /** Keeps containers from the machine's swap, where cgroup v2 counts it: what they ask for is memory. */
  readonly withoutSwap: boolean;
}

export function containerResources(
  pod: Pod,
  container: Container | EphemeralContainer,
  options: ResourceOptions,
): LinuxResources {
  const { requests, limits } = container.resources ?? {};
  const cpuLimit = milliCpu(limits);
  const cpuRequest = milliCpu(requests) ?? cpuLimit ?? 0;
  const podLimits = pod.spec.resources?.limits;
  const memoryLimit = bytes(limits) ?? bytes(podLimits) ?? 0;
  const quota = options.cpuCFSQuota ? quotaOf(cpuLimit ?? milliCpu(podLimits) ?? 0) : 0;
  const pageSizes = Object.entries(limits ?? {}).filter(([name]) => name.startsWith("hugepages-"));
  return {
    cpuShares: sharesOf(cpuRequest),
    // Without a limit the quota is lifted, which matters when a resize removes it.
    ...(quota > 0 ? { cpuPeriod: CFS_PERIOD_US, cpuQuota: quota } : {}),
    memoryLimitInBytes: memoryLimit,
    oomScoreAdj: Math.max(oomScoreAdj(pod, container, options.nodeMemoryBytes), options.minOomScoreAdj),
    hugepageLimits: pageSizes.map(([name, quantity]) => ({
      pageSize: hugepageName(parseQuantity(name.slice("hugepages-".length)).toNumber()),
      limit: parseQuantity(quantity).value(),
    })),
    ...(options.killsTogether || options.withoutSwap ? { unified: unifiedFiles(options) } : {}),
  };
}

/** Files of cgroup v2 that no other field stands for. */
function unifiedFiles({ killsTogether, withoutSwap }: ResourceOptions): Record<string, string> {
  return {
    ...(killsTogether ? { "memory.oom.group": "1" } : {}),
    ...(withoutSwap ? { "memory.swap.max": "0" } : {}),
  };
}

/** As the kernel names page sizes in hugetlb control files: 2MB, 1GB. */
function hugepageName(size: number): string {
  return size >= 2 ** 30 ? `${size / 2 ** 30}GB` : size >= 2 ** 20 ? `${size / 2 ** 20}MB` : `${size / 2 ** 10}KB`;
}

export interface PodSums {
  readonly milliCpuRequest: number;
  readonly milliCpuLimit: number | undefined;
  readonly memoryRequest: number;
  readonly memoryLimit: number | undefined;
}

/** The effective requests and limits of a pod: the larger of all running together and the largest init phase, plus overhead. */
export function podSums(pod: Pod): PodSums {
  const podLevel = pod.spec.resources;
  const overheadCpu = milliCpu(pod.spec.overhead) ?? 0;
  const overheadMemory = bytes(pod.spec.overhead) ?? 0;
  const sum = (read: (r: ResourceRequirements | undefined) => number | undefined): number | undefined => {
    let regular: number | undefined = 0;
    for (const { resources } of pod.spec.containers) {
      const value = read(resources);
      regular = value === undefined || regular === undefined ? undefined : regular + value;
    }
    let sidecars = 0;
    let initPeak = 0;
    for (const container of pod.spec.initContainers ?? []) {
      const value = read(container.resources);
      if (value === undefined) return undefined;
      if (isSidecar(container)) sidecars += value;
      else initPeak = Math.max(initPeak, sidecars + value);
    }
    return regular === undefined ? undefined : Math.max(regular + sidecars, initPeak);
  };
  const plus = (value: number | undefined, overhead: number) => (value === undefined ? undefined : value + overhead);
  return {
    milliCpuRequest:
      (milliCpu(podLevel?.requests) ?? sum((r) => milliCpu(r?.requests) ?? milliCpu(r?.limits) ?? 0) ?? 0) +
      overheadCpu,
    milliCpuLimit: plus(milliCpu(podLevel?.limits) ?? sum((r) => milliCpu(r?.limits)), overheadCpu),
    memoryRequest:
      (bytes(podLevel?.requests) ?? sum((r) => bytes(r?.requests) ?? bytes(r?.limits) ?? 0) ?? 0) + overheadMemory,
    memoryLimit: plus(bytes(podLevel?.limits) ?? sum((r) => bytes(r?.limits)), overheadMemory),
  };
}
