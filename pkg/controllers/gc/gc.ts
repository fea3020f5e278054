/**
 * Removes what has lost all its owners: in the background (owners first), in the foreground (dependents first), or sets
 * dependents free (orphan). Works over every kind that discovery shows, custom resources included.
 */
import {
  type AnyObject,
  isConflict,
  ignoreNotFound,
  isNotFound,
  type OwnerReference,
  StatusError,
} from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, RateLimitingQueue, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "#pkg/api/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { LRUCache } from "lru-cache";
import { sleep, pause } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { workThrough } from "../common/loop.ts";
import { inParallel } from "../common/slow-start.ts";
import { type GraphNode, isDeletingDependents, OwnerGraph } from "./graph.ts";
import { type GcAction, type OwnerState, planCollection } from "./plan.ts";
import { Monitors } from "./resources.ts";

const WORKERS = 20;
const DISCOVERY_PERIOD_MS = 30_000;
const SYNC_PATIENCE_MS = 30_000;
/** Owners known not to exist; a uid never comes back. */
const ABSENT_OWNERS = 5000;
/** When an owner's kind is not known, look again this much later. */
const UNKNOWN_OWNER_MS = 10_000;

/** garbage-collector-controller. */
export function createGarbageCollector(env: ControllerEnv): Controller {
  return { name: env.name, run: (signal) => new GarbageCollector(env).run(signal) };
}

class GarbageCollector {
  readonly #env: ControllerEnv;
  readonly #queue: RateLimitingQueue<string>;
  readonly #graph: OwnerGraph;
  readonly #monitors: Monitors;
  readonly #absent = new LRUCache<string, true>({ max: ABSENT_OWNERS });
  #wake: () => void = () => undefined;
  /** Definitions have changed since discovery was last asked for. */
  #outdated = false;

