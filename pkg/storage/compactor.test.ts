import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { startCompactor } from "./compactor.ts";
import { openMemoryStore } from "./memory/memory-store.ts";
import { CompactedError } from "./store.ts";

it("keeps history for as long as is said, and not much longer", async () => {
  const clock = new FakeClock();
  const store = openMemoryStore({ clock });
  const stop = startCompactor({ store, clock, log: silentLogger, keepMs: 60_000 });
  const write = async () => (await store.write({ key: "/a", value: Buffer.from("x") })).revision;
  const at = async (revision: number) => (await store.get("/a", { revision })).kv?.modRevision;
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) await clock.advance(1000);
  };
  await pass(1);
  const first = await write();
  await write();
  await pass(60);
  assert.equal(await at(first), first);
  const later = await write();
  await write();
  await pass(12);
  await assert.rejects(store.get("/a", { revision: first }), CompactedError);
  await pass(48);
  assert.equal(await at(later), later);
  stop();
  await pass(300);
  assert.equal(await at(later), later);
  await store.close();
});

it("goes on after a failure, from a newer revision", async (context) => {
  const clock = new FakeClock();
  const store = openMemoryStore({ clock });
  const asked: number[] = [];
  context.mock.method(store, "compact", async (revision: number) => {
    asked.push(revision);
    if (asked.length === 1) throw new Error("no");
  });
  const stop = startCompactor({ store, clock, log: silentLogger, keepMs: 5000 });
  for (let i = 0; i < 8; i++) {
    await store.write({ key: "/a", value: Buffer.from("x") });
    await clock.advance(1000);
  }
  assert.deepEqual(
    asked.slice(1),
    asked.slice(0, -1).map((revision) => revision + 1),
  );
  assert.ok(asked.length >= 3);
  stop();
  await store.close();
});
