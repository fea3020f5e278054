import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { FakeClock } from "#pkg/util/index.ts";
import { collect, storeContract, text } from "../contract-suite.ts";
import { openSqliteStore } from "./sqlite-store.ts";

function temporaryPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "kubits-sqlite-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "store.db");
}

const clock = new FakeClock();

storeContract("sqlite", {
  async open(t) {
    const store = await openSqliteStore({ path: temporaryPath(t), clock });
    t.after(() => store.close());
    return store;
  },
  async pass(ms) {
    await clock.advance(ms);
  },
});

describe("sqlite", () => {
  it("keeps everything across restarts, in a file for its owner alone", async (t) => {
    const path = temporaryPath(t);
    const first = await openSqliteStore({ path, clock });
    const { revision } = await first.write({ key: "/a", value: Buffer.from("1") });
    await first.write({ key: "/a", value: Buffer.from("2") });
    await first.write({ key: "/e", value: Buffer.from("x"), ttlSeconds: 10 });
    await first.write({ key: "/d", value: Buffer.from("x") });
    await first.write({ key: "/d", value: undefined });
    const last = await first.currentRevision();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(`${path}-wal`).mode & 0o777, 0o600);
    await first.close();
    const second = await openSqliteStore({ path, clock });
    t.after(() => second.close());
    assert.equal(await second.currentRevision(), last);
    assert.equal(text((await second.get("/a", { revision })).kv!.value), "1");
    const seen = collect(second, "/", revision, t);
    await seen.until(() => seen.events().length === 4);
    await clock.advance(11_000);
    await seen.until(() => seen.events().length === 5);
    assert.equal(seen.events()[4]!.key, "/e");
    await second.compact(last + 1);
    await second.close();
    const third = await openSqliteStore({ path, clock });
    t.after(() => third.close());
    assert.equal(await third.currentRevision(), last + 1);
    assert.deepEqual(
      (await third.range("/")).kvs.map((kv) => kv.key),
      ["/a"],
    );
  });
  it("accepts one process at a time and only formats it knows", async (t) => {
    const path = temporaryPath(t);
    const other = new DatabaseSync(path);
    other.exec("PRAGMA user_version = 99");
    other.close();
    await assert.rejects(openSqliteStore({ path, clock }), /format is 99/);
    await assert.rejects(openSqliteStore({ path: join(path, "nowhere"), clock }), /ENOTDIR/);
  });
  it("carries out accepted writes before it closes and refuses later ones", async (t) => {
    const path = temporaryPath(t);
    const store = await openSqliteStore({ path, clock });
    const accepted = Array.from({ length: 3000 }, (_, i) => store.write({ key: `/${i}`, value: Buffer.from("x") }));
    await store.close();
    assert.ok((await Promise.all(accepted)).every((result) => result.ok));
    await assert.rejects(store.write({ key: "/a", value: Buffer.from("x") }), /closed/);
    await assert.rejects(store.get("/a"), /closed/);
  });
  it("says once when its thread is gone, and rejects what waits and what comes", async (t) => {
    const thread = `
      import { parentPort } from "node:worker_threads";
      parentPort.on("message", () => { throw new Error("disk on fire"); });
      parentPort.postMessage({ kind: "opened", revision: 1, expiries: { keys: [], numbers: [] } });`;
    const workerEntry = new URL(`data:text/javascript,${encodeURIComponent(thread)}`);
    const failures: Error[] = [];
    const path = temporaryPath(t);
    const store = await openSqliteStore({ path, clock, workerEntry, onFailure: (error) => failures.push(error) });
    const write = store.write({ key: "/a", value: Buffer.from("x") });
    await assert.rejects(write, { message: "the SQLite thread failed" });
    assert.match(String(failures[0]!.cause), /disk on fire/);
    await assert.rejects(store.currentRevision(), { message: "the SQLite thread failed" });
    await store.close();
    assert.equal(failures.length, 1);
  });
  it("takes space back after compaction", async (t) => {
    const path = temporaryPath(t);
    const store = await openSqliteStore({ path, clock });
    const value = Buffer.alloc(8000, "x");
    for (let i = 0; i < 20; i++) {
      await Promise.all(Array.from({ length: 100 }, (_, key) => store.write({ key: `/${key}`, value })));
    }
    const full = await store.size();
    await store.compact(await store.currentRevision());
    assert.ok((await store.size()) < full / 8);
    await store.close();
    assert.ok(statSync(path).size < full / 2);
    const again = await openSqliteStore({ path, clock });
    assert.equal((await again.range("/", { limit: 1 })).count, 100);
    await again.close();
  });
});
