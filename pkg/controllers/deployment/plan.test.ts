import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Deployment, ReplicaSet } from "#pkg/api/types/apps-v1.ts";
import { deploymentOf, NOW, podOf, replicaSetOf } from "../testing/objects.ts";
import { DESIRED_REPLICAS, MAX_REPLICAS, REVISION, REVISION_HISTORY } from "./annotations.ts";
import { maxSurge, maxUnavailable, sizeOf } from "./arithmetic.ts";
import { planDeployment } from "./plan.ts";

const plan = (deployment: Deployment, owned: readonly ReplicaSet[] = [], pods: ReturnType<typeof podOf>[] = []) =>
  planDeployment(deployment, owned, () => pods, NOW);
const sizes = (result: ReturnType<typeof plan>) =>
  Object.fromEntries(result.update.map(({ replicaSet }) => [replicaSet.metadata.name, sizeOf(replicaSet)]));
const conditionOf = (result: ReturnType<typeof plan>, type: string) => {
  const found = result.status.conditions?.find((condition) => condition.type === type);
  return found === undefined ? undefined : [found.status, found.reason];
};

test("the first turn makes the ReplicaSet, with hash, revision and sizes", () => {
  const result = plan(deploymentOf(4));
  const created = result.create!;
  const hash = created.metadata.labels?.["pod-template-hash"];
  assert.equal(created.metadata.name, `web-${hash}`);
  assert.equal(created.spec.replicas, 4);
  assert.equal(created.spec.selector.matchLabels?.["pod-template-hash"], hash);
  assert.equal(created.spec.template?.metadata?.labels?.["pod-template-hash"], hash);
  assert.equal(created.metadata.annotations?.[REVISION], "1");
  assert.equal(created.metadata.annotations?.[DESIRED_REPLICAS], "4");
  assert.equal(created.metadata.annotations?.[MAX_REPLICAS], "5");
  assert.equal(result.revision, "1");
  assert.deepEqual(conditionOf(result, "Progressing"), ["True", "NewReplicaSetCreated"]);
  const collided = plan(deploymentOf(4, {}, { status: { collisionCount: 1 } }));
  assert.notEqual(collided.create?.metadata.name, created.metadata.name);
});

test("a rolling update goes up by the surge, then takes away what can be spared", () => {
  const deployment = deploymentOf(4);
  const old = replicaSetOf("old", 4, { image: "old" });
  const created = plan(deployment, [old]).create!;
  assert.equal(created.spec.replicas, 1, "four and a surge of one");
  const fresh = replicaSetOf("fresh", 1, { available: 0, annotations: { [REVISION]: "2" } });
  assert.deepEqual(sizes(plan(deployment, [old, fresh])), { old: 3 }, "one may be unavailable");
  const available = replicaSetOf("fresh", 1, { annotations: { [REVISION]: "2" } });
  assert.deepEqual(sizes(plan(deployment, [replicaSetOf("old", 3, { image: "old" }), available])), { fresh: 2 });
});

test("a pod that could not be deleted yet is not given up a second time", () => {
  const rolling = deploymentOf(4, {
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 2, maxUnavailable: 1 } },
  });
  const fresh = replicaSetOf("fresh", 3, { available: 2, annotations: { [REVISION]: "2" } });
  const lagging = replicaSetOf("old", 3, { image: "old", status: 4, available: 4 });
  assert.deepEqual(sizes(plan(rolling, [lagging, fresh])), { old: 1 });
});

test("nothing is spared on a count from before the last resize", () => {
  const old = replicaSetOf("old", 4, { image: "old" });
  const fresh = replicaSetOf("fresh", 1, { annotations: { [REVISION]: "2" } });
  assert.deepEqual(sizes(plan(deploymentOf(4), [old, fresh])), { old: 2 });
  const resized = { ...fresh, metadata: { ...fresh.metadata, generation: 2 } };
  assert.deepEqual(sizes(plan(deploymentOf(4), [old, resized])), {});
});

test("unhealthy old pods go first", () => {
  const broken = replicaSetOf("broken", 2, { image: "broken", available: 0, created: "2025-12-30T00:00:00Z" });
  const good = replicaSetOf("good", 3, { image: "good" });
  const fresh = replicaSetOf("fresh", 0, { annotations: { [REVISION]: "3" } });
  assert.deepEqual(sizes(plan(deploymentOf(4), [broken, good, fresh])), { broken: 0 });
});

