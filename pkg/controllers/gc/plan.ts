import type { OwnerReference } from "#pkg/apimachinery/index.ts";
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER } from "#pkg/api/index.ts";
import { blockingDependents, type GraphNode, isDeletingDependents, isOrphaning } from "./graph.ts";

/** What is known of one owner that a reference names. */
export type OwnerState =
  /** It exists and is not waiting for its dependents. */
  | "solid"
  /** It does not exist (any more). */
  | "absent"
  /** It is being deleted in the foreground. */
  | "waiting"
  /** The reference cannot be followed now: its kind is not served, or the server did not answer. */
  | "unknown"
  /** The reference can never be followed: a cluster-scoped object names a namespaced owner. */
  | "unresolvable";

/** What becomes of an object because of its owners, or of its own deletion. */
export type GcAction =
  | { readonly type: "none" }
  /** Take these owner references away. */
  | { readonly type: "unlink"; readonly uids: readonly string[] }
  /** Its own foreground deletion must not be blocked by references it holds in a cycle; then delete it. */
  | { readonly type: "unblock-and-delete" }
  | { readonly type: "delete"; readonly policy: "Background" | "Foreground" | "Orphan" }
  /** Let go of all dependents, then of the finalizer. */
  | { readonly type: "orphan-dependents" }
  /** Nothing blocks any more: the finalizer can go. */
  | { readonly type: "finish-foreground" }
  /** Still waiting: see to these dependents. */
  | { readonly type: "wait-for"; readonly dependents: readonly string[] };

/** Decides about one object that exists. */
export function planCollection(node: GraphNode, stateOf: (reference: OwnerReference) => OwnerState): GcAction {
  if (isOrphaning(node)) return { type: "orphan-dependents" };
  if (isDeletingDependents(node)) {
    const blocking = blockingDependents(node);
    if (blocking.length === 0) return { type: "finish-foreground" };
    return { type: "wait-for", dependents: blocking.map(({ uid }) => uid) };
  }
  if (node.beingDeleted || node.owners.length === 0) return { type: "none" };
  const states = node.owners.map((reference) => ({ reference, state: stateOf(reference) }));
  if (states.some(({ state }) => state === "unknown" || state === "unresolvable")) return { type: "none" };
  const dead = states.filter(({ state }) => state !== "solid");
  if (dead.length === 0) return { type: "none" };
  if (dead.length < states.length) return { type: "unlink", uids: dead.map(({ reference }) => reference.uid) };
  if (states.some(({ state }) => state === "waiting") && node.dependents.size > 0) {
    // Its dependents must be gone before its owner may go, so it is deleted in the foreground as well.
    return [...node.dependents].some(isDeletingDependents)
      ? { type: "unblock-and-delete" }
      : { type: "delete", policy: "Foreground" };
  }
  if (node.finalizers.includes(ORPHAN_FINALIZER)) return { type: "delete", policy: "Orphan" };
  if (node.finalizers.includes(FOREGROUND_FINALIZER)) return { type: "delete", policy: "Foreground" };
  return { type: "delete", policy: "Background" };
}
