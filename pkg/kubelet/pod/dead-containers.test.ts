import assert from "node:assert/strict";
import { test } from "node:test";
import { container, exited, observed, ran, sandbox } from "../testing/observed.ts";
import { surplusOf, surplusOnNode } from "./dead-containers.ts";
import type { DeadContainerPolicy } from "./dead-containers.ts";

const NOW = 100_000;
const [a, b] = [container("a"), container("b")];
const policy = (more: Partial<DeadContainerPolicy>): DeadContainerPolicy => ({
  maxPerContainer: 1,
  maxOnNode: -1,
  minAgeMs: 0,
  ...more,
});
const died = (spec: typeof a, restartCount: number, finishedAt = 2000) =>
  exited(spec, "s", 1, { restartCount, finishedAt });
const ids = (surplus: readonly { readonly id: string }[]): string[] => surplus.map(({ id }) => id);

/** Restarted three times, beside one that has died twice. */
const crashing = observed(
  [sandbox("s")],
  [ran(a, "s", { restartCount: 3 }), died(a, 2), died(a, 1), died(a, 0), died(b, 1, 99_000), died(b, 0)],
);

const cases: readonly [string, Partial<DeadContainerPolicy>, string[]][] = [
  ["the newest and the one before it stay", {}, ["a-1", "a-0"]],
  ["only the newest stays", { maxPerContainer: 0 }, ["a-2", "a-1", "a-0", "b-0"]],
  ["two stay beside the newest", { maxPerContainer: 2 }, ["a-0"]],
  ["all stay", { maxPerContainer: -1 }, []],
  ["what has not been dead for long stays", { maxPerContainer: 0, minAgeMs: 98_001 }, []],
];
for (const [what, more, expected] of cases)
  test(`of a pod's containers ${what}`, () => {
    const surplus = surplusOf(crashing, () => false, policy(more), NOW);
    assert.deepEqual(ids(surplus), expected);
  });

test("of init containers only the latest end stays, whatever the policy", () => {
  const surplus = surplusOf(crashing, (name) => name === "b", policy({ maxPerContainer: -1, minAgeMs: 1e9 }), NOW);
  assert.deepEqual(ids(surplus), ["b-0"]);
});

const over = { ...observed([sandbox("t")], [exited(container("c"), "t", 0)]), uid: "over" };
const onNode = (maxOnNode: number, more: Partial<DeadContainerPolicy> = {}) =>
  ids(surplusOnNode([crashing, over], (uid) => uid === "u", policy({ maxOnNode, ...more }), NOW)).sort();

test("on the node, what is too many goes: shares are cut first, then the oldest; what says how a pod goes on stays", () => {
  assert.deepEqual(onNode(-1), []);
  assert.deepEqual(onNode(5), [], "there are five");
  assert.deepEqual(onNode(3), ["a-0", "a-1"]);
  assert.deepEqual(onNode(2), ["a-0", "a-1", "b-0"]);
  assert.deepEqual(onNode(0), ["a-0", "a-1", "a-2", "b-0", "c-0"]);
  assert.deepEqual(onNode(0, { minAgeMs: 99_000 }), [], "young ones do not count");
});
