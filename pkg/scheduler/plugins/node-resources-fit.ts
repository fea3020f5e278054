import type { Node } from "#pkg/api/types/core-v1.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { amountOf, readAllocatable } from "../cache/resources.ts";
import type { Status } from "../framework/status.ts";
import type { ClusterEvent, Plugin } from "../framework/types.ts";
import { isItself, MAX_NODE_SCORE } from "../framework/types.ts";
import { ScoredAmount, resourcesOf } from "./scored-resources.ts";
import type { ScoredResource } from "./scored-resources.ts";

/** A point of the curve from a node's use to its score. */
export interface ShapePoint {
  /** 0 to 100 percent. */
  readonly utilization: number;
  /** 0 to 10. */
  readonly score: number;
}

/** Arguments of NodeResourcesFit. */
export interface NodeResourcesFitArgs {
  readonly ignoredResources?: readonly string[];
  /** Prefixes before "/" of extended resources to ignore. */
  readonly ignoredResourceGroups?: readonly string[];
  readonly scoringStrategy?: {
    readonly type?: "LeastAllocated" | "MostAllocated" | "RequestedToCapacityRatio";
    readonly resources?: readonly ScoredResource[];
    readonly requestedToCapacityRatio?: { readonly shape: readonly ShapePoint[] };
  };
}

const DEFAULT_RESOURCES: readonly ScoredResource[] = [
  { name: "cpu", weight: 1 },
  { name: "memory", weight: 1 },
];

/** Does the node have what the pod requests? Scores by how full the node would be. */
export function nodeResourcesFit(args: NodeResourcesFitArgs = {}): Plugin<undefined, PodInfo> {
  const isIgnored = ignoredBy(args);
  const refusals = new Map<string, Status>();
  const {
    type = "LeastAllocated",
    resources = DEFAULT_RESOURCES,
    requestedToCapacityRatio,
  } = args.scoringStrategy ?? {};
  const strategies = {
    LeastAllocated: leastAllocated,
    MostAllocated: mostAllocated,
    RequestedToCapacityRatio: byShape(requestedToCapacityRatio?.shape ?? []),
  };
  const scoreOne = strategies[type];
  const amounts = resources.map((resource) => new ScoredAmount(resource));
  return {
    name: "NodeResourcesFit",
    nodeLocal: resourcesOf,
    events: [
      {
        resource: "AssignedPod",
        actions: ["Delete", "UpdatePodScaleDown"],
        hint: freesSomething,
      },
      {
        resource: "Node",
        actions: ["Add", "UpdateNodeAllocatable"],
        hint: (pod, { object, old }) => couldFit(pod, object as Node, old as Node | undefined),
      },
      {
        resource: "UnscheduledPod",
        actions: ["UpdatePodScaleDown"],
        hint: isItself,
      },
    ],
    filter: (_state, pod, node) => {
      if (hasRoom(pod, node)) return undefined;
      const insufficient = findInsufficient(pod, node, isIgnored);
      if (insufficient === undefined) return undefined;
      const id = `${insufficient.unresolvable ? "!" : ""}${insufficient.reasons.join()}`;
      let status = refusals.get(id);
      if (status === undefined) {
        const code = insufficient.unresolvable ? "UnschedulableAndUnresolvable" : "Unschedulable";
        status = { code, reasons: insufficient.reasons };
        if (refusals.size < 1000) refusals.set(id, status);
      }
      return status;
    },
    preScore: (pod) => ({ state: pod }),
    score: (_state, pod, node) => weightedScore(pod, node, amounts, scoreOne),
  };
}

function ignoredBy({
  ignoredResources = [],
  ignoredResourceGroups = [],
}: NodeResourcesFitArgs): (name: string) => boolean {
  if (ignoredResources.length === 0 && ignoredResourceGroups.length === 0) return () => false;
  const names = new Set(ignoredResources);
  const groups = new Set(ignoredResourceGroups);
  return (name) => names.has(name) || groups.has(name.split("/")[0] ?? "");
}

interface Insufficient {
  reasons: string[];
  /** More is asked for than the empty node has. */
  unresolvable: boolean;
}

/** The usual answer, without preparing any other. */
function hasRoom({ requests: wanted }: PodInfo, node: NodeInfo): boolean {
  const { requested, allocatable } = node;
  if (node.pods.size >= node.allowedPods || wanted.scalars !== undefined) return false;
  return (
    (wanted.milliCpu === 0 || wanted.milliCpu <= allocatable.milliCpu - requested.milliCpu) &&
    (wanted.memory === 0 || wanted.memory <= allocatable.memory - requested.memory) &&
    (wanted.ephemeralStorage === 0 ||
      wanted.ephemeralStorage <= allocatable.ephemeralStorage - requested.ephemeralStorage)
  );
}

