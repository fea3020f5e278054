import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { MAX_NODE_SCORE } from "./types.ts";
import type { CycleState, Plugin } from "./types.ts";

export interface WeightedPlugin {
  readonly plugin: Plugin;
  readonly weight: number;
}
export interface PluginScores {
  readonly plugin: string;
  readonly weight: number;
  /** By position in the list of nodes, normalised and not yet weighted. */
  readonly scores: Float64Array;
}

/** Scores of all nodes by every plugin that has a preference; a plugin that fails or leaves 0…100 throws. */
export function scoreNodes(
  plugins: readonly WeightedPlugin[],
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  cycle: CycleState,
): { readonly totals: Float64Array; readonly byPlugin: PluginScores[] } {
  const totals = new Float64Array(nodes.length);
  const byPlugin: PluginScores[] = [];
  for (const { plugin, weight } of plugins) {
    const prepared = plugin.preScore === undefined ? { state: undefined } : plugin.preScore(pod, nodes, cycle);
    if (prepared === "skip" || plugin.score === undefined) continue;
    const scores = new Float64Array(nodes.length);
    for (let i = 0; i < nodes.length; i++) scores[i] = plugin.score(prepared.state, pod, nodes[i]!);
    plugin.normalizeScore?.(prepared.state, pod, nodes, scores);
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i]!;
      if (!(score >= 0 && score <= MAX_NODE_SCORE)) {
        throw new Error(
          `plugin "${plugin.name}" returns an invalid score ${score}, it should in the range of [0, ${MAX_NODE_SCORE}] after normalizing`,
        );
      }
      totals[i]! += score * weight;
    }
    byPlugin.push({ plugin: plugin.name, weight, scores });
  }
  return { totals, byPlugin };
}

/** Stretches scores so that the highest becomes 100; with `reverse` the lowest does. */
export function defaultNormalize(scores: Float64Array, reverse: boolean): void {
  let highest = 0;
  for (let i = 0; i < scores.length; i++) highest = Math.max(highest, scores[i]!);
  for (let i = 0; i < scores.length; i++) {
    const share = highest === 0 ? 0 : Math.floor((MAX_NODE_SCORE * scores[i]!) / highest);
    if (highest === 0) scores[i] = reverse ? MAX_NODE_SCORE : scores[i]!;
    else scores[i] = reverse ? MAX_NODE_SCORE - share : share;
  }
}
