/**
 * Rolls Deployments out: a ReplicaSet for each version of the pod template, of which one grows while the others
 * shrink. The plan decides all of a turn at once; here it is written, ReplicaSets first, status last.
 */
import { LRUCache } from "lru-cache";
import {
  controllerOf,
  isAlreadyExists,
  ignoreNotFound,
  isNotFound,
  keyOf,
  keyString,
  labelSelectorAsSelector,
  type ObjectKey,
} from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { deployments, replicaSets } from "#pkg/api/refs.ts";
import type { Deployment, DeploymentStatus, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { claim, planClaims, selects, safeSelector } from "../common/claim.ts";
import { withCondition } from "../common/conditions.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { again, createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { sameLabels } from "../common/owned-pods.ts";
import { controllerRef } from "../common/pod-template.ts";
import { OWNER_INDEX, ownedOrOrphaned } from "../common/shared-informers.ts";
import { sameStatus } from "../common/status.ts";
import { WriteBarrier } from "../common/write-barrier.ts";
import { REVISION } from "./annotations.ts";
import { hasProgressDeadline, sizeOf } from "./arithmetic.ts";
import { type DeploymentPlan, planDeployment, sameTemplate } from "./plan.ts";
import { deploymentCondition } from "./status.ts";

const WORKERS = 64;
/** How long to wait for the cache to show a ReplicaSet that we made. */
const CATCH_UP_MS = 10_000;

/** deployment-controller. */
export function createDeploymentController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const deploymentInformer = informers.of(deployments);
  const replicaSetInformer = informers.owned(replicaSets);
  const podInformer = informers.pods();
  const reconciler = new DeploymentReconciler(env);
  return createLoop(env, {
    workers: WORKERS,
    queue,
    sources: [
      watching(deploymentInformer, enqueueSelf<Deployment>(queue)),
      watching(replicaSetInformer, replicaSetHandler(env, queue)),
      watching(podInformer, podHandler(env, queue)),
    ],
    reconcile: (key, context) => reconciler.reconcile(key, context),
  });
}

function replicaSetHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<ReplicaSet> {
  const { lister } = informers.of(deployments);
  const addOwner = (replicaSet: ReplicaSet) => {
    const owner = controllerOf(replicaSet);
    if (owner?.kind !== "Deployment") return;
    const key = { namespace: replicaSet.metadata.namespace ?? "", name: owner.name };
    if (lister.get(key)?.metadata.uid === owner.uid) queue.add(keyString(key));
  };
  const addMatching = (replicaSet: ReplicaSet) => {
    for (const deployment of lister.list(replicaSet.metadata.namespace))
      if (safeSelector(deployment.spec.selector).matches(replicaSet.metadata.labels))
        queue.add(keyString(keyOf(deployment)));
  };
  return {
    onAdd(replicaSet) {
      if (controllerOf(replicaSet) !== undefined) addOwner(replicaSet);
      else if (replicaSet.metadata.deletionTimestamp === undefined) addMatching(replicaSet);
    },
    onUpdate(replicaSet, old) {
      if (replicaSet.metadata.resourceVersion === old.metadata.resourceVersion) return;
      const changedOwner = controllerOf(replicaSet)?.uid !== controllerOf(old)?.uid;
      if (changedOwner) addOwner(old);
      if (controllerOf(replicaSet) !== undefined) addOwner(replicaSet);
      else if (changedOwner || !sameLabels(replicaSet.metadata.labels, old.metadata.labels)) addMatching(replicaSet);
    },
    onDelete: addOwner,
  };
}

/** Recreate goes on when the last old pod has stopped: only then do pods matter here. */
function podHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<Pod> {
  const onGone = (pod: Pod) => {
    const owner = controllerOf(pod);
    if (owner?.kind !== "ReplicaSet") return;
    const namespace = pod.metadata.namespace ?? "";
    const replicaSet = informers.of(replicaSets).lister.get({ namespace, name: owner.name });
    const deploymentName = replicaSet === undefined ? undefined : controllerOf(replicaSet)?.name;
    if (deploymentName === undefined) return;
    const deployment = informers.of(deployments).lister.get({ namespace, name: deploymentName });
    if (deployment?.spec.strategy?.type === "Recreate") queue.add(keyString(keyOf(deployment)));
  };
  return {
    onUpdate(pod, old) {
      if (pod.status?.phase !== old.status?.phase) onGone(pod);
    },
    onDelete: onGone,
  };
}

