/** How many pods each ReplicaSet should have: pure arithmetic over their sizes and what is available. */
import type { Deployment, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import { annotationNumber, DESIRED_REPLICAS, MAX_REPLICAS } from "./annotations.ts";
import {
  byAge,
  bySizeThenNewer,
  bySizeThenOlder,
  desiredReplicas,
  isActive,
  isRollingUpdate,
  maxSurge,
  minAvailable,
  sizeOf,
  totalSize,
} from "./arithmetic.ts";

/** New size by ReplicaSet name; sets that are not named keep theirs. */
export type Sizes = Map<string, number>;

/** A Deployment's ReplicaSets. */
export interface Sets {
  /** The ReplicaSet of the present template, when it exists. */
  readonly current: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

/** All of them, the current one last. */
export function allOf({ current, old }: Sets): ReplicaSet[] {
  return current === undefined ? [...old] : [...old, current];
}

/** Size of the new ReplicaSet, `present` now, when `total` pods are asked for over all of them. */
export function newReplicaSetSize(deployment: Deployment, present: number, total: number): number {
  const replicas = desiredReplicas(deployment);
  if (!isRollingUpdate(deployment)) return replicas;
  const room = replicas + maxSurge(deployment) - total;
  return room <= 0 ? present : present + Math.max(0, Math.min(room, replicas - present));
}

/** Was the Deployment itself resized since its ReplicaSets were last sized? */
export function isScalingEvent(deployment: Deployment, sets: Sets): boolean {
  return allOf(sets)
    .filter(isActive)
    .some((replicaSet) => {
      const desired = annotationNumber(replicaSet, DESIRED_REPLICAS);
      return desired !== undefined && desired !== desiredReplicas(deployment);
    });
}

/** Sizes after a change of the Deployment's own size; in the middle of a roll-out in proportion. */
export function planScale(deployment: Deployment, sets: Sets): Sizes {
  const sizes: Sizes = new Map();
  const replicas = desiredReplicas(deployment);
  const only = activeOrLatest(sets);
  if (only !== undefined) {
    const recorded = annotationNumber(only, DESIRED_REPLICAS);
    // An outdated record alone must be corrected too, or every turn would look like a resize.
    if (sizeOf(only) !== replicas || (recorded !== undefined && recorded !== replicas))
      sizes.set(only.metadata.name, replicas);
    return sizes;
  }
  if (isSaturated(deployment, sets.current)) {
    for (const old of sets.old.filter(isActive)) sizes.set(old.metadata.name, 0);
    return sizes;
  }
  const active = allOf(sets).filter(isActive);
  if (isRollingUpdate(deployment)) proportional(deployment, active, sizes);
  else for (const replicaSet of active) sizes.set(replicaSet.metadata.name, sizeOf(replicaSet));
  return sizes;
}

function activeOrLatest({ current, old }: Sets): ReplicaSet | undefined {
  const active = allOf({ current, old }).filter(isActive);
  if (active.length === 1) return active[0];
  if (active.length > 1) return undefined;
  return current ?? [...old].sort(byAge).at(-1);
}

function isSaturated(deployment: Deployment, current: ReplicaSet | undefined): boolean {
  const replicas = desiredReplicas(deployment);
  return (
    current !== undefined &&
    sizeOf(current) === replicas &&
    annotationNumber(current, DESIRED_REPLICAS) === replicas &&
    current.status?.availableReplicas === replicas
  );
}

function proportional(deployment: Deployment, active: ReplicaSet[], sizes: Sizes): void {
  const replicas = desiredReplicas(deployment);
  const allowed = replicas > 0 ? replicas + maxSurge(deployment) : 0;
  const toAdd = allowed - totalSize(active);
  active.sort(toAdd > 0 ? bySizeThenNewer : bySizeThenOlder);
  let added = 0;
  for (const replicaSet of active) {
    const share = toAdd === 0 ? 0 : proportion(deployment, replicaSet, toAdd, added);
    sizes.set(replicaSet.metadata.name, sizeOf(replicaSet) + share);
    added += share;
  }
  const largest = active[0];
  // What rounding left over goes to the largest.
  if (largest !== undefined && toAdd !== 0)
    sizes.set(largest.metadata.name, Math.max(0, sizes.get(largest.metadata.name)! + toAdd - added));
}

function proportion(deployment: Deployment, replicaSet: ReplicaSet, toAdd: number, added: number): number {
  const size = sizeOf(replicaSet);
  if (size === 0 || toAdd === added) return 0;
  const rest = toAdd - added;
  const fraction = fractionOf(deployment, replicaSet);
  return toAdd > 0 ? Math.min(fraction, rest) : Math.max(fraction, rest);
}

function fractionOf(deployment: Deployment, replicaSet: ReplicaSet): number {
  const size = sizeOf(replicaSet);
  if (desiredReplicas(deployment) === 0) return -size;
  const before = annotationNumber(replicaSet, MAX_REPLICAS) ?? deployment.status?.replicas ?? 0;
  if (before <= 0) return 0;
  const exact = (size * (desiredReplicas(deployment) + maxSurge(deployment))) / before;
  return Math.floor(exact + 0.5) - size;
}

/** One step of a rolling update: up if there is room, else down what can be spared. */
export function planRolling(deployment: Deployment, sets: Sets & { readonly current: ReplicaSet }): Sizes {
  const { current, old } = sets;
  const replicas = desiredReplicas(deployment);
  const wanted =
    sizeOf(current) > replicas ? replicas : newReplicaSetSize(deployment, sizeOf(current), totalSize(allOf(sets)));
  if (wanted !== sizeOf(current)) return new Map([[current.metadata.name, wanted]]);
  return shrinkOld(deployment, current, old.filter(isActive));
}

/** Its controller has not yet reported on its present size. */
function isUnobserved({ metadata, status }: ReplicaSet): boolean {
  return (status?.observedGeneration ?? 0) < (metadata.generation ?? 0);
}

function shrinkOld(deployment: Deployment, current: ReplicaSet, old: ReplicaSet[]): Sizes {
  const sizes: Sizes = new Map();
  if (old.length === 0) return sizes;
  // A status from before the last resize may count pods that are on their way out: nothing is spared on such a count.
  if ([current, ...old].some(isUnobserved)) return sizes;
  const currentUnavailable = sizeOf(current) - (current.status?.availableReplicas ?? 0);
  const spare = totalSize([...old, current]) - minAvailable(deployment) - currentUnavailable;
  if (spare <= 0) return sizes;
  old.sort(byAge);
  // Pods that are not available anyway go first: removing them costs nothing.
  let removed = 0;
  for (const replicaSet of old) {
    const unhealthy = sizeOf(replicaSet) - (replicaSet.status?.availableReplicas ?? 0);
    const count = Math.min(spare - removed, unhealthy);
    if (count <= 0) continue;
    removed += count;
    sizes.set(replicaSet.metadata.name, sizeOf(replicaSet) - count);
  }
  // What a set has beyond its size is on its way out: counted as available it would be given up twice.
  const staying = (set: ReplicaSet) => Math.min(set.status?.availableReplicas ?? 0, sizeOf(set));
  let rest = [...old, current].reduce((sum, set) => sum + staying(set), 0) - minAvailable(deployment);
  for (const replicaSet of old) {
    const size = sizes.get(replicaSet.metadata.name) ?? sizeOf(replicaSet);
    const count = Math.min(rest, size);
    if (count <= 0) continue;
    rest -= count;
    sizes.set(replicaSet.metadata.name, size - count);
  }
  return sizes;
}
