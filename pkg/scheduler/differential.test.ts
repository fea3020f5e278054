import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { DifferentialHistory } from "./testing/differential.ts";
import type { Mutation } from "./testing/differential.ts";
import type { RememberedNodes } from "./framework/node-memory.ts";
import type { Offline } from "./testing/offline.ts";
import { DEFAULT_PLUGINS } from "./plugins/registry.ts";
import { REFERENCE_SCORES } from "./testing/reference.ts";

const SEEDS = 2000;
const STEPS = 40;

interface Seen {
  refusals: Map<string, number>;
  scores: Set<string>;
  preemptions: number;
  violations: number;
}

/** Lives one history and compares all along; the first difference, or undefined. */
function difference(seed: number, seen: Seen, mutation?: Mutation): string | undefined {
  const history = new DifferentialHistory(seed, mutation);
  for (let step = 0; step < STEPS; step++) {
    history.step();
    if (step % 4 !== 0) continue;
    const found = history.compare(seen);
    if (found !== undefined) return `seed ${seed}, step ${step}: ${found}`;
  }
  const found = history.comparePreemption(seen);
  return found === undefined ? undefined : `seed ${seed}: ${found}`;
}
const nothing = (): Seen => ({ refusals: new Map(), scores: new Set(), preemptions: 0, violations: 0 });

const FILTERS = [
  "NodeUnschedulable",
  "TaintToleration",
  "NodeAffinity",
  "NodePorts",
  "NodeResourcesFit",
  "VolumeRestrictions",
  "NodeVolumeLimits",
  "VolumeBinding",
  "VolumeZone",
  "PodTopologySpread",
  "InterPodAffinity",
];

describe("the scheduler against its slow reference", () => {
  it(`decides the same in ${SEEDS} random histories: refusals, scores, victims`, () => {
    const seen = nothing();
    for (let seed = 1; seed <= SEEDS; seed++) assert.equal(difference(seed, seen), undefined);
    // The histories are worth the test: everything that can refuse, prefer or be displaced did.
    for (const plugin of FILTERS) assert.ok((seen.refusals.get(plugin) ?? 0) > 100, `${plugin} refused something`);
    assert.deepEqual([...seen.scores].sort(), Object.keys(REFERENCE_SCORES).sort());
    assert.ok(seen.preemptions > 500 && seen.violations > 50, JSON.stringify([seen.preemptions, seen.violations]));
  });

  const silent: [string, Mutation][] = FILTERS.map((name) => [
    `${name} refuses nothing`,
    { plugin: (plugin) => (plugin.name === name ? { ...plugin, filter: () => undefined } : plugin) },
  ]);
  const indifferent: [string, Mutation][] = Object.keys(REFERENCE_SCORES).map((name) => [
    `${name} gives each node one point too many`,
    {
      plugin: (plugin) =>
        plugin.name === name
          ? {
              ...plugin,
              normalizeScore: (state, pod, nodes, scores) => {
                plugin.normalizeScore?.(state, pod, nodes, scores);
                for (let i = 0; i < scores.length; i++) scores[i] = Math.min(100, scores[i]! + 1);
              },
            }
          : plugin,
    },
  ]);
  /** What is remembered of a node is never checked against how the node is now. */
  const remembersTooWell = ({ profile: { memory } }: Offline): void => {
    const recall = memory.recall.bind(memory);
    const learnt = new WeakMap<RememberedNodes, Set<number>>();
    memory.recall = (pod) => {
      const remembered = recall(pod);
      if (remembered === undefined || learnt.has(remembered)) return remembered;
      const slots = new Set<number>();
      learnt.set(remembered, slots);
      const learn = remembered.learn.bind(remembered);
      remembered.learn = (node, verdict) => {
        slots.add(node.slot);
        learn(node, verdict);
      };
      remembered.knows = ({ slot }) => slots.has(slot);
      return remembered;
    };
  };
  const forgetful: [string, Mutation][] = [
    ["pods that go stay counted", { offline: ({ cache }) => (cache.podCounts.podRemoved = () => undefined) }],
    ["pods that come are not counted", { offline: ({ cache }) => (cache.podCounts.podAdded = () => undefined) }],
    ["terms of pods that go stay", { offline: ({ cache }) => (cache.statedTerms.podRemoved = () => undefined) }],
    ["topologies of nodes that go stay", { offline: ({ cache }) => (cache.topology.remove = () => undefined) }],
    ["new pods take no resources", { takesNothing: true }],
    ["verdicts are remembered when nodes change", { offline: remembersTooWell }],
    ["budgets protect nobody", { ignoresBudgets: true }],
  ];
  for (const [what, mutation] of [...silent, ...indifferent, ...forgetful]) {
    it(`finds a scheduler where ${what}`, () => {
      const seen = nothing();
      for (let seed = 1; seed <= SEEDS; seed++) if (difference(seed, seen, mutation) !== undefined) return;
      assert.fail("no history shows it");
    });
  }

  it("knows every plugin that filters by default", () => {
    // NodeName has its own test; device allocation is refused as a whole.
    const others = [
      "SchedulingGates",
      "PrioritySort",
      "NodeName",
      "DynamicResources",
      "DefaultPreemption",
      "DefaultBinder",
    ];
    const known = new Set([...FILTERS, ...others, ...Object.keys(REFERENCE_SCORES)]);
    assert.deepEqual(
      DEFAULT_PLUGINS.map(({ name }) => name).filter((name) => !known.has(name)),
      [],
    );
  });
});
