import assert from "node:assert/strict";
import { availableParallelism } from "node:os";
import { test } from "node:test";
import type { PlantedMistake } from "./planted.ts";
import { runSeeds, seedsFrom } from "./seeds.ts";

/** Among this many histories at least one must go wrong. */
const SEEDS = 400;

interface Planted extends PlantedMistake {
  /** The first history to look at: near one that has shown the mistake, to spare those that are known not to. */
  readonly from?: number;
}

const MISTAKES: readonly Planted[] = [
  {
    name: "a roll-out makes one pod more than it may",
    file: "controllers/deployment/arithmetic.ts",
    text: "isRollingUpdate(deployment) ? fenceposts(deployment).surge : 0",
    instead: "isRollingUpdate(deployment) ? fenceposts(deployment).surge + 1 : 0",
    from: 20,
  },
  {
    name: "a roll-out takes one pod more than it may",
    file: "controllers/deployment/arithmetic.ts",
    text: "Math.min(fenceposts(deployment).unavailable, replicas)",
    instead: "Math.min(fenceposts(deployment).unavailable + 1, replicas)",
    from: 20,
  },
  {
    name: "a Job forgets the finalizers of the pods it has counted",
    file: "controllers/job/job.ts",
    text: "await this.#finalize(plan.tally.finalize, signal);",
    instead: "if (plan.tally.finalize.length < 2) await this.#finalize(plan.tally.finalize, signal);",
    from: 14,
  },
  {
    name: "pods are made again while the cache does not show the last ones",
    file: "controllers/replicaset/replicaset.ts",
    text: "const cacheIsCurrent = this.#expectations.satisfied(keyString(key));",
    instead: "const cacheIsCurrent = true;",
    from: 83,
  },
  {
    name: "a daemon set does not wait for what it has made",
    file: "controllers/daemonset/daemonset.ts",
    text: "this.#expectations.satisfied(id)",
    instead: "true",
    from: 350,
  },
  {
    name: "what failed is not tried again",
    file: "client/queue/reconcile-loop.ts",
    text: "queue.addRateLimited(key);",
    instead: "queue.forget(key);",
    from: 12,
  },
  {
    name: "a cache keeps what was deleted while its watch was broken",
    file: "client/informer/shared-informer.ts",
    text: 'for (const object of gone) this.apply("DELETED", object);',
    instead: "void gone;",
    from: 188,
  },
  {
    name: "a foreground deletion is forgotten once nothing blocks it any more",
    file: "controllers/gc/plan.ts",
    text: 'if (blocking.length === 0) return { type: "finish-foreground" };',
    instead: 'if (blocking.length === 0) return { type: "none" };',
    from: 195,
  },
  {
    name: "a stateful set does not wait for the pod below to be ready",
    file: "controllers/statefulset/plan.ts",
    text: "if (ordered && (isTerminating(pod) || !isRunningAndReady(pod) || !clock.isAvailable(pod))) {",
    instead: "if (ordered && isTerminating(pod)) {",
  },
  {
    name: "a cron job starts although the last run goes on",
    file: "controllers/cronjob/plan.ts",
    text: 'case "Forbid":',
    instead: 'case "Never":',
    from: 68,
  },
];

for (const { from = 1, ...mistake } of MISTAKES)
  test(`the histories show: ${mistake.name}`, async (t) => {
    const results = await runSeeds(seedsFrom(from, SEEDS), {
      threads: availableParallelism(),
      mistake,
      maxFailures: 1,
    });
    const found = results.find(({ failure }) => failure !== undefined);
    assert.ok(found?.failure !== undefined, "no history went wrong");
    t.diagnostic(`after ${results.length}: ${found.failure.split("\n")[0]}`);
  });
