import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { LOOK_MS, type Observed, Patience } from "./patience.ts";

const RESTING: Observed = { greeted: true, openBlock: undefined, finished: false, busy: false, requests: 1 };

/** What happens at each look to a connection that says these things of itself one after another. */
async function looks(...observations: Partial<Observed>[]): Promise<string[]> {
  const clock = new FakeClock();
  const happened: string[] = [];
  let now = RESTING;
  const patience = new Patience(clock, {
    observe: () => now,
    overdue: (what) => happened.push(`owes ${what}`),
    idle: () => happened.push("idle"),
    dropStalled: () => happened.push("fine"),
  });
  for (const observation of observations) {
    now = { ...RESTING, ...observation };
    await clock.advance(LOOK_MS);
  }
  patience.stop();
  await clock.advance(10 * LOOK_MS);
  assert.equal(happened.length, observations.length, "it does not look again when it has been stopped");
  return happened;
}

test("a client that does not greet is cut off", async () => {
  assert.deepEqual(await looks({ greeted: false }), ["owes the settings"]);
});

test("a header block may take a while, but not for ever", async () => {
  const [one, other] = [{}, {}];
  assert.deepEqual(await looks({ openBlock: one }, { openBlock: other }, { openBlock: other }), [
    "fine",
    "fine",
    "owes a header block",
  ]);
});

test("a connection is idle when nothing was asked for a while and nothing is under way", async () => {
  assert.deepEqual(await looks({}, {}, {}, {}), ["fine", "fine", "fine", "idle"]);
  assert.deepEqual(await looks({}, {}, {}, { requests: 2 }, {}), ["fine", "fine", "fine", "fine", "fine"]);
  const watching = { busy: true };
  assert.deepEqual(await looks(watching, watching, watching, watching, watching), Array(5).fill("fine"));
});

test("a client that has been told goodbye and stays is cut off", async () => {
  const done = { finished: true };
  assert.deepEqual(await looks(done, done), ["fine", "owes the end of the connection"]);
});
