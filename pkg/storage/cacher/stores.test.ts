import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { EtcdProcess } from "../etcd/etcd-process.ts";
import { EtcdStore } from "../etcd/etcd-store.ts";
import { openSqliteStore } from "../sqlite/sqlite-store.ts";
import type { Store } from "../store.ts";
import { Cacher } from "./cacher.ts";
import { type CacheEntry, type ResourceCache, RevisionConflictError } from "./contract.ts";

function openPods(t: TestContext, store: Store): ResourceCache {
  const cacher = new Cacher({ store });
  t.after(async () => {
    await cacher.close();
    await store.close();
  });
  return cacher.resource({ prefix: "pods", namespaced: true, apiVersion: "v1", kind: "Pod" });
}
const pod = (name: string, count = 0): KubeObject => ({ metadata: { name, namespace: "default" }, spec: { count } });
const countOf = (entry: CacheEntry): number => (entry.object["spec"] as { count: number }).count;

/** Collects "name@revision" of everything from the beginning on. */
function follow(t: TestContext, pods: ResourceCache, fromRevision?: number) {
  const seen: string[] = [];
  const revisions: number[] = [];
  const abort = new AbortController();
  t.after(() => abort.abort());
  let wake = () => {};
  pods.watch({
    signal: abort.signal,
    ...(fromRevision === undefined ? {} : { fromRevision }),
    onEvent(event) {
      seen.push(`${event.type} ${event.entry.name}@${event.revision}`);
      revisions.push(event.revision);
      wake();
      return undefined;
    },
    onEnd: () => wake(),
  });
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { seen, revisions, until };
}

/** Read-modify-write with compare-and-swap until it succeeds. */
async function increment(pods: ResourceCache, name: string): Promise<CacheEntry> {
  for (let current = await pods.get("default", name); ;) {
    assert.ok(current !== undefined);
    try {
      return await pods.update(current, pod(name, countOf(current) + 1));
    } catch (error) {
      if (!(error instanceof RevisionConflictError)) throw error;
      assert.ok(error.current!.revision > current.revision, "a conflict tells the newer state");
      current = error.current;
    }
  }
}

describe("on SQLite", () => {
  it("keeps order and counts under many concurrent writers", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "kubits-cacher-"));
    t.after(() => rmSync(directory, { recursive: true }));
    const pods = openPods(t, await openSqliteStore({ path: join(directory, "store.db") }));
    const live = follow(t, pods);
    await pods.create(pod("counter"));
    const creators = Array.from({ length: 100 }, async (_, i) => {
      const entry = await pods.create(pod(`p${i}`));
      assert.equal(pods.peek("default", `p${i}`), entry);
      assert.ok(live.seen.includes(`ADDED p${i}@${entry.revision}`));
    });
    await Promise.all([...creators, ...Array.from({ length: 30 }, () => increment(pods, "counter"))]);
    assert.equal(countOf(pods.peek("default", "counter")!), 30);
    assert.equal(pods.count(), 101);
    assert.deepEqual(
      live.revisions,
      live.revisions.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(live.revisions).size, 131);
  });
});

describe("several on one etcd", () => {
  let etcd: EtcdProcess;
  before(async () => {
    etcd = await EtcdProcess.start();
  });
  after(() => etcd.stop());
  const open = (t: TestContext) => openPods(t, new EtcdStore({ endpoints: [etcd.endpoint] }));

  it("read each other's acknowledged writes at once and see the same events", async (t) => {
    const [one, two] = [open(t), open(t)];
    const [left, right] = [follow(t, one), follow(t, two)];
    for (let i = 0; i < 20; i++) {
      const [writer, reader] = i % 2 === 0 ? [one, two] : [two, one];
      const entry = await writer.create(pod(`p${i}`));
      assert.equal((await reader.get("default", `p${i}`))?.revision, entry.revision);
      assert.equal((await reader.list({})).entries.length, i + 1);
    }
    await Promise.all([one, two].flatMap((pods) => Array.from({ length: 5 }, () => increment(pods, "p0"))));
    assert.equal(countOf((await one.get("default", "p0"))!), 10);
    await Promise.all([left, right].map((each) => each.until(() => each.seen.length >= 30)));
    assert.deepEqual(left.seen, right.seen);
  });
  it("are not held up by strangers who write elsewhere", async (t) => {
    const stranger = new EtcdStore({ endpoints: [etcd.endpoint] });
    t.after(() => stranger.close());
    const pods = open(t);
    await pods.ready();
    const { revision } = await stranger.write({ key: "/elsewhere", value: Buffer.from("x") });
    const list = await pods.list({});
    assert.ok(list.revision >= revision);
  });
  it("serve watches from before they started", async (t) => {
    const one = open(t);
    const first = await one.create(pod("early"));
    const second = await increment(one, "early");
    const third = await one.delete(second);
    const late = open(t);
    const seen = follow(t, late, first.revision);
    await seen.until(() => seen.seen.length === 2);
    assert.deepEqual(seen.seen, [`MODIFIED early@${second.revision}`, `DELETED early@${third.revision}`]);
    const fourth = await one.create(pod("later"));
    await seen.until(() => seen.seen.length === 3);
    assert.equal(seen.seen[2], `ADDED later@${fourth.revision}`);
  });
  it("go on where they were when etcd comes back", async (t) => {
    const pods = open(t);
    await pods.create(pod("survivor"));
    const live = follow(t, pods);
    await live.until(() => live.seen.some((text) => text.includes("survivor")));
    await etcd.kill();
    assert.ok((await pods.get("default", "survivor", "any")) !== undefined, "old reads are still served");
    await etcd.resume();
    const entry = await increment(pods, "survivor");
    await live.until(() => live.seen.includes(`MODIFIED survivor@${entry.revision}`));
    assert.equal(new Set(live.seen).size, live.seen.length);
  });
});
