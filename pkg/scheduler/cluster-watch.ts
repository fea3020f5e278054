import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import type { SharedInformer } from "#pkg/client/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { SchedulerCache } from "./cache/cache.ts";
import { PodInfo, schedulerNameOf } from "./cache/pod-info.ts";
import {
  assignedPodAdded,
  assignedPodDeleted,
  isAssigned,
  isTerminal,
  nodeAdded,
  nodeDeleted,
  nodeUpdated,
  podUpdated,
} from "./cluster-events.ts";
import type { EventResource } from "./framework/types.ts";
import type { Nominator } from "./queue/nominator.ts";
import type { SchedulingQueue } from "./queue/scheduling-queue.ts";

/** What the scheduler watches. */
export interface WatchedInformers {
  readonly pods: SharedInformer<Pod>;
  readonly nodes: SharedInformer<Node>;
  /** Only read through their listers. */
  readonly others: readonly SharedInformer<AnyObject>[];
  /** Their changes may help waiting pods. */
  readonly events: readonly { readonly resource: EventResource; readonly informer: SharedInformer<AnyObject> }[];
}

/** Whom the watch tells of changes. */
export interface ClusterWatchDeps {
  readonly informers: WatchedInformers;
  readonly cache: SchedulerCache;
  readonly queue: SchedulingQueue;
  readonly nominator: Nominator;
  /** Is a pod of this scheduler name ours? */
  readonly isOurs: (schedulerName: string) => boolean;
}

/** Carries what the API tells into the cache and the queue. */
export class ClusterWatch {
  readonly #deps: ClusterWatchDeps;
  #onPodGone: (key: string) => void = () => undefined;

  constructor(deps: ClusterWatchDeps) {
    this.#deps = deps;
  }
  /** Begins to listen; returns a function that ends it. */
  start(onPodGone: (key: string) => void): () => void {
    this.#onPodGone = onPodGone;
    const { pods, nodes, events } = this.#deps.informers;
    const removers = [
      nodes.addHandler({
        onAdd: (node) => this.#nodeAdded(node),
        onUpdate: (node, old) => this.#nodeUpdated(node, old),
        onDelete: (node) => this.#nodeDeleted(node),
      }),
      pods.addHandler({
        onAdd: (pod) => this.#podAdded(pod),
        onUpdate: (pod, old) => this.#podUpdated(pod, old),
        onDelete: (pod) => this.#podDeleted(pod),
      }),
      ...events.map(({ resource, informer }) => {
        const move = (actions: readonly ("Add" | "Update" | "Delete")[], object?: AnyObject, old?: AnyObject) =>
          this.#deps.queue.moveOnEvent({ resource, actions, object, old });
        return informer.addHandler({
          onAdd: (object) => move(["Add"], object),
          onUpdate: (object, old) => move(["Update"], object, old),
          onDelete: (object) => move(["Delete"], undefined, object),
        });
      }),
    ];
    return () => {
      for (const remove of removers) remove();
    };
  }
  async synced(signal: AbortSignal): Promise<void> {
    const { pods, nodes, others, events } = this.#deps.informers;
    const all = [pods, nodes, ...others, ...events.map(({ informer }) => informer)];
    await Promise.all(all.map((informer) => informer.synced(signal)));
  }

  #nodeAdded(node: Node): void {
    this.#deps.cache.setNode(node);
    this.#deps.queue.moveOnEvent(nodeAdded(node));
  }
  #nodeUpdated(node: Node, old: Node): void {
    this.#deps.cache.setNode(node);
    const event = nodeUpdated(node, old);
    if (event !== undefined) this.#deps.queue.moveOnEvent(event);
  }
  #nodeDeleted(node: Node): void {
    this.#deps.cache.removeNode(node.metadata.name);
    this.#deps.queue.moveOnEvent(nodeDeleted(node));
  }

  #podAdded(pod: Pod): void {
    if (isTerminal(pod)) return;
    if (isAssigned(pod)) this.#place(pod);
    else this.#await(pod);
  }
  #podUpdated(pod: Pod, old: Pod): void {
    if (isTerminal(pod)) {
      this.#podDeleted(pod);
      return;
    }
    if (!isAssigned(pod)) {
      this.#awaitUpdated(pod, old);
      return;
    }
    if (!isAssigned(old) || isTerminal(old)) {
      this.#place(pod);
      return;
    }
    const info = new PodInfo(pod);
    this.#deps.cache.setPod(info, pod.spec.nodeName!);
    const event = podUpdated(info, old);
    if (event !== undefined) this.#deps.queue.moveOnEvent(event);
  }
  #podDeleted(pod: Pod): void {
    const { cache, queue, nominator } = this.#deps;
    const { uid, namespace, name } = pod.metadata;
    const wasPlaced = cache.placement(uid) !== undefined;
    const nominated = nominator.nodeOf(uid) !== undefined;
    queue.delete(uid);
    nominator.delete(uid);
    cache.removePod(uid);
    // A pod that held a place, or was to get one, leaves room.
    if (wasPlaced || nominated) queue.moveOnEvent(assignedPodDeleted(new PodInfo(pod)));
    this.#onPodGone(`${namespace}/${name}`);
  }

  #place(pod: Pod): void {
    const { cache, queue, nominator } = this.#deps;
    const { uid } = pod.metadata;
    queue.delete(uid);
    nominator.delete(uid);
    const info = new PodInfo(pod);
    cache.setPod(info, pod.spec.nodeName!);
    queue.moveOnEvent(assignedPodAdded(info));
  }
  #await(pod: Pod): void {
    const { queue, nominator, isOurs } = this.#deps;
    if (!isOurs(schedulerNameOf(pod))) return;
    const info = new PodInfo(pod);
    const nominated = pod.status?.nominatedNodeName;
    if (nominated !== undefined && nominated !== "") nominator.nominate(info, nominated);
    queue.add(info);
  }
  #awaitUpdated(pod: Pod, old: Pod): void {
    const { cache, queue, nominator } = this.#deps;
    const { uid } = pod.metadata;
    if (cache.isAssumed(uid)) {
      // We have placed it and the API has not heard yet; should binding fail, this is what is tried again.
      if (queue.has(uid)) queue.update(new PodInfo(pod));
      return;
    }
    if (!queue.has(uid)) {
      this.#await(pod);
      return;
    }
    const info = new PodInfo(pod);
    const nominated = nominator.nodeOf(uid);
    if (nominated !== undefined) nominator.nominate(info, nominated);
    queue.update(info);
    const event = podUpdated(info, old);
    if (event === undefined) return;
    queue.moveOne(uid, event);
  }
}
