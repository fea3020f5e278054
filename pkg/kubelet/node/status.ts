/** Builds the Node object's status. Pure. */
import type { ContainerImage, Node, NodeCondition, NodeStatus } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";
import type { Image, RuntimeHandlerInfo } from "../cri/runtime.ts";
import type { MachineFacts } from "./machine.ts";

export const KUBELET_VERSION = "v1.36.0";
/** Pods get no user id range of their own here yet, whatever the runtime could do. */
export const USER_NAMESPACES_SUPPORTED = false;
/** Names longer than this many tags of one image help nobody. */
const MAX_NAMES_PER_IMAGE = 5;

/** What the node's status is made of; `now` in epoch milliseconds. */
export interface NodeStatusInput {
  readonly node: Node | undefined;
  readonly now: number;
  readonly machine: MachineFacts;
  readonly config: KubeletConfig;
  readonly addresses: readonly string[];
  readonly hostname: string;
  readonly runtime: { readonly name: string; readonly version: string };
  readonly handlers: readonly RuntimeHandlerInfo[];
  readonly supplementalGroupsPolicy: boolean;
  readonly images: readonly Image[];
  /** Why the node is not ready; empty when it is. */
  readonly problems: readonly string[];
  readonly pressure: { readonly memory: boolean; readonly disk: boolean; readonly pid: boolean };
  readonly diskCapacityBytes: number;
  readonly volumesInUse: readonly string[];
  readonly port: number;
}

type Resources = Record<string, string>;

function reserved(config: KubeletConfig, name: string): number {
  const of = (list: Readonly<Record<string, string>>) =>
    list[name] === undefined ? 0 : parseQuantity(list[name]).toNumber();
  return of(config.systemReserved) + of(config.kubeReserved);
}

/** What pods may have together: eviction is to act before they are there, so what it keeps free is not taken off. */
export function memoryForPods(machine: MachineFacts, config: KubeletConfig): number {
  return Math.max(0, machine.memoryBytes - reserved(config, "memory"));
}

function threshold(config: KubeletConfig, signal: string, capacity: number): number {
  const value = config.evictionHard[signal];
  if (value === undefined) return 0;
  return value.endsWith("%") ? (capacity * Number(value.slice(0, -1))) / 100 : parseQuantity(value).toNumber();
}

function capacityOf({
  machine,
  config,
  diskCapacityBytes,
}: Pick<NodeStatusInput, "machine" | "config" | "diskCapacityBytes">): { capacity: Resources; allocatable: Resources } {
  const kibibytes = (value: number) => `${Math.floor(value / 1024)}Ki`;
  const capacity: Resources = {
    cpu: String(machine.cpuCount),
    memory: kibibytes(machine.memoryBytes),
    "ephemeral-storage": kibibytes(diskCapacityBytes),
    pods: String(config.maxPods),
  };
  let hugeBytes = 0;
  for (const [size, count] of machine.hugepages) {
    hugeBytes += size * count;
    capacity[`hugepages-${size >= 2 ** 30 ? `${size / 2 ** 30}Gi` : `${size / 2 ** 20}Mi`}`] =
      count === 0 ? "0" : kibibytes(size * count);
  }
  const milliCpu = Math.max(0, machine.cpuCount * 1000 - reserved(config, "cpu") * 1000);
  const memory =
    machine.memoryBytes -
    reserved(config, "memory") -
    threshold(config, "memory.available", machine.memoryBytes) -
    hugeBytes;
  const disk =
    diskCapacityBytes -
    reserved(config, "ephemeral-storage") -
    threshold(config, "nodefs.available", diskCapacityBytes);
  const allocatable: Resources = {
    ...capacity,
    cpu: milliCpu % 1000 === 0 ? String(milliCpu / 1000) : `${milliCpu}m`,
    memory: kibibytes(Math.max(0, memory)),
    "ephemeral-storage": String(Math.max(0, Math.floor(disk))),
  };
  return { capacity, allocatable };
}

/** Extended resources are others' business (device plugins, an administrator's patch): they are kept and mirrored. */
function withExtended(
  own: { capacity: Resources; allocatable: Resources },
  old: NodeStatus | undefined,
): { capacity: Resources; allocatable: Resources } {
  const capacity = { ...own.capacity };
  const allocatable = { ...own.allocatable };
  for (const [name, value] of Object.entries(old?.capacity ?? {})) {
    if (name in own.capacity || !name.includes("/")) continue;
    capacity[name] = String(value);
    allocatable[name] = String(value);
  }
  return { capacity, allocatable };
}

