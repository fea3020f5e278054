import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { openMemoryStore } from "../memory/memory-store.ts";
import type { Store } from "../store.ts";
import { follow, open, nodeOf, pod } from "./testing.ts";

describe("watches", () => {
  it("deliver the present state, progress, and then every change", async (t) => {
    const { pods } = open(t);
    await pods.create(pod("a"));
    const seen = follow(pods);
    await seen.until(() => seen.progress.length === 1);
    assert.deepEqual(seen.texts(), ["ADDED a"]);
    const b = await pods.create(pod("b"));
    assert.equal(seen.events.at(-1)!.entry, b);
    const changed = await pods.update(b, pod("b", "n1"));
    await pods.delete(changed);
    assert.deepEqual(seen.texts(), ["ADDED a", "ADDED b", "MODIFIED b", "DELETED b"]);
    const last = seen.events.at(-1)!;
    assert.equal(last.previous, changed);
    assert.equal(last.entry.revision, last.revision);
    seen.abort.abort();
    assert.equal(await seen.ended, "aborted");
    await pods.create(pod("c"));
    assert.equal(seen.events.length, 4);
  });
  it("start at a revision out of memory or out of history", async (t) => {
    const { pods, store } = open(t, { history: { maxEvents: 2 } });
    const a = await pods.create(pod("a"));
    const moved = await pods.update(a, pod("a", "n1"));
    await pods.delete(moved);
    await pods.create(pod("b"));
    await pods.create(pod("c"));
    const early = follow(pods, { fromRevision: a.revision });
    const recent = follow(pods, { fromRevision: moved.revision + 1 });
    await early.until(() => early.events.length === 4);
    await pods.create(pod("d"));
    assert.deepEqual(early.texts(), ["MODIFIED a", "DELETED a", "ADDED b", "ADDED c", "ADDED d"]);
    assert.equal(nodeOf(early.events[0]!.previous!.object), "");
    assert.deepEqual(recent.texts(), ["ADDED b", "ADDED c", "ADDED d"]);
    await store.compact(moved.revision);
    const gone = follow(pods, { fromRevision: a.revision });
    assert.equal(await gone.ended, "expired");
  });
  it("find events in memory for a minute or two, then only what the store still has", async (t) => {
    const { pods, store, clock } = open(t);
    const a = await pods.create(pod("a"));
    const moved = await pods.update(a, pod("a", "n1"));
    await store.compact(moved.revision);
    await clock.advance(60_000);
    const recent = follow(pods, { fromRevision: a.revision });
    await recent.until(() => recent.events.length === 1);
    await clock.advance(60_000);
    const late = follow(pods, { fromRevision: a.revision });
    assert.equal(await late.ended, "expired");
    const current = follow(pods, { fromRevision: moved.revision });
    await pods.create(pod("b"));
    await current.until(() => current.events.length === 1);
    assert.deepEqual(current.texts(), ["ADDED b"]);
  });
  it("start before the cache itself did", async (t) => {
    const store = openMemoryStore();
    const write = (name: string) =>
      store.write({ key: `/registry/pods/default/${name}`, value: Buffer.from(JSON.stringify(pod(name))) });
    const { revision } = await write("a");
    await write("b");
    const { pods } = open(t, { store });
    const seen = follow(pods, { fromRevision: revision });
    await seen.until(() => seen.events.length === 1);
    await pods.create(pod("c"));
    assert.deepEqual(seen.texts(), ["ADDED b", "ADDED c"]);
  });
  it("replay history for a crowd, in turns", async (t) => {
    const store = openMemoryStore();
    const write = (name: string) =>
      store.write({ key: `/registry/pods/default/${name}`, value: Buffer.from(JSON.stringify(pod(name))) });
    const { revision } = await write("a");
    await write("b");
    const { pods } = open(t, { store });
    const crowd = Array.from({ length: 200 }, () => follow(pods, { fromRevision: revision }));
    await Promise.all(crowd.map((seen) => seen.until(() => seen.events.length === 1)));
    await pods.create(pod("c"));
    for (const seen of crowd) assert.deepEqual(seen.texts(), ["ADDED b", "ADDED c"]);
  });
  it("reach only their audience, also when an object enters or leaves it", async (t) => {
    const { pods } = open(t);
    await pods.ready();
    const from = { fromRevision: 1 };
    const onNode = follow(pods, { ...from, index: { index: "spec.nodeName", value: "n1" } });
    const inNamespace = follow(pods, { ...from, namespace: "other" });
    const named = follow(pods, { ...from, namespace: "default", name: "a" });
    let a = await pods.create(pod("a"));
    a = await pods.update(a, pod("a", "n1"));
    a = await pods.update(a, pod("a", "n2"));
    await pods.update(a, pod("a", "n3"));
    await pods.create(pod("a", "n1", "other"));
    assert.deepEqual(onNode.texts(), ["MODIFIED a", "MODIFIED a", "ADDED a"]);
    assert.deepEqual(inNamespace.texts(), ["ADDED a"]);
    assert.equal(named.events.length, 4);
  });
  it("wait for a busy consumer, which then gets what it has missed", async (t) => {
    const { pods } = open(t);
    const taken: string[] = [];
    let free = () => {};
    const busy = follow(pods, {
      onEvent({ type, entry }) {
        taken.push(`${type} ${entry.name}`);
        return new Promise<void>((resolve) => (free = resolve));
      },
    });
    const next = async () => {
      free();
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    };
    const others = follow(pods);
    await pods.create(pod("a"));
    await pods.create(pod("b"));
    await others.until(() => others.events.length === 2);
    assert.deepEqual(taken, ["ADDED a"]);
    const b = await pods.get("default", "b");
    await pods.delete(b!);
    await next();
    assert.deepEqual(taken, ["ADDED a", "ADDED b"]);
    await next();
    assert.deepEqual(taken, ["ADDED a", "ADDED b", "DELETED b"]);
    await next();
    await pods.create(pod("c"));
    assert.equal(taken.at(-1), "ADDED c");
    assert.deepEqual(others.texts(), taken);
    busy.abort.abort();
    assert.equal(await busy.ended, "aborted");
  });
  it("deliver the state they begin with as fast as it is taken, and nothing twice", async (t) => {
    const { pods } = open(t);
    for (const name of ["a", "b", "c"]) await pods.create(pod(name));
    const taken: string[] = [];
    const gates: (() => void)[] = [];
    const seen = follow(pods, {
      onEvent({ type, entry, revision }) {
        taken.push(`${type} ${entry.name}@${revision}`);
        return new Promise<void>((resolve) => gates.push(resolve));
      },
    });
    while (taken.length === 0) await new Promise((resolve) => setImmediate(resolve));
    // What changes meanwhile comes behind the state as it was.
    const b = await pods.update((await pods.get("default", "b"))!, pod("b", "n1"));
    while (taken.length < 4) {
      gates.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.deepEqual(
      taken.map((text) => text.replace(/@.*/, "")),
      ["ADDED a", "ADDED b", "ADDED c", "MODIFIED b"],
    );
    assert.equal(taken[3], `MODIFIED b@${b.revision}`);
    assert.ok(seen.progress.length === 1 && seen.progress[0]! < b.revision);
  });
  it("cut off slow and failing consumers without harm to others", async (t) => {
    const { pods, clock } = open(t, { history: { maxEvents: 2 } });
    await pods.ready();
    let free = () => {};
    const late = follow(pods, { fromRevision: 1, onEvent: () => new Promise<void>((resolve) => (free = resolve)) });
    const stuck = follow(pods, { fromRevision: 1, onEvent: () => new Promise<void>(() => undefined) });
    const failing = follow(pods, {
      fromRevision: 1,
      onEvent() {
        throw new Error("broken consumer");
      },
    });
    const healthy = follow(pods, { fromRevision: 1 });
    for (const name of ["a", "b", "c"]) await pods.create(pod(name));
    assert.equal(await failing.ended, "error");
    assert.equal(pods.watching(), 3, "two events behind is not too slow");
    await pods.create(pod("d"));
    free();
    assert.equal(await late.ended, "slow");
    await clock.advance(60_000);
    assert.equal(await stuck.ended, "slow");
    assert.deepEqual(healthy.texts(), ["ADDED a", "ADDED b", "ADDED c", "ADDED d"]);
  });
  it("report progress about once a minute", async (t) => {
    const { pods, clock, cacher } = open(t);
    await pods.ready();
    const seen = follow(pods);
    await seen.until(() => seen.progress.length === 1);
    const foos = cacher.resource({ prefix: "foos", namespaced: false, apiVersion: "g/v1", kind: "Foo" });
    const foo = await foos.create({ metadata: { name: "x" } });
    await clock.advance(60_000);
    assert.deepEqual(seen.progress.slice(1), [foo.revision]);
  });
  it("end when the resource or the cache is closed", async (t) => {
    const { pods } = open(t);
    await pods.ready();
    const seen = follow(pods);
    await seen.until(() => seen.progress.length === 1);
    await pods.close();
    assert.equal(await seen.ended, "aborted");
    await assert.rejects(pods.create(pod("a")));
  });
  it("deliver expired objects as deletions", async (t) => {
    const clock = new FakeClock();
    const { cacher } = open(t, { store: openMemoryStore({ clock }), clock });
    const events = cacher.resource({
      prefix: "events",
      namespaced: true,
      apiVersion: "v1",
      kind: "Event",
      ttlSeconds: 60,
    });
    await events.create({ metadata: { name: "e", namespace: "default" } });
    const seen = follow(events);
    await clock.advance(61_000);
    assert.deepEqual(seen.texts(), ["ADDED e", "DELETED e"]);
    assert.equal(events.count(), 0);
  });
});

describe("a transaction of many keys", () => {
  it("is applied whole, even where it is larger than the memory for events", async (t) => {
    const inner = openMemoryStore();
    const names = ["a", "b", "c", "d"];
    const key = (name: string) => `/registry/pods/default/${name}`;
    for (const name of names) await inner.write({ key: key(name), value: Buffer.from(JSON.stringify(pod(name))) });
    const modRevision = (await inner.currentRevision()) + 1;
    const expire = Promise.withResolvers<void>();
    const store: Store = Object.assign(Object.create(inner) as Store, {
      currentRevision: () => inner.currentRevision(),
      range: (...args: Parameters<Store["range"]>) => inner.range(...args),
      close: () => inner.close(),
      async *watch(_prefix: string, _from: number, signal: AbortSignal) {
        await expire.promise;
        const events = names.map((name) => ({ type: "delete", key: key(name), createRevision: 0, modRevision }));
        yield { revision: modRevision, events };
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    const { pods } = open(t, { store, history: { maxEvents: 2 } });
    const seen = follow(pods);
    await seen.until(() => seen.progress.length === 1);
    expire.resolve();
    await seen.until(() => seen.events.length === 8);
    assert.deepEqual(
      seen.texts().slice(4),
      names.map((name) => `DELETED ${name}`),
    );
    assert.equal(pods.count(), 0);
  });
});

describe("falling behind compaction", () => {
  it("loads everything again and ends watches as expired", async (t) => {
    const inner = openMemoryStore();
    let broken: AbortController | undefined;
    const store: Store = Object.assign(Object.create(inner) as Store, {
      currentRevision: () => inner.currentRevision(),
      range: (...args: Parameters<Store["range"]>) => inner.range(...args),
      write: (...args: Parameters<Store["write"]>) => inner.write(...args),
      close: () => inner.close(),
      async *watch(prefix: string, from: number, signal: AbortSignal) {
        broken = new AbortController();
        yield* inner.watch(prefix, from, AbortSignal.any([signal, broken.signal]));
      },
    });
    const { pods, clock } = open(t, { store });
    await pods.create(pod("a"));
    const seen = follow(pods);
    await seen.until(() => seen.progress.length === 1);
    broken!.abort();
    await new Promise((resolve) => setImmediate(resolve));
    await inner.write({ key: "/registry/pods/default/b", value: Buffer.from(JSON.stringify(pod("b"))) });
    await inner.write({ key: "/registry/pods/default/a", value: undefined });
    await inner.compact(await inner.currentRevision());
    await clock.advance(2000);
    assert.equal(await seen.ended, "expired");
    const list = await pods.list({});
    assert.deepEqual(
      list.entries.map((entry) => entry.name),
      ["b"],
    );
    await pods.create(pod("c"));
    assert.equal(pods.count(), 2);
  });
});
