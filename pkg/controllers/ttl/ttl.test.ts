import assert from "node:assert/strict";
import { test } from "node:test";
import { nextStep } from "./ttl.ts";

test("a cluster at a bound does not flap between two times", () => {
  const cases: readonly [step: number, size: number, next: number][] = [
    [0, 0, 0],
    [0, 100, 0],
    [0, 101, 1],
    [1, 95, 1],
    [1, 89, 0],
    [0, 20_000, 5],
    [5, 1, 0],
  ];
  for (const [step, size, next] of cases) assert.equal(nextStep(step, size), next, `${size} nodes after step ${step}`);
});
