import assert from "node:assert/strict";
import { it } from "node:test";
import { SeededRandom } from "#pkg/util/index.ts";
import { compareKeys, prefixEnd } from "./keys.ts";
import { SortedMap } from "./sorted-map.ts";

const PARTS = ["a", "a-b", "b", "\uffee", "\u{10000}", "zz"];

it("is a sorted map under random inserts, replacements and removals", () => {
  const random = new SeededRandom(1);
  const key = () => `/${PARTS[random.int(PARTS.length)]!}/${random.int(600)}`;
  const map = new SortedMap<number>();
  const model = new Map<string, number>();
  // The share of removals changes, so that the map grows over several chunks and shrinks to nothing again.
  for (const [steps, removals] of [
    [4000, 1],
    [3000, 5],
    [4000, 2],
    [40_000, 9],
  ] as const) {
    for (let step = 0; step < steps; step++) {
      const at = key();
      const remove = random.int(10) < removals;
      assert.equal(remove ? map.delete(at) : map.set(at, step), model.get(at));
      if (remove) model.delete(at);
      else model.set(at, step);
    }
    const sorted = [...model.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    assert.equal(map.size, sorted.length);
    for (let range = 0; range < 20; range++) {
      const start = key();
      const end = range % 4 === 0 ? undefined : key();
      const expected = sorted.filter(
        (at) => compareKeys(at, start) >= 0 && (end === undefined || compareKeys(at, end) < 0),
      );
      const seen: string[] = [];
      map.visit(start, end, (value, at) => {
        assert.equal(value, model.get(at));
        seen.push(at);
      });
      assert.deepEqual(seen, expected);
      assert.equal(map.countBetween(start, end), expected.length);
    }
  }
  for (const at of model.keys()) map.delete(at);
  assert.equal(map.size + map.countBetween("", undefined), 0);
});

it("finds the end of a prefix", () => {
  for (const [prefix, end] of [
    ["/a/", "/a0"],
    ["", undefined],
    ["a\u{10ffff}", "b"],
    ["\ud7ff", "\ue000"],
  ] as const) {
    assert.equal(prefixEnd(prefix), end);
  }
});
