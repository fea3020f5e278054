import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { amountOf } from "../cache/resources.ts";
import { MAX_NODE_SCORE } from "../framework/types.ts";
import type { Plugin } from "../framework/types.ts";
import type { ScoredResource } from "./scored-resources.ts";

const DEFAULT_RESOURCES: readonly ScoredResource[] = [
  { name: "cpu", weight: 1 },
  { name: "memory", weight: 1 },
];

/** Prefers nodes where the pod would leave the shares of the resources in use close to each other. */
export function nodeResourcesBalancedAllocation(
  args: { readonly resources?: readonly ScoredResource[] } = {},
): Plugin<unknown, undefined> {
  const names = (args.resources ?? DEFAULT_RESOURCES).map(({ name }) => name);
  return {
    name: "NodeResourcesBalancedAllocation",
    // A pod that requests nothing changes no balance.
    preScore: ({ requests }) => (names.every((name) => amountOf(requests, name) === 0) ? "skip" : { state: undefined }),
    score: (_state, pod, node) => Math.trunc((1 - deviation(pod, node, names)) * MAX_NODE_SCORE),
  };
}

function deviation({ requests }: PodInfo, { requested, allocatable }: NodeInfo, names: readonly string[]): number {
  const fractions: number[] = [];
  let sum = 0;
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!;
    const has = amountOf(allocatable, name);
    if (has === 0) continue;
    const wanted = amountOf(requests, name);
    if (wanted === 0 && name !== "cpu" && name !== "memory" && name !== "ephemeral-storage") continue;
    const fraction = Math.min((amountOf(requested, name) + wanted) / has, 1);
    fractions.push(fraction);
    sum += fraction;
  }
  if (fractions.length === 2) return Math.abs(fractions[0]! - fractions[1]!) / 2;
  if (fractions.length < 2) return 0;
  const mean = sum / fractions.length;
  let squares = 0;
  for (const fraction of fractions) squares += (fraction - mean) ** 2;
  return Math.sqrt(squares / fractions.length);
}
