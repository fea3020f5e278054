import assert from "node:assert/strict";
import { it } from "node:test";
import { LiveWatches } from "./live-watches.ts";
import type { StoreEvent } from "./store.ts";

const event = (modRevision: number): StoreEvent => ({
  type: "put",
  key: "/a",
  value: Buffer.from("x"),
  createRevision: 1,
  modRevision,
});

it("sends a consumer that falls far behind back to history, without loss or repetition", async () => {
  const total = 30_000;
  const log: StoreEvent[] = [];
  let pages = 0;
  const watches = new LiveWatches(0, async (_prefix, from, to) => {
    pages++;
    const events = log.slice(from, Math.min(to, from + 1000));
    return { events, revision: events.at(-1)?.modRevision ?? to };
  });
  const abort = new AbortController();
  const iterator = watches.watch("/", 0, abort.signal);
  assert.deepEqual((await iterator.next()).value, { revision: 0, events: [] });
  const next = iterator.next();
  for (let revision = 1; revision <= total; revision++) {
    log.push(event(revision));
    watches.publish([event(revision)], revision);
  }
  const seen = [...(await next).value!.events];
  while (seen.length < total) {
    const { value, done } = await iterator.next();
    assert.ok(done !== true);
    seen.push(...value.events);
  }
  assert.deepEqual(
    seen.map(({ modRevision }) => modRevision),
    Array.from({ length: total }, (_, i) => i + 1),
  );
  assert.ok(pages > 10, "the backlog was read from history");
  watches.close();
  let last = await iterator.next();
  if (last.done !== true) {
    assert.deepEqual(last.value.events, [], "only progress is left to tell");
    last = await iterator.next();
  }
  assert.equal(last.done, true);
});