test("Recreate waits until the last old pod has stopped", () => {
  const deployment = deploymentOf(2, { strategy: { type: "Recreate" } });
  const running = replicaSetOf("old", 2, { image: "old" });
  assert.deepEqual(sizes(plan(deployment, [running])), { old: 0 });
  const down = replicaSetOf("old", 0, { image: "old" });
  const terminating = podOf("p", { owner: { kind: "ReplicaSet", uid: "uid-old" }, deleted: true });
  assert.equal(plan(deployment, [down], [terminating]).create, undefined);
  assert.equal(plan(deployment, [down], []).create?.spec.replicas, 2);
});

test("resizing in the middle of a roll-out keeps the proportions", () => {
  const annotations = { [DESIRED_REPLICAS]: "10", [MAX_REPLICAS]: "13" };
  const old = replicaSetOf("old", 8, { image: "old", annotations });
  const fresh = replicaSetOf("fresh", 5, { annotations: { ...annotations, [REVISION]: "2" } });
  const grown = deploymentOf(20, {
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 3, maxUnavailable: 2 } },
  });
  assert.deepEqual(sizes(plan(grown, [old, fresh])), { old: 14, fresh: 9 });
});

test("a paused deployment is resized and not rolled", () => {
  const annotations = { [DESIRED_REPLICAS]: "2", [MAX_REPLICAS]: "3" };
  const result = plan(deploymentOf(5, { paused: true }), [replicaSetOf("old", 2, { image: "old", annotations })]);
  assert.equal(result.create, undefined);
  assert.deepEqual(sizes(result), { old: 5 });
  assert.deepEqual(conditionOf(result, "Progressing"), ["Unknown", "DeploymentPaused"]);
});

test("a rollback takes the old ReplicaSet up again under a new revision, and remembers the former", () => {
  const first = replicaSetOf("first", 0, { annotations: { [REVISION]: "1" } });
  const second = replicaSetOf("second", 2, { image: "second", annotations: { [REVISION]: "2" } });
  const result = plan(deploymentOf(2), [first, second]);
  const { annotations } = result.update.find(({ replicaSet }) => replicaSet.metadata.name === "first")!.replicaSet
    .metadata;
  assert.equal(annotations?.[REVISION], "3");
  assert.equal(annotations?.[REVISION_HISTORY], "1");
  assert.equal(result.revision, "3");
});

test("revisions that a double cannot hold go on exactly", () => {
  const adopted = replicaSetOf("adopted", 1, { image: "old", annotations: { [REVISION]: "3546343826724305832" } });
  const result = plan(deploymentOf(1), [adopted]);
  assert.equal(result.create?.metadata.annotations?.[REVISION], "3546343826724305833");
  assert.equal(result.revision, "3546343826724305833");
});

test("history beyond the limit goes, oldest revision first, once the roll-out is complete", () => {
  const old = [1, 2, 3].map((revision) =>
    replicaSetOf(`old${revision}`, 0, { image: `old${revision}`, annotations: { [REVISION]: String(revision) } }),
  );
  const current = replicaSetOf("current", 2, {
    annotations: { [REVISION]: "4", [DESIRED_REPLICAS]: "2", [MAX_REPLICAS]: "3" },
  });
  const status = { observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2 };
  const result = plan(deploymentOf(2, { revisionHistoryLimit: 1 }, { status }), [...old, current]);
  assert.deepEqual(
    result.delete.map(({ metadata }) => metadata.name),
    ["old1", "old2"],
  );
});

test("progress is timed: update, deadline, completion", () => {
  const annotations = { [REVISION]: "1", [DESIRED_REPLICAS]: "2", [MAX_REPLICAS]: "3" };
  const since = new Date(NOW - 601_000).toISOString();
  const progressing = { type: "Progressing", status: "True", reason: "ReplicaSetUpdated", lastUpdateTime: since };
  const stuck = deploymentOf(2, {}, { status: { replicas: 2, updatedReplicas: 2, conditions: [progressing] } });
  const waiting = replicaSetOf("rs", 2, { available: 0, annotations });
  assert.deepEqual(conditionOf(plan(stuck, [waiting]), "Progressing"), ["False", "ProgressDeadlineExceeded"]);
  assert.deepEqual(conditionOf(plan(stuck, [waiting]), "Available"), ["False", "MinimumReplicasUnavailable"]);
  const done = replicaSetOf("rs", 2, { annotations });
  assert.deepEqual(conditionOf(plan(stuck, [done]), "Progressing"), ["True", "NewReplicaSetAvailable"]);
  const half = replicaSetOf("rs", 2, { available: 1, annotations });
  const moved = plan(stuck, [half]);
  assert.deepEqual(conditionOf(moved, "Progressing"), ["True", "ReplicaSetUpdated"]);
  assert.equal(moved.requeueAfterMs, 601_000);
});

