import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Eviction, PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import {
  badRequest,
  forbidden,
  internalError,
  type KubeObject,
  labelSelectorAsSelector,
  notFound,
  StatusError,
} from "#pkg/apimachinery/index.ts";
import type { CacheEntry } from "#pkg/storage/cacher/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import { withAdmission } from "../registry/admitted.ts";
import type { Call } from "../registry/call.ts";
import { deleteEntry } from "../registry/delete.ts";
import { deleteRequest } from "../registry/delete-options.ts";
import type { InstalledResource } from "../registry/installed.ts";
import { updateStored } from "../registry/stored-update.ts";
import { withCondition } from "./binding.ts";
import { readPosted, sendStatus } from "./respond.ts";

const KIND = { group: "policy", version: "v1", kind: "Eviction" };
/** Evictions that the disruption controller has not confirmed yet. */
const MAX_DISRUPTED_PODS = 2000;
const VIOLATION = "Cannot evict pod as it would violate the pod's disruption budget.";

/** POST pods/NAME/eviction: deletes the pod if its disruption budget allows. */
export async function serveEviction(call: Call): Promise<void> {
  const { target, installed: pods } = call;
  const { object, options } = await readPosted(call, KIND);
  if (object.metadata.name !== undefined && object.metadata.name !== "" && object.metadata.name !== target.name) {
    throw badRequest("name in URL does not match name in Eviction object");
  }
  object.metadata.name = target.name;
  const posted = object as unknown as Eviction;
  const deletion = deleteRequest(posted.deleteOptions ?? {});
  const dryRun = options.dryRun || deletion.dryRun;
  await withAdmission(
    call,
    { operation: "CREATE", name: target.name, object, oldObject: undefined, dryRun, options },
    async () => {
      const entry = await pods.cache!.get(target.namespace, target.name);
      if (entry === undefined) throw notFound(pods.subject, target.name);
      const pod = pods.object(entry) as unknown as Pod;
      if (!budgetIsIrrelevant(pod)) await chargeBudget(call, pod, dryRun);
      const marked = dryRun ? entry : await markDisrupted(call, pods, entry);
      // The mark has changed the version; which object is meant is settled.
      const { resourceVersion: _version, ...preconditions } = deletion.preconditions;
      await deleteEntry(call, marked, { ...deletion, dryRun, preconditions });
    },
  );
  await sendStatus(call, 201, { metadata: {}, status: "Success", code: 201 });
}

/** Pods that do not count as available anyway. */
function budgetIsIrrelevant({ metadata, status }: Pod): boolean {
  const phase = status?.phase;
  return (
    metadata?.deletionTimestamp !== undefined || phase === "Succeeded" || phase === "Failed" || phase === "Pending"
  );
}

function markDisrupted(call: Call, pods: InstalledResource, { namespace, name }: CacheEntry): Promise<CacheEntry> {
  return updateStored(pods, namespace, name, (object) => {
    const { status } = object as unknown as Pod;
    const conditions = withCondition(status?.conditions, {
      type: "DisruptionTarget",
      status: "True",
      observedGeneration: object.metadata.generation,
      reason: "EvictionByEvictionAPI",
      message: "Eviction API: evicting",
      lastProbeTime: null as unknown as string,
      lastTransitionTime: formatTime(call.now),
    });
    return { ...object, status: { ...status, conditions } };
  });
}

/** Takes one disruption out of the pod's budget. @throws StatusError 429, 403, 500 */
async function chargeBudget(call: Call, pod: Pod, dryRun: boolean): Promise<void> {
  const budgets = call.services.registry.lookup("policy", "v1", "poddisruptionbudgets");
  if (budgets?.cache === undefined) return;
  const { namespace = "", name = "", labels = {} } = pod.metadata ?? {};
  const { entries } = await budgets.cache.list({ namespace });
  const matching = entries.filter((entry) => {
    const { spec } = budgets.object(entry) as unknown as PodDisruptionBudget;
    return spec?.selector !== undefined && labelSelectorAsSelector(spec.selector).matches(labels);
  });
  const [budget, second] = matching;
  if (budget === undefined) return;
  if (second !== undefined) {
    throw internalError(
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  }
  if (!isReady(pod) && mayGoUnready(budgets.object(budget) as unknown as PodDisruptionBudget)) return;
  const charge = (object: Readonly<KubeObject>): KubeObject => charged(object, name, call.now);
  if (dryRun) charge(budgets.object(budget));
  else await updateStored(budgets, namespace, budget.name, charge);
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true;
}

/** Pods that are not ready disturb nobody, as far as the budget's policy goes. */
function mayGoUnready({ spec, status }: PodDisruptionBudget): boolean {
  if (spec?.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  return (status?.currentHealthy ?? 0) >= (status?.desiredHealthy ?? 0) && (status?.desiredHealthy ?? 0) > 0;
}

function charged(object: Readonly<KubeObject>, pod: string, now: number): KubeObject {
  const budget = object as unknown as PodDisruptionBudget;
  const { name = "", generation = 0 } = budget.metadata ?? {};
  const { status } = budget;
  const subject = { group: "policy", resource: "poddisruptionbudgets" };
  if ((status?.observedGeneration ?? 0) < generation) {
    throw violation(`The disruption budget ${name} is still being processed by the server.`, 10);
  }
  const allowed = status?.disruptionsAllowed ?? 0;
  if (allowed < 0) throw forbidden(subject, name, "pdb disruptions allowed is negative");
  const disrupted = status?.disruptedPods ?? {};
  if (Object.keys(disrupted).length > MAX_DISRUPTED_PODS) {
    throw forbidden(subject, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  }
  if (allowed === 0) {
    const needs = `${status?.desiredHealthy ?? 0} healthy pods and has ${status?.currentHealthy ?? 0} currently`;
    throw violation(`The disruption budget ${name} needs ${needs}`, 0);
  }
  return {
    ...object,
    status: {
      ...status,
      disruptionsAllowed: allowed - 1,
      disruptedPods: { ...disrupted, [pod]: formatTime(now) },
      conditions: allowed > 1 ? status?.conditions : insufficient(status?.conditions, generation, now),
    },
  };
}

/** The budget is used up: its condition says so at once, without waiting for the controller. */
function insufficient(
  conditions: NonNullable<PodDisruptionBudget["status"]>["conditions"],
  observedGeneration: number,
  now: number,
): NonNullable<PodDisruptionBudget["status"]>["conditions"] {
  return conditions?.map((condition) =>
    condition.type === "DisruptionAllowed"
      ? {
          ...condition,
          status: "False",
          reason: "InsufficientPods",
          observedGeneration,
          ...(condition.status === "False" ? {} : { lastTransitionTime: formatTime(now) }),
        }
      : condition,
  );
}

function violation(message: string, retryAfterSeconds: number): StatusError {
  return new StatusError({
    status: "Failure",
    reason: "TooManyRequests",
    code: 429,
    message: VIOLATION,
    details: {
      causes: [{ reason: "DisruptionBudget", message }],
      ...(retryAfterSeconds > 0 ? { retryAfterSeconds } : {}),
    },
  });
}
