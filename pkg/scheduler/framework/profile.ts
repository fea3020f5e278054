import type { PodInfo } from "../cache/pod-info.ts";
import { NodeMemory } from "./node-memory.ts";
import { named } from "./filter-run.ts";
import type { WeightedPlugin } from "./scoring.ts";
import type { Status } from "./status.ts";
import { isItself } from "./types.ts";
import type { EventRegistration, Plugin, QueuedPod } from "./types.ts";

/** The plugins of one scheduler name, by extension point and in order. */
export interface Profile {
  readonly schedulerName: string;
  /** 0 means: as many as the size of the cluster suggests. */
  readonly percentageOfNodesToScore: number;
  readonly compare: (a: QueuedPod, b: QueuedPod) => number;
  readonly preEnqueue: readonly Plugin[];
  readonly filter: readonly Plugin[];
  readonly postFilter: readonly Plugin[];
  readonly score: readonly WeightedPlugin[];
  readonly reserve: readonly Plugin[];
  readonly permit: readonly Plugin[];
  readonly preBind: readonly Plugin[];
  readonly bind: readonly Plugin[];
  readonly postBind: readonly Plugin[];
  /** What was found out about nodes for earlier pods. */
  readonly memory: NodeMemory;
  readonly registrations: ReadonlyMap<string, readonly EventRegistration[]>;
}

/** Stands for a plugin where a pod is refused for what it says, before any plugin sees it. */
export const POD_SPEC = "PodSpec";
/** The same where there is no node at all. */
export const NO_NODES = "NoNodes";
const OWN_CHANGES: readonly EventRegistration[] = [
  {
    resource: "UnscheduledPod",
    actions: ["Update", "UpdatePodLabel", "UpdatePodScaleDown", "UpdatePodToleration"],
    hint: isItself,
  },
];

/** Where plugins are asked (KEP-624). */
export type ExtensionPoint =
  | "queueSort"
  | "preEnqueue"
  | "preFilter"
  | "filter"
  | "postFilter"
  | "preScore"
  | "score"
  | "reserve"
  | "permit"
  | "preBind"
  | "bind"
  | "postBind";

/** A plugin that a profile has. */
export interface EnabledPlugin {
  readonly plugin: Plugin;
  /** Of its scores; 0 and undefined mean 1. */
  readonly weight?: number;
  /** Points where the profile has switched it off. */
  readonly disabledAt?: ReadonlySet<ExtensionPoint>;
}

/** Sorts enabled plugins by what they can do. @throws Error without a way to sort or bind. */
export function makeProfile(
  schedulerName: string,
  enabled: readonly EnabledPlugin[],
  percentageOfNodesToScore: number,
): Profile {
  const at = (point: ExtensionPoint, can: (plugin: Plugin) => boolean): Plugin[] =>
    enabled
      .filter(({ plugin, disabledAt }) => can(plugin) && disabledAt?.has(point) !== true)
      .map(({ plugin }) => plugin);
  const sorters = at("queueSort", ({ compare }) => compare !== undefined);
  if (sorters.length !== 1)
    throw new Error(`profile ${schedulerName} needs exactly one queue sort plugin, it has ${sorters.length}`);
  const bind = at("bind", ({ bind: method }) => method !== undefined);
  if (bind.length === 0) throw new Error(`profile ${schedulerName} has no bind plugin`);
  const scorers = new Set(at("score", ({ score }) => score !== undefined));
  const sorter = sorters[0]!;
  const filter = at("filter", (plugin) => plugin.filter !== undefined || plugin.preFilter !== undefined);
  return {
    schedulerName,
    percentageOfNodesToScore,
    compare: (a, b) => sorter.compare!(a, b),
    preEnqueue: at("preEnqueue", ({ preEnqueue }) => preEnqueue !== undefined),
    filter,
    memory: new NodeMemory(filter, [...scorers]),
    postFilter: at("postFilter", ({ postFilter }) => postFilter !== undefined),
    score: enabled
      .filter(({ plugin }) => scorers.has(plugin))
      .map(({ plugin, weight }) => ({ plugin, weight: weight || 1 })),
    reserve: at("reserve", ({ reserve, unreserve }) => reserve !== undefined || unreserve !== undefined),
    permit: at("permit", ({ permit }) => permit !== undefined),
    preBind: at("preBind", ({ preBind }) => preBind !== undefined),
    bind,
    postBind: at("postBind", ({ postBind }) => postBind !== undefined),
    registrations: new Map([
      [POD_SPEC, OWN_CHANGES],
      [NO_NODES, [{ resource: "Node", actions: ["Add"] }]],
      ...enabled.flatMap(({ plugin }) => (plugin.events === undefined ? [] : [[plugin.name, plugin.events] as const])),
    ]),
  };
}

/** The first verdict against letting the pod into the queue. */
export function preEnqueue(profile: Profile, { pod }: PodInfo): Status | undefined {
  for (const plugin of profile.preEnqueue) {
    const status = plugin.preEnqueue!(pod);
    if (status !== undefined) return named(status, plugin.name);
  }
  return undefined;
}
