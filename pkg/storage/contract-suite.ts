import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { CompactedError, FutureRevisionError, type Store, type StoreEvent, type StoreWatchBatch } from "./store.ts";

/** One implementation under test. */
export interface StoreHarness {
  /** Opens a store; closes it after the test. Stores may share a database: keys of each test have a prefix of their own. */
  open(t: TestContext): Promise<Store>;
  /** Lets time pass for expiry: `ms` of the store's clock. */
  pass(ms: number): Promise<void>;
}

const bytes = (text: string): Buffer => Buffer.from(text);
export const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();

/** Follows a watch; `until` resolves when the condition holds after a batch. */
export function collect(store: Store, prefix: string, from: number, t: TestContext) {
  const batches: StoreWatchBatch[] = [];
  const abort = new AbortController();
  t.after(() => abort.abort());
  let wake = () => {};
  const done = (async () => {
    for await (const batch of store.watch(prefix, from, abort.signal)) {
      batches.push(batch);
      wake();
    }
  })();
  const failed = done.then(
    () => undefined,
    (error: unknown) => error,
  );
  const events = (): StoreEvent[] => batches.flatMap((batch) => batch.events);
  const until = async (condition: () => boolean) => {
    while (!condition()) {
      const ended = await Promise.race([new Promise<void>((resolve) => (wake = resolve)), failed.then(() => "ended")]);
      if (ended !== undefined && !condition()) throw new Error("the watch ended", { cause: await failed });
    }
  };
  const reached = (revision: number) => until(() => (batches.at(-1)?.revision ?? 0) >= revision);
  return { batches, events, until, reached, failed, abort };
}