  constructor(env: ControllerEnv) {
    this.#env = env;
    this.#queue = new RateLimitingQueue<string>({ clock: env.clock });
    this.#graph = new OwnerGraph({ look: (uid) => this.#queue.add(uid) });
    this.#monitors = new Monitors(env, (ref) => ({
      onAdd: (object) => this.#graph.observe(ref, object),
      onUpdate: (object) => this.#graph.observe(ref, object),
      onDelete: (object) => {
        this.#absent.set(object.metadata.uid ?? "", true);
        this.#graph.forget(object.metadata.uid ?? "");
      },
    }));
  }

  async run(signal: AbortSignal): Promise<void> {
    const { discovery, informers } = this.#env;
    const sources = discovery.sources(informers, () => {
      this.#outdated = true;
      this.#wake();
    });
    const detach = sources.map((source) => source.attach());
    try {
      if (!(await this.#firstDiscovery(signal))) return;
      await Promise.all([
        this.#followDiscovery(signal),
        workThrough(
          this.#env,
          { queue: this.#queue, workers: WORKERS, reconcile: (uid, context) => this.#reconcile(uid, context) },
          signal,
        ),
      ]);
    } finally {
      for (const stop of detach) stop();
      this.#monitors.stop();
    }
  }

  /** Nothing may be judged before the graph is whole: an owner not yet listed is not absent. */
  async #firstDiscovery(signal: AbortSignal): Promise<boolean> {
    const { clock, discovery, log } = this.#env;
    while (!signal.aborted) {
      try {
        this.#monitors.update(await discovery.get(signal), signal);
        await this.#monitors.synced(SYNC_PATIENCE_MS, signal);
        return !signal.aborted;
      } catch (err) {
        if (signal.aborted) return false;
        log.warn({ err }, "Cannot discover what to collect, will retry");
        await pause(clock, 1000, signal);
      }
    }
    return false;
  }

  async #followDiscovery(signal: AbortSignal): Promise<void> {
    const { clock, discovery, log } = this.#env;
    while (!signal.aborted) {
      if (!this.#outdated) await this.#nextDiscovery(signal);
      if (signal.aborted) return;
      this.#outdated = false;
      try {
        // Definitions come in bursts, and are served a moment after they are established.
        await sleep(clock, 100, signal);
        // Somebody else may have asked within that moment.
        discovery.invalidate();
        this.#monitors.update(await discovery.get(signal), signal);
      } catch (err) {
        if (!signal.aborted) log.warn({ err }, "Cannot follow discovery, will retry");
      }
    }
  }

  /** Resolves when discovery should be read again: after a while, when definitions change, or at the end. */
  #nextDiscovery(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#env.clock.schedule(DISCOVERY_PERIOD_MS, done);
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
    });
  }

  async #reconcile(uid: string, { signal }: ReconcileContext): Promise<Result> {
    const node = this.#graph.get(uid);
    if (node === undefined || node.virtual || node.ref === undefined) return DONE;
    const states = new Map<string, OwnerState>();
    if (!node.beingDeleted)
      for (const reference of node.owners) states.set(reference.uid, await this.#stateOf(node, reference, signal));
    const action = planCollection(node, (reference) => states.get(reference.uid) ?? "unknown");
    await ignoreNotFound(this.#carryOut(node, node.ref, action, signal));
    return [...states.values()].includes("unknown") ? { requeueAfterMs: UNKNOWN_OWNER_MS } : DONE;
  }

  async #stateOf(node: GraphNode, reference: OwnerReference, signal: AbortSignal): Promise<OwnerState> {
    if (this.#absent.has(reference.uid)) return "absent";
    const ref = this.#monitors.resolve(reference.apiVersion, reference.kind);
    if (ref === undefined) {
      // A kind that nobody serves may come back; deleting on a guess could not be undone.
      return "unknown";
    }
    if (ref.namespaced && node.namespace === "") {
      this.#reportInvalid(node, reference);
      return "unresolvable";
    }
    const owner = this.#graph.get(reference.uid);
    if (owner !== undefined && !owner.virtual && describes(owner, ref, node, reference))
      return isDeletingDependents(owner) ? "waiting" : "solid";
    return this.#readOwner(node, reference, ref, signal);
  }

  /** The cache does not have it: only the server can say that it does not exist. */
  async #readOwner(
    node: GraphNode,
    reference: OwnerReference,
    ref: ResourceRef<AnyObject>,
    signal: AbortSignal,
  ): Promise<OwnerState> {
    const { client } = this.#env;
    const key = { namespace: ref.namespaced ? node.namespace : "", name: reference.name };
    try {
      const { metadata } = await client.get(ref, key, { signal });
      if (metadata.uid === reference.uid) {
        const deletingDependents =
          metadata.deletionTimestamp !== undefined && (metadata.finalizers ?? []).includes(FOREGROUND_FINALIZER);
        return deletingDependents ? "waiting" : "solid";
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    const elsewhere = this.#graph.get(reference.uid);
    // An owner of that uid exists after all, under another name or kind, or where this object cannot refer to it.
    if (elsewhere === undefined || elsewhere.virtual) this.#absent.set(reference.uid, true);
    else if (elsewhere.namespace !== "" && elsewhere.namespace !== node.namespace) this.#reportInvalid(node, reference);
    return "absent";
  }

  #reportInvalid(node: GraphNode, { kind, name, uid, apiVersion }: OwnerReference): void {
    const text = `ownerRef [${apiVersion}/${kind}, namespace: ${node.namespace}, name: ${name}, uid: ${uid}] does not exist in namespace "${node.namespace}"`;
    this.#env.recorder.event(objectOf(node), "Warning", "OwnerRefInvalidNamespace", text);
  }

  async #carryOut(node: GraphNode, ref: ResourceRef<AnyObject>, action: GcAction, signal: AbortSignal): Promise<void> {
    const { client } = this.#env;
    const key = { namespace: node.namespace, name: node.name };
    switch (action.type) {
      case "none":
        return;
      case "wait-for":
        // Those already on their way need no push; pushing them would only go round in a circle.
        for (const uid of action.dependents) {
          const dependent = this.#graph.get(uid);
          if (dependent !== undefined && !dependent.beingDeleted) this.#queue.add(uid);
        }
        return;
      case "unlink":
        await this.#patchOwners(node, ref, (owner) => (action.uids.includes(owner.uid) ? undefined : owner), signal);
        return;
      case "unblock-and-delete":
        await this.#patchOwners(node, ref, (owner) => ({ ...owner, blockOwnerDeletion: false }), signal);
        await client.delete(ref, key, { propagationPolicy: "Foreground", preconditions: { uid: node.uid }, signal });
        return;
      case "delete": {
        // The version makes sure that the references we judged are still the ones it has.
        const preconditions = { uid: node.uid, resourceVersion: node.resourceVersion };
        await client.delete(ref, key, { propagationPolicy: action.policy, preconditions, signal });
        return;
      }
      case "orphan-dependents":
        await this.#orphanDependents(node, signal);
        await this.#removeFinalizer(node, ref, ORPHAN_FINALIZER, signal);
        return;
      case "finish-foreground":
        await this.#removeFinalizer(node, ref, FOREGROUND_FINALIZER, signal);
        return;
    }
  }

  async #orphanDependents(owner: GraphNode, signal: AbortSignal): Promise<void> {
    const error = await inParallel([...owner.dependents], async (dependent) => {
      if (dependent.ref === undefined || dependent.virtual) return;
      await ignoreNotFound(
        this.#patchOwners(
          dependent,
          dependent.ref,
          (reference) => (reference.uid === owner.uid ? undefined : reference),
          signal,
        ),
      );
    });
    if (error !== undefined) throw error;
  }

  /** Rewrites owner references; guarded by version and uid, read again when the graph is behind. */
  async #patchOwners(
    node: GraphNode,
    ref: ResourceRef<AnyObject>,
    change: (reference: OwnerReference) => OwnerReference | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#env;
    const key = { namespace: node.namespace, name: node.name };
    await this.#withFresh(node, ref, signal, async (owners, resourceVersion) => {
      const next = owners.flatMap((reference) => change(reference) ?? []);
      if (JSON.stringify(next) === JSON.stringify(owners)) return;
      const ownerReferences = next.length === 0 ? null : next;
      const patch = { metadata: { uid: node.uid, resourceVersion, ownerReferences } };
      await client.patch(ref, key, "merge", patch, { signal });
    });
  }

  async #withFresh(
    node: GraphNode,
    ref: ResourceRef<AnyObject>,
    signal: AbortSignal,
    write: (owners: readonly OwnerReference[], resourceVersion: string, finalizers: readonly string[]) => Promise<void>,
  ): Promise<void> {
    try {
      await write(node.owners, node.resourceVersion, node.finalizers);
    } catch (error) {
      if (!isConflict(error)) throw error;
      const { metadata } = await this.#env.client.get(ref, { namespace: node.namespace, name: node.name }, { signal });
      if (metadata.uid !== node.uid) return;
      await write(metadata.ownerReferences ?? [], metadata.resourceVersion ?? "", metadata.finalizers ?? []);
    }
  }

  async #removeFinalizer(
    node: GraphNode,
    ref: ResourceRef<AnyObject>,
    finalizer: string,
    signal: AbortSignal,
  ): Promise<void> {
    const { client } = this.#env;
    const key = { namespace: node.namespace, name: node.name };
    await this.#withFresh(node, ref, signal, async (_owners, resourceVersion, finalizers) => {
      if (!finalizers.includes(finalizer)) return;
      const rest = finalizers.filter((other) => other !== finalizer);
      const patch = { metadata: { uid: node.uid, resourceVersion, finalizers: rest.length === 0 ? null : rest } };
      try {
        await client.patch(ref, key, "merge", patch, { signal });
      } catch (error) {
        // With its last finalizer the object goes; some servers answer the patch with that.
        if (!(error instanceof StatusError) || error.code !== 404) throw error;
      }
    });
  }
}

/** Is the graph's node what the reference of `dependent` speaks of? Coordinates can lie. */
function describes(
  owner: GraphNode,
  ref: ResourceRef<AnyObject>,
  dependent: GraphNode,
  reference: OwnerReference,
): boolean {
  return (
    owner.ref?.group === ref.group &&
    owner.kind === reference.kind &&
    owner.name === reference.name &&
    (!ref.namespaced || owner.namespace === dependent.namespace)
  );
}

function objectOf(node: GraphNode): AnyObject {
  const { apiVersion, kind, name, uid, resourceVersion } = node;
  const namespace = node.namespace === "" ? {} : { namespace: node.namespace };
  return { apiVersion, kind, metadata: { name, uid, resourceVersion, ...namespace } };
}
