/**
 * Keeps pods with an identity: names, claims and an order of their own (identity.ts). Templates are kept as
 * ControllerRevisions, so that a pod of the old one can be made again while an update has not reached its place.
 */
import {
  isAlreadyExists,
  isConflict,
  ignoreNotFound,
  isNotFound,
  keyOf,
  keyString,
  labelSelectorAsSelector,
  type ObjectKey,
} from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  Expectations,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { controllerRevisions, persistentVolumeClaims, pods, statefulSets } from "#pkg/api/refs.ts";
import type { ControllerRevision, StatefulSet, StatefulSetStatus } from "#pkg/api/types/apps-v1.ts";
import type { PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { claim, planClaims, safeSelector } from "../common/claim.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import {
  byRevision,
  deleteRevisions,
  HASH_LABEL,
  planRevision,
  surplusRevisions,
  templateOf,
  writeRevision,
} from "../common/history.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { ownedPodsHandler, podId } from "../common/owned-pods.ts";
import { controllerRef } from "../common/pod-template.ts";
import { ownedOrOrphaned } from "../common/shared-informers.ts";
import { inParallel } from "../common/slow-start.ts";
import { sameStatus } from "../common/status.ts";
import { claimName, claimsFor, draftPod, ordinalOf, plannedClaimOwners, podName } from "./identity.ts";
import { planStatefulSet, revisionOf, type StatefulSetPlan, type Step } from "./plan.ts";

/** How soon to look again while the cache is behind our own deletions; usually an event comes first. */
const CATCH_UP_MS = 5000;
const KIND = { apiVersion: "apps/v1", kind: "StatefulSet" };

/** statefulset-controller. */
export function createStatefulSetController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const setInformer = informers.of(statefulSets);
  const expectations = new Expectations(clock);
  const reconciler = new StatefulSetReconciler(env, expectations);
  const podHandler = ownedPodsHandler<StatefulSet>({
    kind: "StatefulSet",
    owners: setInformer.lister,
    queue,
    expectations,
    selects: (set, pod) =>
      ordinalOf(set, pod) !== undefined && safeSelector(set.spec.selector).matches(pod.metadata.labels),
    minReadySeconds: (set) => set.spec.minReadySeconds ?? 0,
  });
  return createLoop(env, {
    workers: 8,
    queue,
    sources: [
      watching(setInformer, enqueueSelf<StatefulSet>(queue)),
      watching(informers.pods(), podHandler),
      watching(informers.owned(controllerRevisions)),
      watching(informers.of(persistentVolumeClaims), claimHandler(env, queue)),
    ],
    reconcile: (key, context) => reconciler.reconcile(key, context),
  });
}

/** A claim that went away holds up the pod that needs it. */
function claimHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<PersistentVolumeClaim> {
  return {
    onDelete({ metadata }) {
      for (const set of informers.of(statefulSets).lister.list(metadata.namespace))
        if (
          (set.spec.volumeClaimTemplates ?? []).some((template) =>
            metadata.name.startsWith(`${template.metadata.name}-${set.metadata.name}-`),
          )
        )
          queue.add(keyString(keyOf(set)));
    },
  };
}

class StatefulSetReconciler {
  readonly #env: ControllerEnv;
  readonly #expectations: Expectations;

  constructor(env: ControllerEnv, expectations: Expectations) {
    this.#env = env;
    this.#expectations = expectations;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, clock, informers } = this.#env;
    const set = informers.of(statefulSets).lister.get(key);
    if (set === undefined) {
      this.#expectations.forget(keyString(key));
      return DONE;
    }
    const selector = labelSelectorAsSelector(set.spec.selector);
    const reference = controllerRef(set, KIND);
    const freshOwner = () => client.get(statefulSets, key, { signal });
    const candidates = ownedOrOrphaned(informers.pods().lister, set.metadata.uid, key.namespace);
    const isMember = (pod: Pod) => ordinalOf(set, pod) !== undefined && selector.matches(pod.metadata.labels);
    const ours = await claim(planClaims(set, candidates, isMember), {
      client,
      resource: pods,
      reference,
      freshOwner,
      signal,
    });
    const { history, current, update, collisionCount } = await this.#revisions(set, signal);
    const names = { current: current.metadata.name, update: update.metadata.name };
    const plan = planStatefulSet(set, names, ours, collisionCount, clock.now());
    // A pod that we have deleted and the cache still shows as well must not make us take the next one.
    const cacheIsCurrent = this.#expectations.satisfied(keyString(key));
    let failure: unknown;
    try {
      await this.#keepClaims(set, ours, plan, signal);
      if (cacheIsCurrent) await this.#apply(set, plan, current, update, signal);
    } catch (error) {
      failure = error;
    }
    await this.#writeStatus(set, plan.status, signal);
    if (failure !== undefined) {
      if (isNamespaceTerminating(failure)) return DONE;
      throw failure;
    }
    if (set.metadata.deletionTimestamp === undefined) await this.#truncate(set, history, plan, ours, signal);
    if (!cacheIsCurrent) return { requeueAfterMs: CATCH_UP_MS };
    return plan.requeueAfterMs === undefined ? DONE : { requeueAfterMs: plan.requeueAfterMs + 1000 };
  }