function condition(
  old: Node | undefined,
  now: number,
  type: string,
  status: "True" | "False",
  reason: string,
  message: string,
): NodeCondition {
  const before = old?.status?.conditions?.find((candidate) => candidate.type === type);
  const since = before !== undefined && before.status === status ? before.lastTransitionTime : formatTime(now);
  return { type, status, reason, message, lastHeartbeatTime: formatTime(now), lastTransitionTime: since };
}

function conditionsOf({ node, now, problems, pressure }: NodeStatusInput): NodeCondition[] {
  const pick = (
    type: string,
    bad: boolean,
    reasons: [bad: string, good: string],
    messages: [bad: string, good: string],
  ) =>
    condition(node, now, type, bad ? "True" : "False", bad ? reasons[0] : reasons[1], bad ? messages[0] : messages[1]);
  return [
    pick(
      "MemoryPressure",
      pressure.memory,
      ["KubeletHasInsufficientMemory", "KubeletHasSufficientMemory"],
      ["kubelet has insufficient memory available", "kubelet has sufficient memory available"],
    ),
    pick(
      "DiskPressure",
      pressure.disk,
      ["KubeletHasDiskPressure", "KubeletHasNoDiskPressure"],
      ["kubelet has disk pressure", "kubelet has no disk pressure"],
    ),
    pick(
      "PIDPressure",
      pressure.pid,
      ["KubeletHasInsufficientPID", "KubeletHasSufficientPID"],
      ["kubelet has insufficient PID available", "kubelet has sufficient PID available"],
    ),
    problems.length === 0
      ? condition(node, now, "Ready", "True", "KubeletReady", "kubelet is posting ready status")
      : condition(node, now, "Ready", "False", "KubeletNotReady", problems.join(", ")),
  ];
}

function imagesOf(images: readonly Image[], max: number): ContainerImage[] {
  const sorted = [...images].sort((a, b) => b.sizeBytes - a.sizeBytes);
  return (max < 0 ? sorted : sorted.slice(0, max)).map(({ repoDigests, repoTags, sizeBytes }) => ({
    names: [...repoDigests, ...repoTags].slice(0, MAX_NAMES_PER_IMAGE),
    sizeBytes,
  }));
}

/** Features of version skew that this kubelet has, sorted: resizes and restarts of all containers need them (KEP-5328). */
const DECLARED_FEATURES = [
  "ExtendWebSocketsToKubelet",
  "GuaranteedQoSPodCPUResize",
  "InPlacePodLevelResourcesVerticalScaling",
  "RestartAllContainersOnContainerExits",
];

/** The whole status that this node reports. Pure. */
export function nodeStatus(input: NodeStatusInput): NodeStatus {
  const { machine, config, node } = input;
  const old = node?.status;
  return {
    ...withExtended(capacityOf(input), old),
    conditions: conditionsOf(input),
    addresses: [
      ...input.addresses.map((address) => ({ type: "InternalIP", address })),
      { type: "Hostname", address: input.hostname },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: input.port } },
    nodeInfo: {
      machineID: machine.machineID,
      systemUUID: machine.systemUUID,
      bootID: machine.bootID,
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      containerRuntimeVersion: `${input.runtime.name}://${plainVersion(input.runtime.version)}`,
      kubeletVersion: KUBELET_VERSION,
      kubeProxyVersion: "",
      operatingSystem: "linux",
      architecture: machine.architecture,
      ...(machine.swapBytes > 0 ? { swap: { capacity: machine.swapBytes } } : {}),
    },
    images: imagesOf(input.images, config.nodeStatusMaxImages),
    ...(input.volumesInUse.length === 0 ? {} : { volumesInUse: [...input.volumesInUse] }),
    ...(input.handlers.length === 0
      ? {}
      : {
          runtimeHandlers: input.handlers.map(({ name, recursiveReadOnlyMounts, userNamespaces }) => ({
            name,
            features: { recursiveReadOnlyMounts, userNamespaces: userNamespaces && USER_NAMESPACES_SUPPORTED },
          })),
        }),
    features: { supplementalGroupsPolicy: input.supplementalGroupsPolicy },
    declaredFeatures: [...DECLARED_FEATURES],
  };
}

/** What the node says of itself besides its status. */
export function nodeLabels(config: KubeletConfig, hostname: string, architecture: string): Record<string, string> {
  return {
    "kubernetes.io/hostname": hostname,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": architecture,
    ...config.nodeLabels,
  };
}

/** A version without what a distribution adds to it (1.6.20~ds1); what is of the version itself stays (2.0.0-rc.1). */
function plainVersion(version: string): string {
  return /^v?(\d+(?:\.\d+)*(?:[-+][\w.+-]*$)?)/.exec(version)?.[1] ?? version;
}
