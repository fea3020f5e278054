/**
 * Keeps as many pods as ReplicaSets and ReplicationControllers ask for. The two kinds differ in their words only
 * (flavor.ts). Nothing is made or deleted before the cache shows what the last turn did: Expectations know.
 */
import {
  type AnyObject,
  controllerOf,
  ignoreNotFound,
  keyOf,
  keyString,
  type ObjectKey,
} from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, Expectations, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { ReplicaSetStatus } from "#pkg/api/types/apps-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { claim, planClaims, selects } from "../common/claim.ts";
import type { ControllerEnv } from "../common/env.ts";
import { again, createLoop, createQueue, enqueueSelf, watching } from "../common/loop.ts";
import { ownedPodsHandler } from "../common/owned-pods.ts";
import { PodControl } from "../common/pod-control.ts";
import { controllerRef, podFromTemplate } from "../common/pod-template.ts";
import { isPodActive, isPodTerminating } from "../common/pods.ts";
import { OWNER_INDEX, ownedOrOrphaned } from "../common/shared-informers.ts";
import { sameStatus } from "../common/status.ts";
import { type Flavor, replicaSetFlavor, replicationControllerFlavor } from "./flavor.ts";
import {
  isInterim,
  planReplicas,
  planStatus,
  type ReplicaFailure,
  type ReplicaOwner,
  type ReplicaPlan,
} from "./plan.ts";

const WORKERS = 64;
/** How long a cache may stay behind our own writes before the status is written from it all the same. */
const CATCH_UP_MS = 1000;
/** Of pods that become ready one after the other not each is worth two writes, its owner's and that one's owner's. */
const INTERIM_STATUS_MS = 250;

/** replicaset-controller. */
export function createReplicaSetController(env: ControllerEnv): Controller {
  return createReplicaController(env, replicaSetFlavor);
}

/** replicationcontroller-controller. */
export function createReplicationControllerController(env: ControllerEnv): Controller {
  return createReplicaController(env, replicationControllerFlavor);
}

function createReplicaController<T extends AnyObject>(env: ControllerEnv, flavor: Flavor<T>): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const expectations = new Expectations(clock);
  const owners = informers.owned(flavor.resource);
  const podInformer = informers.pods();
  const handler = ownedPodsHandler<T>({
    kind: flavor.kind,
    owners: owners.lister,
    queue,
    expectations,
    selects: (owner, pod) => flavor.view(owner).selector.matches(pod.metadata.labels),
    minReadySeconds: (owner) => flavor.view(owner).minReadySeconds,
  });
  const reconciler = new ReplicaReconciler(env, flavor, expectations);
  return createLoop(env, {
    workers: WORKERS,
    queue,
    sources: [watching(owners, enqueueSelf<T>(queue)), watching(podInformer, handler)],
    reconcile: (key, context) => reconciler.reconcile(key, context),
  });
}

class ReplicaReconciler<T extends AnyObject> {
  readonly #env: ControllerEnv;
  readonly #flavor: Flavor<T>;
  readonly #expectations: Expectations;
  readonly #podControl: PodControl;
  /** Owners whose own writes the cache has not shown yet, since when. */
  readonly #behindSince = new Map<string, number>();
  /** Monotonic time of each owner's last write of its status. */
  readonly #writtenAt = new Map<string, number>();

