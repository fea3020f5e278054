import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { Status } from "./status.ts";

export const MAX_NODE_SCORE = 100;

/** What happened to an object, as far as waiting pods may care. */
export type ActionType =
  | "Add"
  | "Delete"
  | "Update"
  | "UpdateNodeAllocatable"
  | "UpdateNodeLabel"
  | "UpdateNodeTaint"
  | "UpdateNodeCondition"
  | "UpdatePodLabel"
  | "UpdatePodScaleDown"
  | "UpdatePodToleration"
  | "UpdatePodSchedulingGatesEliminated";
/** "AssignedPod" is a pod on a node, "UnscheduledPod" the waiting pod itself, "*" everything. */
export type EventResource =
  | "AssignedPod"
  | "UnscheduledPod"
  | "Node"
  | "PersistentVolume"
  | "PersistentVolumeClaim"
  | "StorageClass"
  | "CSINode"
  | "CSIDriver"
  | "CSIStorageCapacity"
  | "VolumeAttachment"
  | "*";

/** A change in the cluster that may make room for waiting pods. */
export interface ClusterEvent {
  readonly resource: EventResource;
  readonly actions: readonly ActionType[];
  readonly object?: AnyObject;
  readonly old?: AnyObject;
  /** The same, for events of pods. */
  readonly pod?: PodInfo;
  readonly oldPod?: PodInfo;
}

/** What a plugin that refused a pod waits for (KEP-4247). */
export interface EventRegistration {
  readonly resource: EventResource;
  readonly actions: readonly ActionType[];
  /** Can the event make a pod schedulable that this plugin refused? Without a hint: always. Throwing means yes. */
  hint?(pod: PodInfo, event: ClusterEvent): boolean;
}

/** A hint for changes of the waiting pod itself. */
export function isItself(pod: PodInfo, event: ClusterEvent): boolean {
  return event.object?.metadata.uid === pod.uid;
}

/** Results that plugins of one cycle share, by a key of the plugin that writes. */
export class CycleState {
  readonly #values = new Map<string, unknown>();

  read<T>(key: string): T | undefined {
    return this.#values.get(key) as T | undefined;
  }
  write(key: string, value: unknown): void {
    this.#values.set(key, value);
  }
}

/** What a plugin's PreFilter answers. */
export type PreFilterResult<S> =
  /** The plugin has nothing against any node: its Filter is not called for this pod. */
  | "skip"
  | { readonly rejected: Status }
  /** `nodes`: only these can do. */
  | { readonly state: S; readonly nodes?: ReadonlySet<string> };

/** What a plugin's PostFilter answers. */
export interface PostFilterResult {
  readonly status: Status | undefined;
  /** undefined leaves the nomination as it is, "" clears it. */
  readonly nominatedNodeName?: string;
}

/** A pod as plugins that order the queue see it. */
export interface QueuedPod {
  readonly info: PodInfo;
  /** When the pod entered the queue this time (monotonic milliseconds). */
  readonly queuedAt: number;
}

/**
 * A scheduling plugin: the methods it has are the extension points it takes part in. Filter and Score state is what the
 * plugin's own PreFilter and PreScore returned for this pod (S and T); a cycle never mixes up two pods.
 */
export interface Plugin<S = unknown, T = unknown> {
  readonly name: string;
  /** QueueSort: should `a` be scheduled before `b`? Negative when so. */
  compare?(a: QueuedPod, b: QueuedPod): number;
  preEnqueue?(pod: Pod): Status | undefined;
  /**
   * For a plugin whose Filter and Score look at nothing besides the pod and the one node: all they go by of the pod, as
   * plain data. What it says of a node is remembered for pods that are alike in this, until the node changes.
   */
  nodeLocal?(pod: PodInfo): unknown;
  /** Which events may help a pod that this plugin refused. */
  readonly events?: readonly EventRegistration[];
  preFilter?(pod: PodInfo, nodes: readonly NodeInfo[], cycle: CycleState): PreFilterResult<S>;
  /** What Filter needs copied before preemption tries out removals. Without it the state does not depend on pods. */
  cloneState?(state: S): S;
  addPod?(state: S, pod: PodInfo, added: PodInfo, node: NodeInfo): void;
  removePod?(state: S, pod: PodInfo, removed: PodInfo, node: NodeInfo): void;
  filter?(state: S, pod: PodInfo, node: NodeInfo): Status | undefined;
  postFilter?(pod: PodInfo, diagnosis: Diagnosis, cycle: CycleState, signal: AbortSignal): Promise<PostFilterResult>;
  preScore?(pod: PodInfo, nodes: readonly NodeInfo[], cycle: CycleState): { readonly state: T } | "skip";
  /** 0 to 100, or anything that normalizeScore brings there. */
  score?(state: T, pod: PodInfo, node: NodeInfo): number;
  normalizeScore?(state: T, pod: PodInfo, nodes: readonly NodeInfo[], scores: Float64Array): void;
  /** Takes what the pod will use. `unreserve` must be harmless when reserve did not happen, and may come more than once. */
  reserve?(pod: PodInfo, nodeName: string, cycle: CycleState): Status | undefined;
  unreserve?(pod: PodInfo, nodeName: string, cycle: CycleState): void;
  /** "Wait" holds the pod back until somebody allows it, at most `timeoutMs`. */
  permit?(
    pod: PodInfo,
    nodeName: string,
    cycle: CycleState,
  ): { readonly status: Status; readonly timeoutMs?: number } | undefined;
  preBind?(pod: PodInfo, nodeName: string, cycle: CycleState, signal: AbortSignal): Promise<Status | undefined>;
  /** "Skip" leaves binding to the next plugin. */
  bind?(pod: PodInfo, nodeName: string, cycle: CycleState, signal: AbortSignal): Promise<Status | undefined>;
  postBind?(pod: PodInfo, nodeName: string, cycle: CycleState): void;
}

/** Why a pod found no node. */
export interface Diagnosis {
  readonly nodeCount: number;
  readonly statuses: ReadonlyMap<NodeInfo, Status>;
  /** Set when the pod was refused before any node was looked at. */
  readonly preFilterMessage: string;
  /** The plugins whose verdict has to change before another try makes sense. */
  readonly unschedulablePlugins: ReadonlySet<string>;
  /** The per-plugin state of this cycle, for preemption's dry runs. */
  readonly filterRun: FilterRun | undefined;
}

/** One pod's filtering state through all plugins; cloned for each dry run. */
export interface FilterRun {
  readonly pod: PodInfo;
  clone(): FilterRun;
  addPod(added: PodInfo, node: NodeInfo): void;
  removePod(removed: PodInfo, node: NodeInfo): void;
  /** The first refusal, or undefined when the node will do. */
  filter(node: NodeInfo): Status | undefined;
}
