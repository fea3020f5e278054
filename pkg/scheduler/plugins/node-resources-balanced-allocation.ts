import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { MAX_NODE_SCORE } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";
import { ScoredAmount, resourcesOf } from "./scored-resources.ts";
import type { ScoredResource } from "./scored-resources.ts";

const DEFAULT_RESOURCES: readonly ScoredResource[] = [
  { name: "cpu", weight: 1 },
  { name: "memory", weight: 1 },
];

/** Prefers nodes where the pod would leave the shares of the resources in use close to each other. */
export function nodeResourcesBalancedAllocation(
  args: { readonly resources?: readonly ScoredResource[] } = {},
): Plugin<unknown, undefined> {
  const amounts = (args.resources ?? DEFAULT_RESOURCES).map((resource) => new ScoredAmount(resource));
  return {
    name: "NodeResourcesBalancedAllocation",
    nodeLocal: resourcesOf,
    // A pod that requests nothing changes no balance.
    preScore: ({ requests }) => (amounts.every((amount) => amount.of(requests) === 0) ? "skip" : { state: undefined }),
    score: (_state, pod, node) => Math.trunc((1 - deviation(pod, node, amounts)) * MAX_NODE_SCORE),
  };
}

/** Standard deviation of the shares of the resources that would be requested. */
function deviation(pod: PodInfo, node: NodeInfo, amounts: readonly ScoredAmount[]): number {
  let count = 0;
  let sum = 0;
  let first = 0;
  let second = 0;
  for (let i = 0; i < amounts.length; i++) {
    const share = shareOf(amounts[i]!, pod, node);
    if (share < 0) continue;
    if (count === 0) first = share;
    else second = share;
    count++;
    sum += share;
  }
  if (count < 2) return 0;
  if (count === 2) return Math.abs(first - second) / 2;
  const mean = sum / count;
  let squares = 0;
  for (const amount of amounts) {
    const share = shareOf(amount, pod, node);
    if (share >= 0) squares += (share - mean) ** 2;
  }
  return Math.sqrt(squares / count);
}

/** -1 where the resource does not count: the node has none of it, or the pod does not ask for an extended one. */
function shareOf(amount: ScoredAmount, pod: PodInfo, node: NodeInfo): number {
  const has = amount.of(node.allocatable);
  const wanted = amount.of(pod.requests);
  if (has === 0 || (amount.isExtended && wanted === 0)) return -1;
  return Math.min((amount.of(node.requested) + wanted) / has, 1);
}
