import { SelectorError } from "#pkg/apimachinery/index.ts";
import type { NodeInfo } from "../cache/node-info.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import type { RememberedNodes } from "./node-memory.ts";
import type { Profile } from "./profile.ts";
import { failed, unresolvable } from "./status.ts";
import type { Status } from "./status.ts";
import type { CycleState, FilterRun, Plugin } from "./types.ts";

interface Active {
  readonly plugin: Plugin;
  readonly state: unknown;
}

/** Runs the Filter of all plugins that did not step back, in order, each with its own state. */
export class PluginFilterRun implements FilterRun {
  readonly pod: PodInfo;
  /** What node-local plugins have said of nodes before. */
  readonly remembered: RememberedNodes | undefined;
  readonly #active: readonly Active[];
  /** How many of the active ones, from the first, the memory covers. */
  readonly #covered: number;

  constructor(pod: PodInfo, active: readonly Active[], remembered?: RememberedNodes, covered = 0) {
    this.pod = pod;
    this.#active = active;
    this.remembered = remembered;
    this.#covered = covered;
  }
  clone(): FilterRun {
    const copies = this.#active.map(({ plugin, state }) => ({ plugin, state: plugin.cloneState?.(state) ?? state }));
    return new PluginFilterRun(this.pod, copies);
  }
  addPod(added: PodInfo, node: NodeInfo): void {
    for (const { plugin, state } of this.#active) plugin.addPod?.(state, this.pod, added, node);
  }
  removePod(removed: PodInfo, node: NodeInfo): void {
    for (const { plugin, state } of this.#active) plugin.removePod?.(state, this.pod, removed, node);
  }
  filter(node: NodeInfo): Status | undefined {
    const { remembered } = this;
    // Copies of nodes have no slot: what is tried out on them is nobody else's business.
    if (remembered === undefined || node.slot < 0) return this.#ask(node, 0, this.#active.length);
    if (!remembered.knows(node)) {
      const verdict = this.#ask(node, 0, this.#covered);
      if (verdict?.code === "Error") return verdict;
      remembered.learn(node, verdict);
    }
    return remembered.verdict(node) ?? this.#ask(node, this.#covered, this.#active.length);
  }
  #ask(node: NodeInfo, from: number, to: number): Status | undefined {
    const active = this.#active;
    for (let i = from; i < to; i++) {
      const { plugin, state } = active[i]!;
      let status: Status | undefined;
      try {
        status = plugin.filter!(state, this.pod, node);
      } catch (error) {
        status = failed(error);
      }
      if (status !== undefined) return named(status, plugin.name);
    }
    return undefined;
  }
}

/** The status with the plugin's name on it. */
export function named(status: Status, plugin: string): Status {
  return status.plugin === undefined ? { ...status, plugin } : status;
}

/** What the PreFilter plugins left. */
export interface PreFiltered {
  readonly run: PluginFilterRun;
  /** Only these nodes can do; undefined: all. */
  readonly nodes: ReadonlySet<string> | undefined;
  /** Which plugins narrowed the nodes. */
  readonly narrowedBy: readonly string[];
}

/** Lets every plugin look at the pod once; the first refusal ends it. */
export function preFilter(
  { filter: plugins, memory }: Pick<Profile, "filter" | "memory">,
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  cycle: CycleState,
): PreFiltered | { readonly rejected: Status } {
  const active: Active[] = [];
  let narrowed: ReadonlySet<string> | undefined;
  const narrowedBy: string[] = [];
  for (const plugin of plugins) {
    if (plugin.preFilter === undefined) {
      if (plugin.filter !== undefined) active.push({ plugin, state: undefined });
      continue;
    }
    let result;
    try {
      result = plugin.preFilter(pod, nodes, cycle);
    } catch (error) {
      // A selector that cannot be understood is the pod's own fault: trying again would not change it.
      const status = error instanceof SelectorError ? unresolvable(error.message) : failed(error);
      return { rejected: named(status, plugin.name) };
    }
    if (result === "skip") continue;
    if ("rejected" in result) return { rejected: named(result.rejected, plugin.name) };
    if (plugin.filter !== undefined) active.push({ plugin, state: result.state });
    if (result.nodes === undefined) continue;
    narrowedBy.push(plugin.name);
    const previous: ReadonlySet<string> | undefined = narrowed;
    narrowed = previous === undefined ? result.nodes : previous.intersection(result.nodes);
    if (narrowed.size === 0) {
      const list = narrowedBy.join(" ");
      const reason =
        narrowedBy.length === 1
          ? `node(s) didn't satisfy plugin(s) [${list}]`
          : `node(s) didn't satisfy plugin(s) [${list}] simultaneously`;
      return { rejected: { code: "UnschedulableAndUnresolvable", reasons: [reason], plugin: narrowedBy.at(-1)! } };
    }
  }
  const covered = active.filter(({ plugin }) => memory.covers(plugin)).length;
  return { run: new PluginFilterRun(pod, active, memory.recall(pod), covered), nodes: narrowed, narrowedBy };
}