test("failures of a ReplicaSet show", () => {
  const failing = replicaSetOf("rs", 2, { status: 0, available: 0 });
  failing.status!.conditions = [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message: "quota" }];
  assert.deepEqual(conditionOf(plan(deploymentOf(2), [failing]), "ReplicaFailure"), ["True", "FailedCreate"]);
});

test("percentages over 100 and nonsense are survived", () => {
  const wild = deploymentOf(3, {
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "1000%", maxUnavailable: "500%" } },
  });
  assert.equal(maxSurge(wild), 30);
  assert.equal(maxUnavailable(wild), 3);
  const broken = deploymentOf(3, {
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "x", maxUnavailable: "y" } },
  });
  assert.equal(maxSurge(broken), 0);
  assert.equal(maxUnavailable(broken), 1);
});

const bound = fc.oneof(
  fc.nat(4),
  fc.nat(150).map((percent) => `${percent}%`),
);
const size = fc.record({ replicas: fc.nat(12), unavailable: fc.nat(12) });

test("no turn of a rolling update asks for too many pods or gives up too many", () => {
  fc.assert(
    fc.property(
      fc.nat(12),
      bound,
      bound,
      size,
      fc.array(size, { maxLength: 3 }),
      (replicas, surge, unavailable, current, others) => {
        const deployment = deploymentOf(replicas, {
          strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } },
        });
        const annotations = {
          [DESIRED_REPLICAS]: String(replicas),
          [MAX_REPLICAS]: String(replicas + maxSurge(deployment)),
        };
        const make = (
          name: string,
          { replicas: count, unavailable: missing }: { replicas: number; unavailable: number },
          image?: string,
        ) => replicaSetOf(name, count, { image, available: Math.max(0, count - missing), annotations });
        const owned = [
          make("current", current),
          ...others.map((other, index) => make(`old${index}`, other, `old${index}`)),
        ];
        const before = owned.reduce((sum, set) => sum + sizeOf(set), 0);
        const result = plan(deployment, owned);
        const changed = new Map(result.update.map(({ replicaSet }) => [replicaSet.metadata.name, replicaSet]));
        const after = owned.map((set) => changed.get(set.metadata.name) ?? set);
        const total = after.reduce((sum, set) => sum + sizeOf(set), 0);
        assert.ok(total <= Math.max(before, replicas + maxSurge(deployment)), `asks for ${total}`);
        const spared = (set: ReplicaSet) =>
          Math.min(sizeOf(changed.get(set.metadata.name) ?? set), set.status?.availableReplicas ?? 0);
        const had = owned.reduce((sum, set) => sum + (set.status?.availableReplicas ?? 0), 0);
        const kept = owned.reduce((sum, set) => sum + spared(set), 0);
        const isShrinking = sizeOf(owned[0]!) > replicas;
        if (!isShrinking)
          assert.ok(kept >= Math.min(had, replicas - maxUnavailable(deployment)), `keeps ${kept} of ${had}`);
        for (const set of after) assert.ok(sizeOf(set) >= 0);
      },
    ),
    { numRuns: 500 },
  );
});

test("a roll-out always ends, whatever the bounds", () => {
  fc.assert(
    fc.property(fc.nat(10), bound, bound, (replicas, surge, unavailable) => {
      const deployment = deploymentOf(replicas, {
        strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: surge, maxUnavailable: unavailable } },
      });
      let owned = [
        replicaSetOf("old", replicas, { image: "old" }),
        replicaSetOf("fresh", 0, { annotations: { [REVISION]: "2" } }),
      ];
      for (let turn = 0; turn < 100; turn++) {
        const { update } = plan(deployment, owned);
        const resized = update.filter(({ resizedFrom }) => resizedFrom !== undefined);
        if (turn > 0 && resized.length === 0) break;
        const changed = new Map(update.map(({ replicaSet }) => [replicaSet.metadata.name, replicaSet]));
        // Every pod becomes available before the next turn.
        owned = owned.map((set) => {
          const next = changed.get(set.metadata.name) ?? set;
          return { ...next, status: { ...set.status!, replicas: sizeOf(next), availableReplicas: sizeOf(next) } };
        });
      }
      assert.deepEqual(owned.map(sizeOf), [0, replicas]);
    }),
  );
});