/** What every Store promises; see store.ts. */
export function storeContract(name: string, harness: StoreHarness): void {
  let tests = 0;
  const setUp = async (t: TestContext) => {
    const store = await harness.open(t);
    const prefix = `/registry/${name}-${++tests}/`;
    const put = async (key: string, value: string, expectedModRevision?: number) =>
      store.write({
        key: prefix + key,
        value: bytes(value),
        ...(expectedModRevision === undefined ? {} : { expectedModRevision }),
      });
    const remove = async (key: string, expectedModRevision?: number) =>
      store.write({
        key: prefix + key,
        value: undefined,
        ...(expectedModRevision === undefined ? {} : { expectedModRevision }),
      });
    const get = async (key: string, revision?: number) =>
      text((await store.get(prefix + key, revision === undefined ? {} : { revision })).kv?.value);
    return { store, prefix, put, remove, get };
  };

  describe(`${name}: writes`, () => {
    it("compares and swaps by modification revision", async (t) => {
      const { store, prefix, put, remove } = await setUp(t);
      const created = await put("a", "1", 0);
      assert.ok(created.ok);
      const again = await put("a", "2", 0);
      assert.ok(!again.ok);
      assert.equal(text(again.current?.value), "1");
      assert.equal(again.current!.modRevision, created.revision);
      assert.equal(again.revision, created.revision);
      const updated = await put("a", "3", created.revision);
      assert.ok(updated.ok && updated.revision === created.revision + 1);
      assert.ok(!(await remove("a", created.revision)).ok);
      const { kv } = await store.get(`${prefix}a`);
      assert.deepEqual(
        { ...kv, value: text(kv?.value) },
        { key: `${prefix}a`, value: "3", createRevision: created.revision, modRevision: updated.revision },
      );
      assert.ok((await remove("a", updated.revision)).ok);
      const gone = await put("a", "4", updated.revision);
      assert.deepEqual(gone, { ok: false, current: undefined, revision: updated.revision + 1 });
      const reborn = await put("a", "5", 0);
      assert.ok(reborn.ok);
      assert.equal((await store.get(`${prefix}a`)).kv!.createRevision, reborn.revision);
    });
    it("without a condition always applies; deleting nothing changes nothing", async (t) => {
      const { store, put, remove, get } = await setUp(t);
      await put("a", "1");
      await put("a", "2");
      assert.equal(await get("a"), "2");
      await remove("a");
      const before = await store.currentRevision();
      assert.deepEqual(await remove("a"), { ok: true, revision: before });
      assert.deepEqual(await remove("a", 0), { ok: true, revision: before });
      assert.equal(await store.currentRevision(), before);
    });
    it("raises the revision by one per change and keeps bytes exactly", async (t) => {
      const { store, prefix } = await setUp(t);
      const value = Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 0xff));
      const before = await store.currentRevision();
      const { revision } = await store.write({ key: `${prefix}ключ/é`, value });
      await store.write({ key: `${prefix}empty`, value: new Uint8Array() });
      assert.equal(revision, before + 1);
      assert.equal(await store.currentRevision(), before + 2);
      const { kvs } = await store.range(prefix);
      assert.deepEqual(
        kvs.map((kv) => kv.key),
        [`${prefix}empty`, `${prefix}ключ/é`],
      );
      assert.equal(kvs[0]!.value.length, 0);
      assert.ok(value.equals(kvs[1]!.value));
    });
    it("lets concurrent writers through one at a time", async (t) => {
      const { store, prefix, put } = await setUp(t);
      await put("counter", "0");
      const increment = async () => {
        for (;;) {
          const { kv } = await store.get(`${prefix}counter`);
          const result = await put("counter", String(Number(text(kv!.value)) + 1), kv!.modRevision);
          if (result.ok) return result.revision;
        }
      };
      const revisions = await Promise.all(Array.from({ length: 12 }, increment));
      assert.equal(text((await store.get(`${prefix}counter`)).kv!.value), "12");
      assert.equal(new Set(revisions).size, 12);
    });
  });

  describe(`${name}: reads`, () => {
    it("range in byte order with limit, continuation and count", async (t) => {
      const { store, prefix, put } = await setUp(t);
      const keys = ["a/1", "a-b/1", "a/10", "a/2", "b/1", "a/\u{10000}", "a/\uffee"];
      for (const key of keys) await put(key, key);
      const sorted = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
      const all = await store.range(prefix);
      assert.deepEqual(
        all.kvs.map((kv) => kv.key.slice(prefix.length)),
        sorted,
      );
      assert.equal(all.count, 7);
      const inside = await store.range(`${prefix}a/`, { limit: 2 });
      assert.deepEqual(
        inside.kvs.map((kv) => text(kv.value)),
        ["a/1", "a/10"],
      );
      assert.equal(inside.count, 5);
      const rest = await store.range(`${prefix}a/`, {
        limit: 2,
        startAfter: inside.kvs[1]!.key,
        revision: inside.revision,
      });
      assert.deepEqual(
        rest.kvs.map((kv) => text(kv.value)),
        ["a/2", "a/\uffee"],
      );
      assert.equal(rest.count, 3);
      assert.deepEqual(await store.range(`${prefix}none/`), { kvs: [], count: 0, revision: all.revision });
    });
    it("see the past until it is compacted, and never the future", async (t) => {
      const { store, prefix, put, remove, get } = await setUp(t);
      const first = (await put("a", "1")).revision;
      const second = (await put("a", "2")).revision;
      await put("b", "1");
      const third = (await remove("a")).revision;
      const last = (await put("c", "1")).revision;
      assert.equal(await get("a", first), "1");
      assert.equal(await get("a", second), "2");
      assert.equal(await get("a", third), undefined);
      const then = await store.range(prefix, { revision: second, limit: 1 });
      assert.deepEqual([then.kvs.map((kv) => kv.key), then.count, then.revision], [[`${prefix}a`], 1, second]);
      assert.equal((await store.range(prefix, { revision: third })).count, 1);
      await assert.rejects(store.get(prefix, { revision: last + 1000 }), FutureRevisionError);
      await assert.rejects(store.range(prefix, { revision: last + 1000 }), FutureRevisionError);
      await store.compact(second);
      await store.compact(second);
      await store.compact(first);
      assert.equal(await get("a", second), "2");
      await assert.rejects(
        get("a", first),
        (error) => error instanceof CompactedError && error.compactRevision === second,
      );
      await assert.rejects(store.range(prefix, { revision: first }), CompactedError);
      await store.compact(last + 1000);
      assert.equal((await store.range(prefix)).count, 2);
      assert.equal(await store.currentRevision(), last);
      assert.ok((await store.size()) > 0);
    });
  });

  describe(`${name}: watches`, () => {
    it("deliver history and then what happens, in order and complete", async (t) => {
      const { store, prefix, put, remove } = await setUp(t);
      const before = await store.currentRevision();
      const created = await put("a", "1");
      await store.write({ key: `${prefix.slice(0, -1)}-other/a`, value: bytes("no") });
      const updated = await put("a", "2");
      const all = collect(store, prefix, before, t);
      const late = collect(store, prefix, created.revision, t);
      await all.until(() => all.events().length === 2);
      await put("b", "1");
      const removed = await remove("a");
      await all.until(() => all.events().length === 4);
      await late.until(() => late.events().length === 3);
      assert.deepEqual(
        all
          .events()
          .map((event) => [event.type, event.key.slice(prefix.length), text(event.value), event.createRevision]),
        [
          ["put", "a", "1", created.revision],
          ["put", "a", "2", created.revision],
          ["put", "b", "1", updated.revision + 1],
          ["delete", "a", undefined, 0],
        ],
      );
      assert.equal(all.events().at(-1)!.modRevision, removed.revision);
      assert.deepEqual(late.events(), all.events().slice(1));
      assert.ok(all.batches.every((batch) => batch.events.every((event) => event.modRevision <= batch.revision)));
    });
    it("may begin in the future", async (t) => {
      const { store, prefix, put } = await setUp(t);
      const skip = (await store.currentRevision()) + 2;
      const seen = collect(store, prefix, skip, t);
      for (const key of ["a", "b", "c"]) await put(key, key);
      await seen.until(() => seen.events().length > 0);
      assert.deepEqual(
        seen.events().map((event) => event.key),
        [`${prefix}c`],
      );
    });
    it("end with CompactedError where history is gone", async (t) => {
      const { store, prefix, put } = await setUp(t);
      const first = (await put("a", "1")).revision;
      const second = (await put("a", "2")).revision;
      await put("a", "3");
      await store.compact(second);
      const error = await collect(store, prefix, first, t).failed;
      assert.ok(error instanceof CompactedError);
      assert.equal(error.compactRevision, second);
      const kept = collect(store, prefix, second, t);
      await kept.until(() => kept.events().length === 1);
      assert.equal(text(kept.events()[0]!.value), "3");
    });
    it("end when aborted", async (t) => {
      const { store, prefix } = await setUp(t);
      const seen = collect(store, prefix, await store.currentRevision(), t);
      seen.abort.abort();
      assert.equal(await seen.failed, undefined);
    });
    it("carry many changes of many writers exactly once", async (t) => {
      const { store, prefix, put } = await setUp(t);
      const from = await store.currentRevision();
      const early = collect(store, prefix, from, t);
      const write = async (writer: number) => {
        for (let i = 0; i < 40; i++) await put(`${writer}/${i % 5}`, `${writer}-${i}`);
      };
      await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)));
      const late = collect(store, prefix, from, t);
      for (const seen of [early, late]) {
        await seen.until(() => seen.events().length >= 320);
        assert.deepEqual(
          seen.events().map((event) => event.modRevision - from),
          Array.from({ length: 320 }, (_, i) => i + 1),
        );
      }
    });
  });

  describe(`${name}: lifetimes`, () => {
    it("delete a key in time, with an event, unless it is written again without one", async (t) => {
      const { store, prefix, put } = await setUp(t);
      const short = await store.write({ key: `${prefix}short`, value: bytes("x"), ttlSeconds: 2 });
      await store.write({ key: `${prefix}kept`, value: bytes("x"), ttlSeconds: 2 });
      await put("kept", "y");
      await store.write({ key: `${prefix}long`, value: bytes("x"), ttlSeconds: 3600 });
      const seen = collect(store, prefix, await store.currentRevision(), t);
      await harness.pass(500);
      assert.equal((await store.get(`${prefix}short`)).kv!.modRevision, short.revision);
      await harness.pass(4500);
      await seen.until(() => seen.events().length > 0);
      assert.deepEqual(
        seen.events().map((event) => [event.type, event.key]),
        [["delete", `${prefix}short`]],
      );
      assert.deepEqual(
        (await store.range(prefix)).kvs.map((kv) => kv.key),
        [`${prefix}kept`, `${prefix}long`],
      );
    });
  });
}
