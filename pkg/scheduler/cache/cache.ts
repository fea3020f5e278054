import type { Node } from "#pkg/api/types/core-v1.ts";
import { ImageIndex } from "./image-index.ts";
import { NodeInfo } from "./node-info.ts";
import { NodeOrder } from "./node-order.ts";
import { PodCountIndex } from "./pod-counts.ts";
import type { PodInfo } from "./pod-info.ts";
import { StatedTerms } from "./term-index.ts";
import { TopologyIndex } from "./topology-index.ts";

interface Placed {
  readonly pod: PodInfo;
  readonly node: NodeInfo;
}

/**
 * The cluster as scheduling sees it: nodes, the pods on them (those the API knows of and those we have just decided
 * about), and indexes over both. Kept up to date by every change, so that a scheduling cycle begins with no work; the
 * generations of nodes tell what has changed since.
 */
export class SchedulerCache {
  readonly #nodes = new Map<string, NodeInfo>();
  /** Slots of nodes that have gone; with those in use they are the numbers below their count. */
  readonly #freeSlots: number[] = [];
  readonly #placed = new Map<string, Placed>();
  readonly #byNamespace = new Map<string, Map<string, Placed>>();
  /** They stand until the API confirms them or the binding fails: whatever became of it, a watch or a new list tells. */
  readonly #assumed = new Set<string>();
  readonly #order = new NodeOrder();
  /** How many placed pods there are of each priority. */
  readonly #priorities = new Map<number, number>();
  readonly topology = new TopologyIndex();
  readonly images = new ImageIndex();
  readonly statedTerms = new StatedTerms();
  readonly podCounts: PodCountIndex;

  constructor() {
    this.podCounts = new PodCountIndex((namespace) => this.#byNamespace.get(namespace)?.values() ?? []);
  }

  /** Known nodes, the zones in turn. The same array until nodes come or go. */
  get nodes(): readonly NodeInfo[] {
    return this.#order.list();
  }
  node(name: string): NodeInfo | undefined {
    const node = this.#nodes.get(name);
    return node?.node === undefined ? undefined : node;
  }
  get podCount(): number {
    return this.#placed.size;
  }
  get assumedCount(): number {
    return this.#assumed.size;
  }
  /** Where a pod is, be it assumed. */
  placement(uid: string): Placed | undefined {
    return this.#placed.get(uid);
  }
  /** Is there any placed pod that one of this priority could displace? */
  hasLowerPriority(priority: number): boolean {
    for (const present of this.#priorities.keys()) if (present < priority) return true;
    return false;
  }
  podsIn(namespace: string): Iterable<Placed> {
    return this.#byNamespace.get(namespace)?.values() ?? [];
  }

  setNode(node: Node): void {
    const info = this.#infoOf(node.metadata.name);
    const isNew = info.node === undefined;
    info.setNode(node);
    info.images = this.images.update(info.name, node.status?.images ?? []);
    this.topology.update(info);
    if (isNew) this.#order.add(info);
    else this.#order.update(info);
  }
  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (info === undefined) return;
    this.#order.remove(info);
    this.topology.remove(info);
    this.images.update(name, []);
    info.setNode(undefined);
    // Its pods are still in the API; when the last goes, so does this.
    if (info.pods.size === 0) this.#drop(info);
  }

  /** Takes in a pod that the API says is on a node; it replaces what was known or assumed of it. */
  setPod(pod: PodInfo, nodeName: string): void {
    this.#assumed.delete(pod.uid);
    this.#place(pod, nodeName);
  }
  removePod(uid: string): void {
    this.#assumed.delete(uid);
    this.#displace(uid);
  }
  /** Counts a pod as being on the node before the API knows. */
  assume(pod: PodInfo, nodeName: string): void {
    this.#place(pod, nodeName);
    this.#assumed.add(pod.uid);
  }
  isAssumed(uid: string): boolean {
    return this.#assumed.has(uid);
  }
  /** Takes an assumption back. Does nothing once the API has confirmed it. */
  forget(uid: string): void {
    if (this.#assumed.delete(uid)) this.#displace(uid);
  }

  #place(pod: PodInfo, nodeName: string): void {
    this.#displace(pod.uid);
    const node = this.#infoOf(nodeName);
    node.addPod(pod);
    const placed = { pod, node };
    this.#placed.set(pod.uid, placed);
    let inNamespace = this.#byNamespace.get(pod.namespace);
    if (inNamespace === undefined) this.#byNamespace.set(pod.namespace, (inNamespace = new Map()));
    inNamespace.set(pod.uid, placed);
    this.#priorities.set(pod.priority, (this.#priorities.get(pod.priority) ?? 0) + 1);
    this.podCounts.podAdded(pod, node);
    this.statedTerms.podAdded(pod, node);
  }
  #displace(uid: string): void {
    const placed = this.#placed.get(uid);
    if (placed === undefined) return;
    const { pod, node } = placed;
    node.removePod(uid);
    this.#placed.delete(uid);
    const inNamespace = this.#byNamespace.get(pod.namespace);
    inNamespace?.delete(uid);
    if (inNamespace?.size === 0) this.#byNamespace.delete(pod.namespace);
    const left = this.#priorities.get(pod.priority)! - 1;
    if (left === 0) this.#priorities.delete(pod.priority);
    else this.#priorities.set(pod.priority, left);
    this.podCounts.podRemoved(pod, node);
    this.statedTerms.podRemoved(pod, node);
    if (node.node === undefined && node.pods.size === 0) this.#drop(node);
  }
  #infoOf(name: string): NodeInfo {
    let info = this.#nodes.get(name);
    if (info === undefined) {
      info = new NodeInfo(name, this.#freeSlots.pop() ?? this.#nodes.size);
      this.#nodes.set(name, info);
    }
    return info;
  }
  #drop({ name, slot }: NodeInfo): void {
    this.#nodes.delete(name);
    this.#freeSlots.push(slot);
  }
}