class DeploymentReconciler {
  readonly #env: ControllerEnv;
  readonly #barrier = new WriteBarrier();
  /** The last ReplicaSet made for each Deployment, until the cache shows it. */
  readonly #created = new LRUCache<string, { readonly name: string; readonly at: number }>({ max: 1000 });

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, clock, informers, recorder } = this.#env;
    const deployment = informers.of(deployments).lister.get(key);
    if (deployment === undefined) return DONE;
    const selector = labelSelectorAsSelector(deployment.spec.selector);
    if (selector.empty) {
      recorder.event(
        deployment,
        "Warning",
        "SelectingAll",
        "This deployment is selecting all pods. A non-empty selector is required.",
      );
      await this.#writeStatus(
        deployment,
        undefined,
        { ...deployment.status, observedGeneration: deployment.metadata.generation ?? 0 },
        signal,
      );
      return DONE;
    }
    const { lister } = informers.owned(replicaSets);
    const candidates = ownedOrOrphaned(lister, deployment.metadata.uid, key.namespace);
    const owned = await claim(planClaims(deployment, candidates, selects(selector)), {
      client,
      resource: replicaSets,
      reference: controllerRef(deployment, { apiVersion: "apps/v1", kind: "Deployment" }),
      freshOwner: () => client.get(deployments, key, { signal }),
      signal,
    });
    const pods = () =>
      owned.flatMap((replicaSet) => informers.pods().lister.byIndex(OWNER_INDEX, replicaSet.metadata.uid));
    // Sizes are planned from the sum of all: one that is missing or outdated would let too many pods start.
    if (this.#isBehind(deployment, owned)) return { requeueAfterMs: 1000 };
    const plan = planDeployment(deployment, owned, pods, clock.now());
    await this.#apply(deployment, plan, signal);
    return again(plan.requeueAfterMs);
  }

  #isBehind(deployment: Deployment, owned: readonly ReplicaSet[]): boolean {
    const { uid } = deployment.metadata;
    const created = this.#created.get(uid);
    if (created !== undefined) {
      const isSeen = owned.some(({ metadata }) => metadata.name === created.name);
      if (!isSeen && this.#env.clock.monotonic() - created.at < CATCH_UP_MS) return true;
      this.#created.delete(uid);
    }
    return owned.some((replicaSet) => !this.#barrier.isCurrent(replicaSet));
  }

  async #apply(deployment: Deployment, plan: DeploymentPlan, signal: AbortSignal): Promise<void> {
    const { client, recorder } = this.#env;
    if (plan.create !== undefined) {
      await this.#create(deployment, plan, signal);
      return;
    }
    for (const { replicaSet, resizedFrom } of plan.update) {
      this.#barrier.wrote(await client.update(replicaSets, replicaSet, { signal }));
      if (resizedFrom === undefined) continue;
      const size = sizeOf(replicaSet);
      const direction = size > resizedFrom ? "up" : "down";
      const message = `Scaled ${direction} replica set ${replicaSet.metadata.name} from ${resizedFrom} to ${size}`;
      recorder.event(deployment, "Normal", "ScalingReplicaSet", message);
    }
    for (const replicaSet of plan.delete) {
      const preconditions = { uid: replicaSet.metadata.uid, resourceVersion: replicaSet.metadata.resourceVersion };
      try {
        await client.delete(replicaSets, keyOf(replicaSet), { preconditions, signal });
        this.#barrier.forget(replicaSet.metadata.uid);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    await this.#writeStatus(deployment, plan.revision, plan.status, signal);
  }

  async #create(deployment: Deployment, plan: DeploymentPlan, signal: AbortSignal): Promise<void> {
    const { client, recorder, clock } = this.#env;
    const draft = plan.create!;
    try {
      const created = await client.create(replicaSets, draft, { signal });
      this.#created.set(deployment.metadata.uid, { name: created.metadata.name, at: this.#env.clock.monotonic() });
    } catch (error) {
      if (isAlreadyExists(error) && (await this.#isOurs(deployment, draft.metadata.name ?? "", signal))) return;
      if (isAlreadyExists(error)) {
        const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
        await this.#writeStatus(deployment, undefined, { ...deployment.status, collisionCount }, signal);
        throw new Error(`hash collision of ReplicaSet ${draft.metadata.name}`, { cause: error });
      }
      if (isNamespaceTerminating(error)) return;
      const message = `Failed to create new replica set "${draft.metadata.name}": ${errorMessage(error)}`;
      recorder.event(deployment, "Warning", "ReplicaSetCreateError", message);
      if (hasProgressDeadline(deployment)) {
        const failed = deploymentCondition("Progressing", "False", "ReplicaSetCreateError", message, clock.now());
        const conditions = withCondition(deployment.status?.conditions, failed);
        await this.#writeStatus(deployment, undefined, { ...deployment.status, conditions }, signal);
      }
      throw error;
    }
    if ((draft.spec.replicas ?? 0) > 0) {
      const message = `Scaled up replica set ${draft.metadata.name} from 0 to ${draft.spec.replicas}`;
      recorder.event(deployment, "Normal", "ScalingReplicaSet", message);
    }
    await this.#writeStatus(deployment, plan.revision, plan.status, signal);
  }

  /** A ReplicaSet of that name with our template and ours by ownership: our own create, not yet in the cache. */
  async #isOurs(deployment: Deployment, name: string, signal: AbortSignal): Promise<boolean> {
    const key = { namespace: deployment.metadata.namespace ?? "", name };
    const found = await this.#env.client.get(replicaSets, key, { signal });
    return (
      controllerOf(found)?.uid === deployment.metadata.uid &&
      sameTemplate(found.spec.template, deployment.spec.template)
    );
  }

  /** Revision and status travel in one request, as the status subresource also takes metadata. */
  async #writeStatus(
    deployment: Deployment,
    revision: string | undefined,
    status: DeploymentStatus,
    signal: AbortSignal,
  ): Promise<void> {
    if (revision === undefined && sameStatus(deployment.status, status)) return;
    const annotations =
      revision === undefined ? {} : { annotations: { ...deployment.metadata.annotations, [REVISION]: revision } };
    const written = { ...deployment, metadata: { ...deployment.metadata, ...annotations }, status };
    await ignoreNotFound(this.#env.client.updateStatus(deployments, written, { signal }));
  }
}
