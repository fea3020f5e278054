import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { PodInfo } from "./cache/pod-info.ts";
import { preFilter } from "./framework/filter-run.ts";
import { scoreNodes } from "./framework/scoring.ts";
import { CycleState } from "./framework/types.ts";
import { moreImportantFirst, selectVictims } from "./preemption/victims.ts";
import { offlineScheduler } from "./testing/offline.ts";
import type { Offline } from "./testing/offline.ts";
import { Draw, NAMESPACES } from "./testing/random-cluster.ts";
import { REFERENCE_SCORES, refusedBy } from "./testing/reference.ts";
import type { World } from "./testing/reference.ts";

/** A random history: nodes and pods come, change and go, in the fast cache and in a plain list alike. */
class History {
  readonly offline: Offline;
  readonly draw: Draw;
  readonly nodes = new Map<string, Node>();
  readonly pods = new Map<string, Pod>();

  constructor(seed: number) {
    const random = new SeededRandom(seed);
    this.draw = new Draw(random);
    this.offline = offlineScheduler({ clock: new FakeClock(), random, namespaces: NAMESPACES });
  }
  get world(): World {
    return { nodes: [...this.nodes.values()], pods: [...this.pods.values()], namespaces: NAMESPACES };
  }
  step(): void {
    const { draw, offline, nodes, pods } = this;
    const action = draw.int(10);
    if (nodes.size < 3 || action === 0) {
      const node = draw.node(`n${draw.int(12)}`);
      nodes.set(node.metadata.name, node);
      offline.cache.setNode(node);
    } else if (action === 1 && draw.chance(0.3)) {
      const name = draw.one([...nodes.keys()]);
      nodes.delete(name);
      offline.cache.removeNode(name);
    } else if (action <= 3 && pods.size > 0) {
      const name = draw.one([...pods.keys()]);
      offline.cache.removePod(pods.get(name)!.metadata.uid);
      pods.delete(name);
    } else {
      const drawn = draw.pod(`p${draw.int(40)}`);
      const previous = pods.get(drawn.metadata.name);
      if (previous !== undefined) offline.cache.removePod(previous.metadata.uid);
      const pod = { ...drawn, spec: { ...drawn.spec, nodeName: draw.one([...nodes.keys()]) } };
      pods.set(pod.metadata.name, pod);
      offline.cache.setPod(new PodInfo(pod), pod.spec.nodeName);
    }
  }
}

function verdicts({ offline }: History, info: PodInfo) {
  const prepared = preFilter(offline.profile.filter, info, offline.cache.nodes, new CycleState());
  const byNode = new Map<string, string | undefined>();
  for (const node of offline.cache.nodes) {
    const status = "rejected" in prepared ? prepared.rejected : prepared.run.filter(node);
    byNode.set(node.name, status?.plugin);
  }
  return byNode;
}

const SEEDS = 60;
const STEPS = 60;

describe("the scheduler against its slow reference, on random clusters", () => {
  it("refuses the same nodes for the same reasons", () => {
    let refusals = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = new History(seed);
      for (let step = 0; step < STEPS; step++) {
        history.step();
        if (step % 3 !== 0) continue;
        const pod = history.draw.pod("incoming");
        const fast = verdicts(history, new PodInfo(pod));
        for (const node of history.nodes.values()) {
          const expected = refusedBy(history.world, pod, node);
          if (expected !== undefined) refusals++;
          assert.equal(
            fast.get(node.metadata.name),
            expected,
            `seed ${seed}, step ${step}, node ${node.metadata.name}`,
          );
        }
      }
    }
    assert.ok(refusals > 1000, "the worlds are worth the test");
  });

  it("gives the same scores", () => {
    const seen = new Set<string>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = new History(seed * 1000);
      for (let step = 0; step < STEPS; step++) {
        history.step();
        if (step % 5 !== 0) continue;
        const pod = history.draw.pod("incoming");
        const info = new PodInfo(pod);
        const fast = verdicts(history, info);
        const feasible = history.offline.cache.nodes.filter(({ name }) => fast.get(name) === undefined);
        if (feasible.length < 2) continue;
        const { byPlugin } = scoreNodes(history.offline.profile.score, info, feasible, new CycleState());
        const nodes = feasible.map(({ name }) => history.nodes.get(name)!);
        for (const [plugin, reference] of Object.entries(REFERENCE_SCORES)) {
          const expected = reference(history.world, pod, nodes);
          const scores = byPlugin.find((one) => one.plugin === plugin)?.scores;
          const context = `${plugin}, seed ${seed}, step ${step}`;
          if (scores === undefined)
            assert.equal(new Set(expected).size, 1, `${context}: skipped, though it has a preference`);
          else {
            seen.add(plugin);
            assert.deepEqual([...scores], expected, context);
          }
        }
      }
    }
    assert.deepEqual([...seen].sort(), Object.keys(REFERENCE_SCORES).sort());
  });

  it("finds victims whose going makes room, and none that could stay", () => {
    let found = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const history = new History(seed * 7919);
      for (let step = 0; step < STEPS; step++) history.step();
      const pod = { ...history.draw.pod("incoming") };
      pod.spec = { ...pod.spec, priority: 10 };
      const info = new PodInfo(pod);
      const prepared = preFilter(history.offline.profile.filter, info, history.offline.cache.nodes, new CycleState());
      if ("rejected" in prepared) continue;
      const dryRun = { pod: info, run: prepared.run, budgets: [], nominator: history.offline.nominator };
      for (const node of history.offline.cache.nodes) {
        const outcome = selectVictims(dryRun, node);
        const without = (uids: ReadonlySet<string>): World => ({
          ...history.world,
          pods: history.world.pods.filter(({ metadata }) => !uids.has(metadata.uid)),
        });
        const refused = (uids: ReadonlySet<string>) => refusedBy(without(uids), pod, history.nodes.get(node.name)!);
        if (!("victims" in outcome)) {
          assert.ok(
            node.pods.size === 0 || refused(new Set(node.pods.keys())) !== undefined,
            `seed ${seed}: room could be made`,
          );
          continue;
        }
        found++;
        const uids = new Set(outcome.victims.map(({ uid }) => uid));
        assert.equal(refused(uids), undefined, `seed ${seed}: removing the victims is enough`);
        assert.deepEqual(outcome.victims, outcome.victims.toSorted(moreImportantFirst));
      }
    }
    assert.ok(found > 20);
  });
});