  constructor(env: ControllerEnv, flavor: Flavor<T>, expectations: Expectations) {
    this.#env = env;
    this.#flavor = flavor;
    this.#expectations = expectations;
    this.#podControl = new PodControl(env, expectations);
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers, client, clock } = this.#env;
    const { resource, kind, apiVersion } = this.#flavor;
    const object = informers.of(resource).lister.get(key);
    if (object === undefined) {
      this.#expectations.forget(keyString(key));
      this.#behindSince.delete(keyString(key));
      this.#writtenAt.delete(keyString(key));
      return DONE; // its pods now belong to the garbage collector
    }
    const owner = this.#flavor.view(object);
    const cacheIsCurrent = this.#expectations.satisfied(keyString(key));
    if (this.#catchesUp(keyString(key), cacheIsCurrent)) return { requeueAfterMs: CATCH_UP_MS };
    const candidates = ownedOrOrphaned(informers.pods().lister, object.metadata.uid ?? "", key.namespace);
    const plan = planClaims(object, candidates.filter(isPodActive), selects(owner.selector));
    const active = await claim(plan, {
      client,
      resource: pods,
      reference: controllerRef(object, { apiVersion, kind }),
      freshOwner: () => client.get(resource, key, { signal }),
      signal,
    });
    let failure: { error: unknown; report: ReplicaFailure } | undefined;
    if (cacheIsCurrent) {
      const replicas = planReplicas(owner, active, this.#relatedOnNode(object), clock.now());
      failure = await this.#apply(object, owner, replicas, signal);
      // The new pods' events bring us back, and then there is something to report.
      if (failure === undefined && !this.#expectations.satisfied(keyString(key)))
        return { requeueAfterMs: CATCH_UP_MS };
    }
    const terminating = this.#flavor.countsTerminating
      ? candidates.filter((pod) => isPodTerminating(pod) && controllerOf(pod)?.uid === object.metadata.uid).length
      : undefined;
    const { status, recheckAfterMs } = planStatus(owner, active, terminating, failure?.report, clock.now());
    const laterMs = isInterim(owner, status) ? this.#interimWait(keyString(key)) : undefined;
    if (laterMs === undefined) await this.#writeStatus(object, owner, status, signal);
    if (failure !== undefined) throw failure.error;
    return again(
      laterMs,
      recheckAfterMs === undefined ? undefined : recheckAfterMs + 1000,
      this.#expectations.expiresInMs(keyString(key)),
    );
  }

  /**
   * While a burst of our own pods arrives there is nothing to decide, and a status written for each would be outdated
   * at once. A cache that stays behind holds the status up only briefly.
   */
  #catchesUp(id: string, cacheIsCurrent: boolean): boolean {
    if (cacheIsCurrent) {
      this.#behindSince.delete(id);
      return false;
    }
    const now = this.#env.clock.monotonic();
    const since = this.#behindSince.get(id) ?? now;
    this.#behindSince.set(id, since);
    return now - since < CATCH_UP_MS;
  }

  /** Counts active pods per node over all siblings of the same controller: a Deployment's other ReplicaSets. */
  #relatedOnNode(object: T): (nodeName: string) => number {
    let counts: Map<string, number> | undefined;
    return (nodeName) => {
      if (counts === undefined) {
        counts = new Map();
        const controller = controllerOf(object);
        const { informers } = this.#env;
        const siblings =
          controller === undefined
            ? [object]
            : informers.of(this.#flavor.resource).lister.byIndex(OWNER_INDEX, controller.uid);
        for (const sibling of siblings)
          for (const pod of informers.pods().lister.byIndex(OWNER_INDEX, sibling.metadata.uid ?? ""))
            if (isPodActive(pod)) counts.set(pod.spec.nodeName ?? "", (counts.get(pod.spec.nodeName ?? "") ?? 0) + 1);
      }
      return counts.get(nodeName) ?? 0;
    };
  }

  async #apply(
    object: T,
    owner: ReplicaOwner,
    plan: ReplicaPlan,
    signal: AbortSignal,
  ): Promise<{ error: unknown; report: ReplicaFailure } | undefined> {
    if (plan.create > 0) {
      const reference = controllerRef(object, this.#flavor);
      const draft = () => podFromTemplate(owner.template, object, reference);
      const { error } = await this.#podControl.create(object, plan.create, draft, signal);
      if (error !== undefined) return { error, report: { reason: "FailedCreate", message: errorMessage(error) } };
    }
    if (plan.delete.length > 0) {
      const { error } = await this.#podControl.delete(object, plan.delete, signal);
      if (error !== undefined) return { error, report: { reason: "FailedDelete", message: errorMessage(error) } };
    }
    return undefined;
  }

  /** Set where the last write is so young that the next may wait: for how long. */
  #interimWait(id: string): number | undefined {
    const leftMs = (this.#writtenAt.get(id) ?? -Infinity) + INTERIM_STATUS_MS - this.#env.clock.monotonic();
    return leftMs > 0 ? leftMs : undefined;
  }

  async #writeStatus(object: T, owner: ReplicaOwner, status: ReplicaSetStatus, signal: AbortSignal): Promise<void> {
    if (sameStatus(owner.status, status)) return;
    this.#writtenAt.set(keyString(keyOf(object)), this.#env.clock.monotonic());
    await ignoreNotFound(
      this.#env.client.updateStatus(this.#flavor.resource, this.#flavor.withStatus(object, status), { signal }),
    );
  }
}
