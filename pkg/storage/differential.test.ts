import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { collect, text } from "./contract-suite.ts";
import { EtcdProcess } from "./etcd/etcd-process.ts";
import { EtcdStore } from "./etcd/etcd-store.ts";
import { openMemoryStore } from "./memory/memory-store.ts";
import { openSqliteStore } from "./sqlite/sqlite-store.ts";
import { CompactedError, FutureRevisionError, type KeyValue, type Store } from "./store.ts";

const STEPS = 250;
const KEYS = ["a/1", "a/2", "a-b/1", "a", "b/1", "b/10", "b/2", "é/1", "b/2/c"];

let etcd: EtcdProcess;
before(async () => {
  etcd = await EtcdProcess.start();
});
after(() => etcd.stop());

/** Replays the requests that `seed` stands for and tells all answers, revisions counted from the start. */
async function replay(store: Store, prefix: string, seed: number): Promise<unknown[]> {
  const random = new SeededRandom(seed);
  const base = await store.currentRevision();
  let latest = base;
  const plain = (kv: KeyValue | undefined) =>
    kv && [kv.key.slice(prefix.length), text(kv.value), kv.createRevision - base, kv.modRevision - base];
  const pick = () => prefix + KEYS[random.int(KEYS.length)]!;
  const someRevision = () => base + random.int(latest - base + 3);

  const step = async (): Promise<unknown> => {
    const choice = random.int(100);
    const key = pick();
    const { kv } = await store.get(key);
    if (choice < 60) {
      const kind = random.int(4);
      const expected = [undefined, kv?.modRevision ?? 0, 0, kv === undefined ? base + 1 : kv.createRevision][kind];
      const value = random.int(3) === 0 ? undefined : Buffer.from(`v${random.int(1000)}`);
      const result = await store.write({
        key,
        value,
        ...(expected === undefined ? {} : { expectedModRevision: expected }),
      });
      latest = Math.max(latest, result.revision);
      return [result.ok, result.revision - base, result.ok ? undefined : plain(result.current)];
    }
    if (choice < 72) return plain((await store.get(key, { revision: someRevision() })).kv);
    if (choice < 98) {
      const options = {
        ...(random.int(2) === 0 ? {} : { revision: someRevision() }),
        ...(random.int(2) === 0 ? {} : { limit: 1 + random.int(4) }),
        ...(random.int(2) === 0 ? {} : { startAfter: pick() }),
      };
      const { kvs, count, revision } = await store.range(prefix + ["", "a", "a/", "b/", "c"][random.int(5)]!, options);
      return [kvs.map(plain), count, revision - base];
    }
    return store.compact(base + random.int(Math.max(latest - base, 1)));
  };

  const answers: unknown[] = [];
  for (let i = 0; i < STEPS; i++) {
    try {
      answers.push(await step());
    } catch (error) {
      if (error instanceof CompactedError) answers.push(`compacted at ${error.compactRevision - base}`);
      else if (error instanceof FutureRevisionError) answers.push(`the future of ${error.currentRevision - base}`);
      else throw error;
    }
  }
  return answers;
}

/** Every event that is still to be had. */
async function tail(store: Store, prefix: string, base: number, t: Parameters<typeof collect>[3]): Promise<unknown[]> {
  const end = (await store.write({ key: `${prefix}end`, value: Buffer.from("end") })).revision;
  let from = base;
  for (;;) {
    const seen = collect(store, prefix, from, t);
    try {
      await seen.until(() => seen.events().at(-1)?.modRevision === end);
    } catch (error) {
      assert.ok(error instanceof Error && error.cause instanceof CompactedError);
      from = error.cause.compactRevision;
      continue;
    }
    return seen
      .events()
      .map(({ type, key, value, createRevision, modRevision }) => [
        type,
        key.slice(prefix.length),
        text(value),
        createRevision === 0 ? 0 : createRevision - base,
        modRevision - base,
      ]);
  }
}

it("memory, SQLite and etcd answer the same requests alike", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), "kubits-differential-"));
  const clock = new FakeClock();
  const stores: Record<string, Store> = {
    memory: openMemoryStore({ clock }),
    sqlite: await openSqliteStore({ path: join(directory, "store.db"), clock }),
    etcd: new EtcdStore({ endpoints: [etcd.endpoint] }),
  };
  t.after(async () => {
    for (const store of Object.values(stores)) await store.close();
    rmSync(directory, { recursive: true });
  });
  for (const seed of [1, 2]) {
    const prefix = `/registry/seed-${seed}/`;
    const told = new Map<string, unknown[]>();
    const run = async ([name, store]: [string, Store]) => {
      const base = await store.currentRevision();
      const answers = await replay(store, prefix, seed);
      told.set(name, [...answers, ...(await tail(store, prefix, base, t))]);
    };
    await Promise.all(Object.entries(stores).map(run));
    const expected = told.get("memory")!;
    assert.ok(expected.length > STEPS + 5);
    assert.deepEqual(told.get("sqlite"), expected, `sqlite, seed ${seed}`);
    assert.deepEqual(told.get("etcd"), expected, `etcd, seed ${seed}`);
  }
});
