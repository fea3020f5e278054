import type { EventRegistration, Plugin } from "../framework/types.ts";
import { failed, unresolvable } from "../framework/status.ts";
import type { Status } from "../framework/status.ts";
import { claimsOf } from "../volumes/listers.ts";
import type { PodClaims, VolumeBinder, VolumeDecision } from "../volumes/volume-binder.ts";

const KEY = "VolumeBinding";

export const STORAGE_EVENTS: readonly EventRegistration[] = [
  { resource: "StorageClass", actions: ["Add", "Update"] },
  { resource: "PersistentVolumeClaim", actions: ["Add", "Update"] },
  { resource: "PersistentVolume", actions: ["Add", "Update"] },
  { resource: "Node", actions: ["Add", "UpdateNodeLabel", "UpdateNodeTaint"] },
];

interface FilterState {
  readonly claims: PodClaims;
  readonly decisions: Map<string, VolumeDecision>;
}

/** A pod goes where its volumes are or can be, and takes them with it. */
export function volumeBinding(binder: VolumeBinder): Plugin<FilterState> {
  const refusals = new Map<string, Status>();
  const refusal = (reasons: readonly string[]): Status => {
    const id = reasons.join();
    let status = refusals.get(id);
    if (status === undefined) refusals.set(id, (status = unresolvable(...reasons)));
    return status;
  };
  return {
    name: "VolumeBinding",
    events: [
      ...STORAGE_EVENTS,
      { resource: "CSINode", actions: ["Add", "Update"] },
      { resource: "CSIDriver", actions: ["Add", "Update"] },
      { resource: "CSIStorageCapacity", actions: ["Add", "Update"] },
    ],
    preFilter: ({ pod }, _nodes, cycle) => {
      if (claimsOf(pod).length === 0) return "skip";
      const claims = binder.classify(pod);
      if (typeof claims === "string") return { rejected: unresolvable(claims) };
      const state = { claims, decisions: new Map<string, VolumeDecision>() };
      cycle.write(KEY, state);
      return { state };
    },
    filter: ({ claims, decisions }, _pod, node) => {
      const decision = binder.decide(claims, node);
      if (!("bindings" in decision)) return refusal(decision);
      decisions.set(node.name, decision);
      return undefined;
    },
    reserve: (_pod, nodeName, cycle) => {
      const decision = cycle.read<FilterState>(KEY)?.decisions.get(nodeName);
      if (decision !== undefined) binder.assume(decision);
      return undefined;
    },
    unreserve: (_pod, nodeName, cycle) => {
      const decision = cycle.read<FilterState>(KEY)?.decisions.get(nodeName);
      if (decision !== undefined) binder.release(decision);
    },
    preBind: async (_pod, nodeName, cycle, signal) => {
      const decision = cycle.read<FilterState>(KEY)?.decisions.get(nodeName);
      if (decision === undefined || (decision.bindings.length === 0 && decision.provisions.length === 0))
        return undefined;
      try {
        await binder.bind(decision, nodeName, signal);
        return undefined;
      } catch (error) {
        return failed(error);
      }
    },
  };
}
