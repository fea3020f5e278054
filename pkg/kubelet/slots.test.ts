import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { Slots } from "./slots.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Calls that last until they are told to end. */
function setUp(count: number) {
  const clock = new FakeClock();
  const slots = new Slots(count);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const turn = (name: string, signal = new AbortController().signal) => {
    const call = () => {
      begun.push(name);
      return new Promise<string>((resolve) => ends.set(name, () => resolve(name)));
    };
    return slots.turn(call, { clock, patienceMs: 1_000, signal });
  };
  return { clock, begun, ends, turn };
}

test("so many are at work at a time, and the first that waits is the next", async () => {
  const { begun, ends, turn } = setUp(2);
  const all = ["a", "b", "c", "d"].map((name) => turn(name));
  await settle();
  assert.deepEqual(begun, ["a", "b"]);
  ends.get("b")!();
  assert.equal(await all[1], "b");
  await settle();
  assert.deepEqual(begun, ["a", "b", "c"]);
  for (const name of ["a", "c"]) ends.get(name)!();
  await settle();
  ends.get("d")!();
  assert.deepEqual(await Promise.all(all), ["a", "b", "c", "d"]);
});

test("who takes too long keeps nobody waiting, and gives its slot away once only", async () => {
  const { clock, begun, ends, turn } = setUp(1);
  const all = ["stuck", "a", "b"].map((name) => turn(name));
  await clock.advance(1_000);
  await settle();
  assert.deepEqual(begun, ["stuck", "a"]);
  ends.get("stuck")!();
  await settle();
  assert.deepEqual(begun, ["stuck", "a"], "its slot is a's");
  ends.get("a")!();
  await settle();
  ends.get("b")!();
  assert.deepEqual(await Promise.all(all), ["stuck", "a", "b"]);
  assert.equal(clock.nextTimer(), undefined);
});

test("who gives up leaves the queue, and a call that fails gives its slot back", async () => {
  const { clock, begun, ends, turn } = setUp(1);
  const slots = new Slots(1);
  const { signal } = new AbortController();
  const failing = () => Promise.reject(new Error("refused"));
  await assert.rejects(slots.turn(failing, { clock, patienceMs: 1_000, signal }), /refused/);
  await slots.enter(signal);

  const first = turn("first");
  const giving = new AbortController();
  const gone = turn("gone", giving.signal);
  const last = turn("last");
  giving.abort(new Error("not wanted any more"));
  await assert.rejects(gone, /not wanted any more/);
  ends.get("first")!();
  await settle();
  assert.deepEqual(begun, ["first", "last"]);
  ends.get("last")!();
  assert.deepEqual(await Promise.all([first, last]), ["first", "last"]);
});
