/**
 * Keeps the status of PodDisruptionBudgets. The eviction subresource of the API server trusts what it says and counts
 * down.
 */
import {
  controllerOf,
  deepEqual,
  ignoreNotFound,
  isNotFound,
  keyOf,
  keyString,
  type ObjectKey,
  type OwnerReference,
  parseApiVersion,
  parseKey,
} from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  RateLimitingQueue,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import {
  deployments,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import type { Scale as ScaleObject } from "#pkg/api/types/autoscaling-v1.ts";
import { errorMessage, formatTime, parseTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { again, createLoop, createQueue, enqueueSelf, type KeyQueue, watching, workThrough } from "../common/loop.ts";
import { isPodReady, isPodTerminal, podCondition } from "../common/pods.ts";
import { sameStatus } from "../common/status.ts";
import { printSelector } from "../common/print-selector.ts";
import { planBudget, type Scale, selectorOf } from "./plan.ts";

/** A pod that was to be disrupted and still is not deleted after this long gets its condition reset. */
const STALE_DISRUPTION_MS = 2 * 60_000;

/** Keeps the status of PodDisruptionBudgets: how many pods may be evicted now. */
export function createDisruptionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const stale = new RateLimitingQueue<string>({ clock });
  const reconciler = new DisruptionReconciler(env);
  return createLoop(env, {
    workers: 4,
    queue,
    sources: [
      watching(informers.of(podDisruptionBudgets), enqueueSelf<PodDisruptionBudget>(queue)),
      watching(informers.pods(), podHandler(env, queue, stale)),
      // Sizes of owners; a change of theirs shows in the pods soon enough.
      watching(informers.of(replicaSets)),
      watching(informers.of(replicationControllers)),
      watching(informers.of(deployments)),
      watching(informers.of(statefulSets)),
    ],
    reconcile: (key, context) => reconciler.reconcile(key, context),
    background: (signal) =>
      workThrough(
        env,
        {
          queue: stale,
          queueName: "stale_pod_disruption",
          workers: 1,
          reconcile: (key, context) => resetDisruption(env, parseKey(key), context),
        },
        signal,
      ),
  });
}

function podHandler({ informers }: ControllerEnv, queue: KeyQueue, stale: KeyQueue): EventHandler<Pod> {
  const watchDisruption = (pod: Pod) => {
    if (isDisrupted(pod)) stale.add(keyString(keyOf(pod)));
  };
  const add = (pod: Pod) => {
    for (const budget of informers.of(podDisruptionBudgets).lister.list(pod.metadata.namespace))
      if (selectorOf(budget)?.matches(pod.metadata.labels) === true) queue.add(keyString(keyOf(budget)));
  };
  return {
    onAdd(pod) {
      add(pod);
      watchDisruption(pod);
    },
    onUpdate(pod, old) {
      watchDisruption(pod);
      const same =
        isPodReady(pod) === isPodReady(old) &&
        pod.metadata.deletionTimestamp === old.metadata.deletionTimestamp &&
        pod.status?.phase === old.status?.phase &&
        deepEqual(pod.metadata.labels, old.metadata.labels) &&
        controllerOf(pod)?.uid === controllerOf(old)?.uid;
      if (same) return;
      add(pod);
      add(old);
    },
    onDelete: add,
  };
}

class DisruptionReconciler {
  readonly #env: ControllerEnv;

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, clock, informers, recorder } = this.#env;
    const budget = informers.of(podDisruptionBudgets).lister.get(key);
    if (budget === undefined) return DONE;
    const selector = selectorOf(budget);
    const selected =
      selector === undefined
        ? []
        : informers
            .pods()
            .lister.list(key.namespace)
            .filter((pod) => selector.matches(pod.metadata.labels));
    if (selected.length === 0) recorder.event(budget, "Normal", "NoPods", "No matching pods found");
    const { scale, unmanaged } = await this.#scale(budget, selected, signal);
    if (unmanaged) recorder.event(budget, "Warning", "UnmanagedPods", unmanagedPods(budget));
    const { status, requeueAfterMs } = planBudget(budget, selected, () => scale, clock.now());
    const failure = status.conditions?.find(({ reason }) => reason === "SyncFailed");
    if (failure !== undefined) {
      recorder.event(
        budget,
        "Warning",
        "CalculateExpectedPodCountFailed",
        `Failed to calculate the number of expected pods: ${failure.message}`,
      );
    }
    if (!sameStatus(budget.status, status)) {
      await ignoreNotFound(client.updateStatus(podDisruptionBudgets, { ...budget, status }, { signal }));
    }
    return again(requeueAfterMs);
  }

  /** Sum of the sizes of all controllers that own the pods, each counted once. */
  async #scale(
    budget: PodDisruptionBudget,
    selected: readonly Pod[],
    signal: AbortSignal,
  ): Promise<{ readonly scale: Scale; readonly unmanaged: boolean }> {
    if (budget.spec.maxUnavailable === undefined && typeof budget.spec.minAvailable !== "string")
      return { scale: { kind: "known", replicas: selected.length }, unmanaged: false };
    const sizes = new Map<string, number>();
    let unmanaged = false;
    for (const pod of selected) {
      const owner = controllerOf(pod);
      if (owner === undefined) {
        unmanaged = true;
        continue;
      }
      if (sizes.has(owner.uid)) continue;
      try {
        const found =
          (await this.#ownerScale(pod.metadata.namespace ?? "", owner)) ??
          (await this.#scaleSubresource(pod.metadata.namespace ?? "", owner, signal));
        if (found === undefined) throw new Error(`found no controllers for pod ${JSON.stringify(pod.metadata.name)}`);
        sizes.set(found.uid, found.replicas);
        sizes.set(owner.uid, found.uid === owner.uid ? found.replicas : 0);
      } catch (error) {
        return { scale: { kind: "unknown", message: errorMessage(error) }, unmanaged: false };
      }
    }
    const replicas = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    return { scale: { kind: "known", replicas }, unmanaged };
  }

  /** Of the kinds whose objects are at hand. */
  async #ownerScale(namespace: string, owner: OwnerReference): Promise<{ uid: string; replicas: number } | undefined> {
    const { informers } = this.#env;
    const key = { namespace, name: owner.name };
    switch (owner.kind) {
      case "ReplicaSet": {
        const replicaSet = informers.of(replicaSets).lister.get(key);
        if (replicaSet?.metadata.uid !== owner.uid) return undefined;
        const parent = controllerOf(replicaSet);
        if (parent?.kind === "Deployment") {
          const deployment = informers.of(deployments).lister.get({ namespace, name: parent.name });
          if (deployment?.metadata.uid !== parent.uid) return undefined;
          return { uid: parent.uid, replicas: deployment.spec.replicas ?? 1 };
        }
        return { uid: owner.uid, replicas: replicaSet.spec.replicas ?? 1 };
      }
      case "ReplicationController": {
        const found = informers.of(replicationControllers).lister.get(key);
        return found?.metadata.uid === owner.uid ? { uid: owner.uid, replicas: found.spec.replicas ?? 1 } : undefined;
      }
      case "StatefulSet": {
        const found = informers.of(statefulSets).lister.get(key);
        return found?.metadata.uid === owner.uid ? { uid: owner.uid, replicas: found.spec.replicas ?? 1 } : undefined;
      }
      default:
        return undefined;
    }
  }

  /** Any other kind that has a scale. */
  async #scaleSubresource(
    namespace: string,
    owner: OwnerReference,
    signal: AbortSignal,
  ): Promise<{ uid: string; replicas: number } | undefined> {
    const { group } = parseApiVersion(owner.apiVersion);
    const { resources } = await this.#env.discovery.get(signal);
    const served = resources.find(({ ref }) => ref.group === group && ref.kind === owner.kind);
    if (served === undefined)
      throw new Error(
        `no matches for kind ${JSON.stringify(owner.kind)} in version ${JSON.stringify(owner.apiVersion)}`,
      );
    const { version, plural } = served.ref;
    const base = group === "" ? `/api/${version}` : `/apis/${group}/${version}`;
    const path = `${base}/namespaces/${namespace}/${plural}/${owner.name}/scale`;
    try {
      const scale = await this.#env.client.raw<ScaleObject>("GET", path, undefined, { signal });
      return scale.metadata?.uid === owner.uid ? { uid: owner.uid, replicas: scale.spec?.replicas ?? 0 } : undefined;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // Either there is no such object, or objects of the kind have no scale at all.
      const { resources: all } = await this.#env.client.raw<{ resources: { name: string }[] }>("GET", base, undefined, {
        signal,
      });
      if (all.some(({ name }) => name === `${plural}/scale`)) return undefined;
      const kind = group === "" ? plural : `${plural}.${group}`;
      throw new Error(`${kind} does not implement the scale subresource`, { cause: error });
    }
  }
}

