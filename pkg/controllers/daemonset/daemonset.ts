/**
 * Keeps one pod on every node that a DaemonSet is for. Each is pinned to its node by affinity, and the scheduler binds
 * it like any other.
 */
import {
  controllerOf,
  deepEqual,
  ignoreNotFound,
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
import { controllerRevisions, daemonSets, nodes, pods } from "#pkg/api/refs.ts";
import type { ControllerRevision, DaemonSet, DaemonSetStatus } from "#pkg/api/types/apps-v1.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { claim, planClaims, selects, safeSelector } from "../common/claim.ts";
import type { ControllerEnv } from "../common/env.ts";
import { deleteRevisions, planRevision, REVISION_LABEL, surplusRevisions, writeRevision } from "../common/history.ts";
import { again, createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { ownedPodsHandler } from "../common/owned-pods.ts";
import { PodControl } from "../common/pod-control.ts";
import { controllerRef } from "../common/pod-template.ts";
import { ownedOrOrphaned } from "../common/shared-informers.ts";
import { sameStatus } from "../common/status.ts";
import { FailedPodBackoff } from "./backoff.ts";
import { type DaemonPlan, planDaemonSet } from "./plan.ts";
import { draftDaemonPod } from "./pod.ts";

const KIND = { apiVersion: "apps/v1", kind: "DaemonSet" };

/** daemonset-controller. */
export function createDaemonSetController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const expectations = new Expectations(clock);
  const setInformer = informers.of(daemonSets);
  const reconciler = new DaemonSetReconciler(env, expectations);
  const podHandler = ownedPodsHandler<DaemonSet>({
    kind: "DaemonSet",
    owners: setInformer.lister,
    queue,
    expectations,
    selects: (set, pod) => safeSelector(set.spec.selector).matches(pod.metadata.labels),
    minReadySeconds: (set) => set.spec.minReadySeconds ?? 0,
  });
  return createLoop(env, {
    workers: 4,
    queue,
    sources: [
      watching(setInformer, enqueueSelf<DaemonSet>(queue)),
      watching(informers.pods(), podHandler),
      watching(informers.of(nodes), nodeHandler(env, queue)),
      watching(informers.owned(controllerRevisions), revisionHandler(env, queue)),
    ],
    reconcile: (key, context) => reconciler.reconcile(key, context),
  });
}

function nodeHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<Node> {
  const addAll = () => {
    for (const set of informers.of(daemonSets).lister.list()) queue.add(keyString(keyOf(set)));
  };
  return {
    onAdd: addAll,
    onUpdate(node, old) {
      // Heartbeats decide nothing here.
      if (!deepEqual(node.metadata.labels, old.metadata.labels) || !deepEqual(node.spec, old.spec)) addAll();
    },
    onDelete: addAll,
  };
}

/** A revision that somebody edits or deletes is put right. */
function revisionHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<ControllerRevision> {
  const addOwner = (revision: ControllerRevision) => {
    const owner = controllerOf(revision);
    if (owner?.kind !== "DaemonSet") return;
    const key = { namespace: revision.metadata.namespace ?? "", name: owner.name };
    if (informers.of(daemonSets).lister.get(key)?.metadata.uid === owner.uid) queue.add(keyString(key));
  };
  return { onAdd: addOwner, onUpdate: addOwner, onDelete: addOwner };
}

class DaemonSetReconciler {
  readonly #env: ControllerEnv;
  readonly #expectations: Expectations;
  readonly #podControl: PodControl;
  readonly #backoff = new FailedPodBackoff();

  constructor(env: ControllerEnv, expectations: Expectations) {
    this.#env = env;
    this.#expectations = expectations;
    this.#podControl = new PodControl(env, expectations);
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, clock, informers, recorder } = this.#env;
    const id = keyString(key);
    const set = informers.of(daemonSets).lister.get(key);
    if (set === undefined) {
      this.#expectations.forget(id);
      this.#backoff.collect(clock.monotonic());
      return DONE;
    }
    const selector = labelSelectorAsSelector(set.spec.selector);
    if (selector.empty) {
      const text = "This daemon set is selecting all pods. A non-empty selector is required.";
      recorder.event(set, "Warning", "SelectingAll", text);
      return DONE;
    }
    if (set.metadata.deletionTimestamp !== undefined) return DONE; // its pods go with it
    const { history, current, collisionCount } = await this.#revisions(set, signal);
    const cacheIsCurrent = this.#expectations.satisfied(id);
    const candidates = ownedOrOrphaned(informers.pods().lister, set.metadata.uid, key.namespace);
    const ours = await claim(planClaims(set, candidates, selects(selector)), {
      client,
      resource: pods,
      reference: controllerRef(set, KIND),
      freshOwner: () => client.get(daemonSets, key, { signal }),
      signal,
    });
    const hash = current.metadata.labels?.[REVISION_LABEL] ?? "";
    const backoffKey = (node: string) => `${set.metadata.uid}/${set.metadata.generation ?? 0}/${node}`;
    const plan = planDaemonSet({
      daemonSet: set,
      nodes: informers.of(nodes).lister.list(),
      pods: ours,
      hash,
      collisionCount,
      backoffMs: (node) => this.#backoff.remaining(backoffKey(node), clock.monotonic()),
      now: clock.now(),
    });
    let failure: unknown;
    if (cacheIsCurrent) {
      for (const { pod, node } of plan.finished) {
        this.#backoff.next(backoffKey(node), clock.monotonic());
        this.#reportFinished(set, pod, node);
      }
      failure = await this.#apply(set, plan, hash, signal);
    }
    await this.#writeStatus(set, plan.status, signal);
    if (failure !== undefined) throw failure;
    if (cacheIsCurrent) await this.#truncate(set, history, current, ours, signal);
    return again(plan.requeueAfterMs, this.#expectations.expiresInMs(id));
  }

  #reportFinished(set: DaemonSet, pod: Pod, node: string): void {
    const { namespace, name } = pod.metadata;
    const failed = pod.status?.phase === "Failed";
    const [type, reason, what] = failed
      ? (["Warning", "FailedDaemonPod", "failed"] as const)
      : (["Normal", "SucceededDaemonPod", "succeeded"] as const);
    const rest = failed ? "will try to kill it" : "will try to delete it";
    this.#env.recorder.event(
      set,
      type,
      reason,
      `Found ${what} daemon pod ${namespace}/${name} on node ${node}, ${rest}`,
    );
  }

  async #revisions(
    set: DaemonSet,
    signal: AbortSignal,
  ): Promise<{ history: ControllerRevision[]; current: ControllerRevision; collisionCount: number | undefined }> {
    const { client, informers } = this.#env;
    const reference = controllerRef(set, KIND);
    const { lister } = informers.owned(controllerRevisions);
    const candidates = ownedOrOrphaned(lister, set.metadata.uid, set.metadata.namespace ?? "");
    const history = await claim(planClaims(set, candidates, selects(safeSelector(set.spec.selector))), {
      client,
      resource: controllerRevisions,
      reference,
      freshOwner: () => client.get(daemonSets, keyOf(set), { signal }),
      signal,
    });
    const { revision, collisionCount } = await writeRevision(
      client,
      planRevision(history, set.spec.template),
      {
        object: set,
        reference,
        template: set.spec.template,
        collisionCount: set.status?.collisionCount,
        labels: { ...set.spec.template.metadata?.labels },
        hashLabel: REVISION_LABEL,
      },
      signal,
    );
    return { history, current: revision, collisionCount };
  }

  async #apply(set: DaemonSet, plan: DaemonPlan, hash: string, signal: AbortSignal): Promise<unknown> {
    const draft = (index: number) => draftDaemonPod(set, plan.create[index]!, hash);
    const created = await this.#podControl.create(set, plan.create.length, draft, signal);
    const deleted = await this.#podControl.delete(set, plan.delete, signal);
    return created.error ?? deleted.error;
  }

  async #truncate(
    set: DaemonSet,
    history: readonly ControllerRevision[],
    current: ControllerRevision,
    ours: readonly Pod[],
    signal: AbortSignal,
  ): Promise<void> {
    const inUse = new Set(ours.map(({ metadata }) => metadata.labels?.[REVISION_LABEL]));
    const live = new Set(
      history
        .filter(({ metadata }) => inUse.has(metadata.labels?.[REVISION_LABEL]))
        .map(({ metadata }) => metadata.name),
    );
    live.add(current.metadata.name);
    await deleteRevisions(
      this.#env.client,
      surplusRevisions(history, live, set.spec.revisionHistoryLimit ?? 10),
      signal,
    );
  }

  async #writeStatus(set: DaemonSet, status: DaemonSetStatus, signal: AbortSignal): Promise<void> {
    if (sameStatus(set.status, status)) return;
    await ignoreNotFound(this.#env.client.updateStatus(daemonSets, { ...set, status }, { signal }));
  }
}