function findInsufficient(
  pod: PodInfo,
  node: NodeInfo,
  isIgnored: (name: string) => boolean,
): Insufficient | undefined {
  const result: Insufficient = { reasons: [], unresolvable: false };
  const check = (name: string, wanted: number, has: number, taken: number) => {
    if (wanted === 0 || wanted <= has - taken) return;
    result.reasons.push(`Insufficient ${name}`);
    result.unresolvable ||= wanted > has;
  };
  const { requested, allocatable } = node;
  const wanted = pod.requests;
  if (node.pods.size >= node.allowedPods) {
    result.reasons.push("Too many pods");
    result.unresolvable = node.allowedPods === 0;
  }
  check("cpu", wanted.milliCpu, allocatable.milliCpu, requested.milliCpu);
  check("memory", wanted.memory, allocatable.memory, requested.memory);
  check("ephemeral-storage", wanted.ephemeralStorage, allocatable.ephemeralStorage, requested.ephemeralStorage);
  for (const [name, amount] of wanted.scalars ?? []) {
    if (!isIgnored(name)) check(name, amount, allocatable.scalars?.get(name) ?? 0, requested.scalars?.get(name) ?? 0);
  }
  return result.reasons.length === 0 ? undefined : result;
}

/** A pod that goes (or shrinks) helps only if it gives up something that the waiting pod wants; its place counts too. */
function freesSomething({ requests: wanted }: PodInfo, { pod, oldPod }: ClusterEvent): boolean {
  if (oldPod === undefined || pod === undefined) return true; // gone: there is one pod less
  const names = ["cpu", "memory", "ephemeral-storage", ...(wanted.scalars?.keys() ?? [])];
  return names.some(
    (name) => amountOf(wanted, name) > 0 && amountOf(pod.requests, name) < amountOf(oldPod.requests, name),
  );
}

function couldFit({ requests: wanted }: PodInfo, node: Node, old: Node | undefined): boolean {
  const { resources: allocatable, pods } = readAllocatable(node.status?.allocatable);
  const names = ["cpu", "memory", "ephemeral-storage", ...(wanted.scalars?.keys() ?? [])];
  if (names.some((name) => amountOf(wanted, name) > amountOf(allocatable, name))) return false;
  if (pods < 1) return false;
  if (old === undefined) return true;
  const { resources: before, pods: podsBefore } = readAllocatable(old.status?.allocatable);
  return (
    pods > podsBefore ||
    names.some((name) => amountOf(wanted, name) > 0 && amountOf(allocatable, name) > amountOf(before, name))
  );
}

type ScoreOne = (requested: number, allocatable: number) => number;

function weightedScore(pod: PodInfo, node: NodeInfo, resources: readonly ScoredAmount[], scoreOne: ScoreOne): number {
  let sum = 0;
  let weights = 0;
  for (let i = 0; i < resources.length; i++) {
    const resource = resources[i]!;
    const allocatable = resource.of(node.allocatable);
    if (allocatable === 0) continue;
    // An extended resource that the pod does not use says nothing about where it should go.
    if (resource.isExtended && resource.of(pod.requests) === 0) continue;
    sum += scoreOne(resource.requested(pod, node), allocatable) * resource.weight;
    weights += resource.weight;
  }
  return weights === 0 ? 0 : Math.floor(sum / weights);
}

function leastAllocated(requested: number, allocatable: number): number {
  return requested > allocatable ? 0 : Math.floor(((allocatable - requested) * MAX_NODE_SCORE) / allocatable);
}

function mostAllocated(requested: number, allocatable: number): number {
  return Math.floor((Math.min(requested, allocatable) * MAX_NODE_SCORE) / allocatable);
}

/** Piecewise linear between the points; scores of 0…10 become 0…100. */
function byShape(points: readonly ShapePoint[]): ScoreOne {
  const shape = points.map(({ utilization, score }) => ({ utilization, score: score * 10 }));
  return (requested, allocatable) => {
    const utilization = requested > allocatable ? 100 : Math.floor((requested * 100) / allocatable);
    for (let i = 0; i < shape.length; i++) {
      const point = shape[i]!;
      if (utilization > point.utilization) continue;
      const before = shape[i - 1];
      if (before === undefined) return point.score;
      const run = point.utilization - before.utilization;
      return before.score + Math.trunc(((point.score - before.score) * (utilization - before.utilization)) / run);
    }
    return shape.at(-1)?.score ?? 0;
  };
}