function unmanagedPods({ spec }: PodDisruptionBudget): string {
  return (
    `Pods selected by this PodDisruptionBudget (selector: ${printSelector(spec.selector)}) were found to be unmanaged. ` +
    "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. " +
    'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
  );
}

/** Somebody announced the pod's disruption, and it has neither been deleted nor ended. */
function isDisrupted(pod: Pod): boolean {
  const condition = podCondition(pod, "DisruptionTarget");
  return (
    condition?.status === "True" &&
    condition.reason !== "TerminationByKubelet" &&
    pod.metadata.deletionTimestamp === undefined &&
    !isPodTerminal(pod)
  );
}

/** A pod that keeps the condition for long without being deleted was not disrupted after all. */
async function resetDisruption(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, clock, informers } = env;
  const pod = informers.pods().lister.get(key);
  if (pod === undefined || !isDisrupted(pod)) return DONE;
  const since = parseTime(podCondition(pod, "DisruptionTarget")?.lastTransitionTime) ?? 0;
  const left = since + STALE_DISRUPTION_MS - clock.now();
  if (left > 0) return { requeueAfterMs: left };
  const conditions = [{ type: "DisruptionTarget", status: "False", lastTransitionTime: formatTime(clock.now()) }];
  const patch = { metadata: { uid: pod.metadata.uid }, status: { conditions } };
  await ignoreNotFound(client.patch(pods, key, "strategic", patch, { subresource: "status", signal }));
  return DONE;
}