  async #revisions(
    set: StatefulSet,
    signal: AbortSignal,
  ): Promise<{
    history: ControllerRevision[];
    current: ControllerRevision;
    update: ControllerRevision;
    collisionCount: number | undefined;
  }> {
    const { client, informers } = this.#env;
    const selector = safeSelector(set.spec.selector);
    const reference = controllerRef(set, KIND);
    const candidates = ownedOrOrphaned(
      informers.owned(controllerRevisions).lister,
      set.metadata.uid,
      set.metadata.namespace ?? "",
    );
    const history = await claim(
      planClaims(set, candidates, ({ metadata }) => selector.matches(metadata.labels)),
      {
        client,
        resource: controllerRevisions,
        reference,
        freshOwner: () => client.get(statefulSets, keyOf(set), { signal }),
        signal,
      },
    );
    const plan = planRevision(history, set.spec.template);
    const { revision: update, collisionCount } = await writeRevision(
      client,
      plan,
      {
        object: set,
        reference,
        template: set.spec.template,
        collisionCount: set.status?.collisionCount,
        labels: { ...set.spec.template.metadata?.labels, ...set.spec.selector.matchLabels },
        hashLabel: HASH_LABEL,
      },
      signal,
    );
    const current = history.find(({ metadata }) => metadata.name === set.status?.currentRevision) ?? update;
    return { history: [...history].sort(byRevision), current, update, collisionCount };
  }

  async #apply(
    set: StatefulSet,
    plan: StatefulSetPlan,
    current: ControllerRevision,
    update: ControllerRevision,
    signal: AbortSignal,
  ): Promise<void> {
    const error = await inParallel(plan.steps, (step) => this.#step(set, step, current, update, signal));
    if (error !== undefined) throw error;
  }

  async #step(
    set: StatefulSet,
    step: Step,
    current: ControllerRevision,
    update: ControllerRevision,
    signal: AbortSignal,
  ): Promise<void> {
    switch (step.type) {
      case "create": {
        const revision = step.current ? current : update;
        const template = templateOf(revision) ?? set.spec.template;
        await this.#createPod(set, draftPod(set, template, revision.metadata.name, step.ordinal), step.ordinal, signal);
        return;
      }
      case "repair":
        await this.#repairPod(set, step.pod, signal);
        return;
      case "delete":
        await this.#deletePod(set, step, signal);
        return;
    }
  }

  async #createPod(
    set: StatefulSet,
    draft: ReturnType<typeof draftPod>,
    ordinal: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, recorder } = this.#env;
    const { name } = set.metadata;
    const podNamed = draft.metadata.name;
    try {
      await this.#createClaims(set, ordinal, signal);
      await client.create(pods, draft, { signal });
      recorder.event(set, "Normal", "SuccessfulCreate", `create Pod ${podNamed} in StatefulSet ${name} successful`);
    } catch (error) {
      if (isAlreadyExists(error)) throw error; // ours and not yet in the cache, or in the way: either way, look again
      if (!isNamespaceTerminating(error))
        recorder.event(
          set,
          "Warning",
          "FailedCreate",
          `create Pod ${podNamed} in StatefulSet ${name} failed error: ${errorMessage(error)}`,
        );
      throw error;
    }
  }

  async #createClaims(set: StatefulSet, ordinal: number, signal: AbortSignal): Promise<void> {
    const { client, informers, recorder } = this.#env;
    for (const draft of claimsFor(set, ordinal).values()) {
      const key = keyOf(draft);
      const known = informers.of(persistentVolumeClaims).lister.get(key);
      if (known?.metadata.deletionTimestamp !== undefined) throw new Error(`pvc ${key.name} is being deleted`); // the pod must wait for a fresh one
      if (known !== undefined) continue;
      const subject = `Claim ${key.name} Pod ${podName(set, ordinal)} in StatefulSet ${set.metadata.name}`;
      try {
        const ownerReferences = plannedClaimOwners(
          set,
          { ...draft, metadata: { ...draft.metadata } } as PersistentVolumeClaim,
          undefined,
          false,
        );
        const metadata = { ...draft.metadata, ...(ownerReferences === undefined ? {} : { ownerReferences }) };
        await client.create(persistentVolumeClaims, { ...draft, metadata }, { signal });
        recorder.event(set, "Normal", "SuccessfulCreate", `create ${subject} success`);
      } catch (error) {
        if (isAlreadyExists(error)) continue;
        if (!isNamespaceTerminating(error))
          recorder.event(set, "Warning", "FailedCreate", `create ${subject} failed error: ${errorMessage(error)}`);
        throw error;
      }
    }
  }

  async #repairPod(set: StatefulSet, pod: Pod, signal: AbortSignal): Promise<void> {
    const { client, recorder } = this.#env;
    const subject = `Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name}`;
    try {
      await client.update(pods, pod, { signal });
      recorder.event(set, "Normal", "SuccessfulUpdate", `update ${subject} successful`);
    } catch (error) {
      if (!isConflict(error))
        recorder.event(set, "Warning", "FailedUpdate", `update ${subject} failed error: ${errorMessage(error)}`);
      throw error;
    }
  }

  async #deletePod(set: StatefulSet, step: Step & { type: "delete" }, signal: AbortSignal): Promise<void> {
    const { client, recorder } = this.#env;
    const { name, namespace } = set.metadata;
    const podNamed = step.pod.metadata.name;
    if (step.why === "failed")
      recorder.event(
        set,
        "Warning",
        "RecreatingFailedPod",
        `StatefulSet ${namespace}/${name} is recreating failed Pod ${podNamed}`,
      );
    if (step.why === "succeeded")
      recorder.event(
        set,
        "Normal",
        "RecreatingTerminatedPod",
        `StatefulSet ${namespace}/${name} is recreating terminated Pod ${podNamed}`,
      );
    this.#expectations.expectDeletions(keyString(keyOf(set)), [podId(step.pod)]);
    try {
      await client.delete(pods, keyOf(step.pod), { preconditions: { uid: step.pod.metadata.uid }, signal });
      recorder.event(set, "Normal", "SuccessfulDelete", `delete Pod ${podNamed} in StatefulSet ${name} successful`);
    } catch (error) {
      this.#expectations.deletionObserved(keyString(keyOf(set)), podId(step.pod));
      if (isNotFound(error)) return;
      recorder.event(
        set,
        "Warning",
        "FailedDelete",
        `delete Pod ${podNamed} in StatefulSet ${name} failed error: ${errorMessage(error)}`,
      );
      throw error;
    }
  }

  /** Claims of pods that exist: missing ones are made, owners follow the retention policy. */
  async #keepClaims(set: StatefulSet, ours: readonly Pod[], plan: StatefulSetPlan, signal: AbortSignal): Promise<void> {
    const templates = set.spec.volumeClaimTemplates ?? [];
    if (templates.length === 0 || set.metadata.deletionTimestamp !== undefined) return;
    const { client, informers } = this.#env;
    const condemned = new Set(plan.condemned);
    for (const pod of ours) {
      const ordinal = ordinalOf(set, pod);
      if (ordinal === undefined) continue;
      if (pod.status?.phase === "Pending" && pod.metadata.deletionTimestamp === undefined && !condemned.has(pod))
        await this.#createClaims(set, ordinal, signal);
      for (const template of templates) {
        const key = { namespace: set.metadata.namespace ?? "", name: claimName(set, template.metadata.name, ordinal) };
        const found = informers.of(persistentVolumeClaims).lister.get(key);
        if (found === undefined || found.metadata.deletionTimestamp !== undefined) continue;
        const ownerReferences = plannedClaimOwners(set, found, pod, condemned.has(pod));
        if (ownerReferences === undefined) continue;
        await client.update(
          persistentVolumeClaims,
          { ...found, metadata: { ...found.metadata, ownerReferences } },
          { signal },
        );
      }
    }
  }

  async #truncate(
    set: StatefulSet,
    history: readonly ControllerRevision[],
    plan: StatefulSetPlan,
    ours: readonly Pod[],
    signal: AbortSignal,
  ): Promise<void> {
    const live = new Set(ours.map(revisionOf));
    for (const name of [plan.status.currentRevision, plan.status.updateRevision, set.status?.currentRevision])
      if (name !== undefined) live.add(name);
    const surplus = surplusRevisions(history, live, set.spec.revisionHistoryLimit ?? 10);
    await deleteRevisions(this.#env.client, surplus, signal);
  }

  async #writeStatus(set: StatefulSet, status: StatefulSetStatus, signal: AbortSignal): Promise<void> {
    if (sameStatus(set.status, status)) return;
    await ignoreNotFound(this.#env.client.updateStatus(statefulSets, { ...set, status }, { signal }));
  }
}
