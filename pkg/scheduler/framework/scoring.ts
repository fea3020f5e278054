import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { RememberedNodes } from "./node-memory.ts";
import { MAX_NODE_SCORE } from "./types.ts";
import type { CycleState, Plugin } from "./types.ts";

/** A plugin and how much its scores count. */
export interface WeightedPlugin {
  readonly plugin: Plugin;
  readonly weight: number;
}

/** What one plugin thinks of each node. */
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
  remembered?: RememberedNodes,
): { readonly totals: Float64Array; readonly byPlugin: PluginScores[] } {
  const totals = new Float64Array(nodes.length);
  const byPlugin: PluginScores[] = [];
  for (const { plugin, weight } of plugins) {
    const prepared = plugin.preScore === undefined ? { state: undefined } : plugin.preScore(pod, nodes, cycle);
    if (prepared === "skip" || plugin.score === undefined) continue;
    const scores = new Float64Array(nodes.length);
    if (remembered === undefined || plugin.nodeLocal === undefined)
      for (let i = 0; i < nodes.length; i++) scores[i] = plugin.score(prepared.state, pod, nodes[i]!);
    else scoreRemembering(plugin, prepared.state, pod, nodes, scores, remembered);
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

/** The same, asking only for nodes that have changed since the plugin last scored them for a pod like this. */
function scoreRemembering(
  plugin: Plugin,
  state: unknown,
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  scores: Float64Array,
  remembered: RememberedNodes,
): void {
  const known = remembered.scores(plugin);
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[i]!;
    const isKnown = remembered.knows(node);
    let score = isKnown ? known[node.slot]! : NaN;
    if (Number.isNaN(score)) {
      score = plugin.score!(state, pod, node);
      if (isKnown) known[node.slot] = score;
    }
    scores[i] = score;
  }
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
