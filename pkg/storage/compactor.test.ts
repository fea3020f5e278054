import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { startCompactor } from "./compactor.ts";
import { openMemoryStore } from "./memory/memory-store.ts";
import { CompactedError } from "./store.ts";

it("keeps history for one interval at least and two at most", async () => {
  const clock = new FakeClock();
  const store = openMemoryStore({ clock });
  const stop = startCompactor({ store, clock, log: silentLogger, intervalMs: 60_000 });
  const write = async () => (await store.write({ key: "/a", value: Buffer.from("x") })).revision;
  await clock.advance(1000);
  const first = await write();
  await write();
  await clock.advance(60_000);
  assert.equal((await store.get("/a", { revision: first })).kv?.modRevision, first);
  const later = await write();
  await write();
  await clock.advance(60_000);
  await assert.rejects(store.get("/a", { revision: first }), CompactedError);
  assert.equal((await store.get("/a", { revision: later })).kv?.modRevision, later);
  stop();
  await clock.advance(300_000);
  assert.equal((await store.get("/a", { revision: later })).kv?.modRevision, later);
  await store.close();
});
