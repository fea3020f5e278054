import type { Node, Taint } from "#pkg/api/types/core-v1.ts";
import type { HostPort, PodInfo } from "./pod-info.ts";
import { addResources, noResources, readAllocatable } from "./resources.ts";
import type { Resources } from "./resources.ts";
import { NO_LABELS } from "./selectors.ts";
import type { Labels } from "./selectors.ts";

const NO_TAINTS: readonly Taint[] = [];

/** Counts all changes of all nodes, so that no two states of any nodes have the same number. */
let changes = 0;

/** A node with the pods on it and running totals of what they take. */
export class NodeInfo {
  readonly name: string;
  #node: Node | undefined;
  labels: Labels = NO_LABELS;
  taints: readonly Taint[] = NO_TAINTS;
  /** Are there taints that only say where pods should rather not be? */
  hasSoftTaints = false;
  unschedulable = false;
  allocatable: Resources = noResources();
  allowedPods = 0;
  /** Normalised image names with their sizes in bytes. */
  images: ReadonlyMap<string, number> = new Map();
  readonly pods = new Map<string, PodInfo>();
  readonly requested: Resources = noResources();
  nonZeroMilliCpu = 0;
  nonZeroMemory = 0;
  /** Host ports in use: by "protocol/port" the addresses and how many pods use each. */
  readonly usedPorts = new Map<string, Map<string, number>>();
  /** Number of this node's value for each tracked topology key, -1 without one; kept by the TopologyIndex. */
  readonly domains: number[] = [];
  /** Changes with every change of the node or its pods; no other state of any node has the same. */
  generation = ++changes;
  /** A small number that no other node of the cache has at the same time; -1 for copies. */
  readonly slot: number;

  constructor(name: string, slot = -1) {
    this.name = name;
    this.slot = slot;
  }
  /** undefined when pods name a node that the API does not know (yet). */
  get node(): Node | undefined {
    return this.#node;
  }
  setNode(node: Node | undefined): void {
    this.#node = node;
    this.generation = ++changes;
    this.labels = node?.metadata.labels ?? NO_LABELS;
    this.taints = node?.spec.taints ?? NO_TAINTS;
    this.hasSoftTaints = this.taints.some(({ effect }) => effect === "PreferNoSchedule");
    this.unschedulable = node?.spec.unschedulable === true;
    const { resources, pods } = readAllocatable(node?.status?.allocatable);
    this.allocatable = resources;
    this.allowedPods = pods;
  }
  addPod(pod: PodInfo): void {
    this.pods.set(pod.uid, pod);
    this.#account(pod, 1);
  }
  /** Returns what was there. */
  removePod(uid: string): PodInfo | undefined {
    const pod = this.pods.get(uid);
    if (pod === undefined) return undefined;
    this.pods.delete(uid);
    this.#account(pod, -1);
    return pod;
  }
  /** A copy that pods can be added to and removed from without anybody else seeing it. */
  clone(): NodeInfo {
    const copy = new NodeInfo(this.name);
    copy.#node = this.#node;
    copy.labels = this.labels;
    copy.taints = this.taints;
    copy.hasSoftTaints = this.hasSoftTaints;
    copy.unschedulable = this.unschedulable;
    copy.allocatable = this.allocatable;
    copy.allowedPods = this.allowedPods;
    copy.images = this.images;
    for (const [uid, pod] of this.pods) copy.pods.set(uid, pod);
    addResources(copy.requested, this.requested);
    copy.nonZeroMilliCpu = this.nonZeroMilliCpu;
    copy.nonZeroMemory = this.nonZeroMemory;
    for (const [id, addresses] of this.usedPorts) copy.usedPorts.set(id, new Map(addresses));
    copy.domains.push(...this.domains);
    return copy;
  }

  #account(pod: PodInfo, sign: 1 | -1): void {
    this.generation = ++changes;
    addResources(this.requested, pod.requests, sign);
    this.nonZeroMilliCpu += sign * pod.nonZeroMilliCpu;
    this.nonZeroMemory += sign * pod.nonZeroMemory;
    for (const port of pod.hostPorts) this.#usePort(port, sign);
  }
  #usePort({ ip, protocol, port }: HostPort, sign: 1 | -1): void {
    const id = portId(protocol, port);
    let addresses = this.usedPorts.get(id);
    if (addresses === undefined) this.usedPorts.set(id, (addresses = new Map()));
    const count = (addresses.get(ip) ?? 0) + sign;
    if (count > 0) addresses.set(ip, count);
    else addresses.delete(ip);
    if (addresses.size === 0) this.usedPorts.delete(id);
  }
}

/** The key of `usedPorts`. */
export function portId(protocol: string, port: number): string {
  return `${protocol}/${port}`;
}
