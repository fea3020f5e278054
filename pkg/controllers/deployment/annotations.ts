import type { Deployment, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import { maxSurge } from "./arithmetic.ts";

export const REVISION = "deployment.kubernetes.io/revision";
export const REVISION_HISTORY = "deployment.kubernetes.io/revision-history";
export const DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas";
export const MAX_REPLICAS = "deployment.kubernetes.io/max-replicas";

/** Annotations of a Deployment that are its own and are not handed on to ReplicaSets. */
const NOT_COPIED = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  REVISION,
  REVISION_HISTORY,
  DESIRED_REPLICAS,
  MAX_REPLICAS,
  "deprecated.deployment.rollback.to",
]);
const MAX_HISTORY_CHARACTERS = 2000;

type Annotations = Record<string, string>;

/** metadata.annotations as a decimal number; undefined when absent or malformed. */
export function annotationNumber(replicaSet: ReplicaSet, name: string): number | undefined {
  const text = replicaSet.metadata.annotations?.[name];
  return text !== undefined && /^-?[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Which revision a ReplicaSet is; 0 when it does not say. Revisions are 64-bit numbers, beyond what a double holds exactly. */
export function revisionOf(replicaSet: ReplicaSet): bigint {
  return revisionFrom(replicaSet.metadata.annotations?.[REVISION]);
}

function revisionFrom(text: string | undefined): bigint {
  return text !== undefined && /^[0-9]{1,19}$/.test(text) ? BigInt(text) : 0n;
}

/** The sizes that a later proportional scaling compares with. */
export function sizeAnnotations(deployment: Deployment): Annotations {
  const replicas = deployment.spec.replicas ?? 1;
  return { [DESIRED_REPLICAS]: String(replicas), [MAX_REPLICAS]: String(replicas + maxSurge(deployment)) };
}

/** A ReplicaSet's annotations after it has become (or stayed) the one of `revision`. */
export function newReplicaSetAnnotations(
  deployment: Deployment,
  present: Annotations | undefined,
  revision: bigint,
): Annotations {
  const annotations: Annotations = { ...present };
  for (const [name, value] of Object.entries(deployment.metadata.annotations ?? {}))
    if (!NOT_COPIED.has(name)) annotations[name] = value;
  const oldText = present?.[REVISION];
  if (revisionFrom(oldText) < revision) {
    annotations[REVISION] = String(revision);
    if (oldText !== undefined && oldText !== "")
      annotations[REVISION_HISTORY] = appendHistory(annotations[REVISION_HISTORY], oldText);
  }
  return annotations;
}

/** Older revisions fall out at the front once the list grows too long. */
function appendHistory(history: string | undefined, revision: string): string {
  const entries = history === undefined || history === "" ? [] : history.split(",");
  entries.push(revision);
  while (entries.length > 1 && entries.join(",").length > MAX_HISTORY_CHARACTERS) entries.shift();
  return entries.join(",");
}
