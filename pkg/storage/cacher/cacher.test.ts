import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { openMemoryStore } from "../memory/memory-store.ts";
import { CompactedError, FutureRevisionError, type Store } from "../store.ts";
import { Cacher } from "./cacher.ts";
import type { CacherOptions } from "./cacher.ts";
import {
  type CacheEvent,
  type CacheWatchOptions,
  KeyExistsError,
  type ResourceCache,
  RevisionConflictError,
} from "./contract.ts";

function pod(name: string, node = "", namespace = "default"): KubeObject {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec: { nodeName: node } };
}
function nodeOf(object: Readonly<KubeObject>): string {
  return (object["spec"] as { nodeName?: string }).nodeName ?? "";
}
function openPods(cacher: Cacher): ResourceCache {
  const indexes = { "spec.nodeName": nodeOf };
  return cacher.resource({ prefix: "/registry/pods", namespaced: true, apiVersion: "v1", kind: "Pod", indexes });
}
function open(t: TestContext, options: Partial<CacherOptions> = {}) {
  const store: Store = options.store ?? openMemoryStore();
  const clock = new FakeClock();
  const cacher = new Cacher({ clock, ...options, store });
  t.after(async () => {
    await cacher.close();
    await store.close();
  });
  return { store, clock, cacher, pods: openPods(cacher) };
}
function follow(cache: ResourceCache, options: Partial<CacheWatchOptions> = {}) {
  const events: CacheEvent[] = [];
  const progress: number[] = [];
  const abort = new AbortController();
  const ended = Promise.withResolvers<string>();
  let wake = () => {};
  cache.watch({
    signal: abort.signal,
    onEvent(event) {
      events.push(event);
      wake();
      return undefined;
    },
    onProgress(revision) {
      progress.push(revision);
      wake();
    },
    onEnd: (reason) => ended.resolve(reason),
    ...options,
  });
  /** Waits for the condition, woken by events. */
  const until = async (condition: () => boolean) => {
    while (!condition()) await new Promise<void>((resolve) => (wake = resolve));
  };
  const texts = () => events.map((event) => `${event.type} ${event.entry.name}`);
  return { events, progress, abort, ended: ended.promise, until, texts };
}

describe("entries", () => {
  it("show their metadata as a part of their bytes, whatever is written in it", async (t) => {
    const { pods } = open(t);
    const annotations = { braces: '}{"}\\', quotes: '\\"\\\\"', "{": "}", unicode: "\u2028é😀" };
    const entry = await pods.create({ ...pod("odd"), metadata: { name: "odd", namespace: "default", annotations } });
    assert.deepEqual(JSON.parse(entry.metadataJson.toString()), entry.object.metadata);
    assert.equal(entry.metadataJson.buffer, entry.json.buffer);
  });
  it("splice the revision into the stored bytes and share the writer's object", async (t) => {
    const { pods, store } = open(t);
    const written = pod("web", "n1");
    const entry = await pods.create(written);
    assert.equal(
      entry.json.toString(),
      `{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"${entry.revision}","name":"web","namespace":"default"},"spec":{"nodeName":"n1"}}`,
    );
    assert.equal(entry.object, written);
    assert.deepEqual(entry.object, JSON.parse(entry.json.toString()));
    assert.ok(Object.isFrozen(entry.object) && Object.isFrozen(entry.object.metadata));
    const { kv } = await store.get("/registry/pods/default/web");
    assert.equal(JSON.parse(Buffer.from(kv!.value).toString()).metadata.resourceVersion, undefined);
  });
  it("accept values other programs have written in another order", async (t) => {
    const store = openMemoryStore();
    const value = Buffer.from(
      JSON.stringify({ spec: { a: 1 }, metadata: { name: "x" }, kind: "Foo", apiVersion: "g/v2" }),
    );
    const { revision } = await store.write({ key: "/registry/foos/x", value });
    const { cacher } = open(t, { store });
    const foos = cacher.resource({ prefix: "foos", namespaced: false, apiVersion: "g/v1", kind: "Foo" });
    const entry = await foos.get("", "x");
    assert.deepEqual(entry!.object, {
      apiVersion: "g/v2",
      kind: "Foo",
      metadata: { resourceVersion: String(revision), name: "x" },
      spec: { a: 1 },
    });
  });
  it("leave out unreadable values without losing the rest", async (t) => {
    const store = openMemoryStore();
    await store.write({ key: "/registry/pods/default/bad", value: Buffer.from("not json") });
    const { pods } = open(t, { store });
    await pods.create(pod("good"));
    await store.write({ key: "/registry/pods/default/worse", value: Buffer.from("[") });
    await pods.create(pod("later"));
    const { entries } = await pods.list({});
    assert.deepEqual(
      entries.map((entry) => entry.name),
      ["good", "later"],
    );
  });
  it("make each variant once", async (t) => {
    const { pods } = open(t);
    const entry = await pods.create(pod("web"));
    const first = entry.variant("table", () => ({ made: 1 }));
    assert.equal(
      entry.variant("table", () => ({ made: 2 })),
      first,
    );
  });
});

describe("writes", () => {
  it("are seen by their writer and refuse stale or missing state", async (t) => {
    const { pods } = open(t);
    const created = await pods.create(pod("web"));
    assert.equal(pods.peek("default", "web"), created);
    await assert.rejects(pods.create(pod("web")), KeyExistsError);
    const updated = await pods.update(created, { ...created.object, spec: { nodeName: "n1" } });
    assert.equal(updated.object.metadata.resourceVersion, String(updated.revision));
    await assert.rejects(pods.update(created, pod("web", "n2")), (error) => {
      assert.ok(error instanceof RevisionConflictError);
      assert.equal(error.current, updated);
      return true;
    });
    const deleted = await pods.delete(updated);
    assert.ok(deleted.revision > updated.revision);
    assert.equal(deleted.object.metadata.resourceVersion, String(deleted.revision));
    assert.equal(pods.count(), 0);
    await assert.rejects(
      pods.delete(updated),
      (error) => error instanceof RevisionConflictError && error.current === undefined,
    );
    await assert.rejects(pods.update(updated, pod("web", "n3")), RevisionConflictError);
  });
  it("write nothing when nothing changes, whatever the order of fields", async (t) => {
    const { pods, store } = open(t);
    const created = await pods.create({ ...pod("web"), spec: { a: 1, b: [{ c: 2, d: 3 }] } });
    const before = await store.currentRevision();
    assert.equal(await pods.update(created, { ...pod("web"), spec: { b: [{ d: 3, c: 2 }], a: 1 } }), created);
    assert.equal(await store.currentRevision(), before);
    assert.notEqual(await pods.update(created, { ...pod("web"), spec: { b: [{ d: 2, c: 3 }], a: 1 } }), created);
  });
  it("let exactly one of many concurrent updates win", async (t) => {
    const { pods } = open(t);
    const created = await pods.create(pod("web"));
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => pods.update(created, pod("web", `n${i}`))),
    );
    assert.equal(results.filter((result) => result.status === "fulfilled").length, 1);
  });
});

describe("lists", () => {
  it("page through a namespace in order with exact remainders", async (t) => {
    const { pods } = open(t);
    for (const name of ["c", "a", "b", "e", "d"]) await pods.create(pod(name));
    await pods.create(pod("x", "", "default-2"));
    const first = await pods.list({ namespace: "default", limit: 2 });
    assert.deepEqual(
      first.entries.map((entry) => entry.name),
      ["a", "b"],
    );
    assert.equal(first.remaining, 3);
    await pods.delete(pods.peek("default", "c")!);
    const second = await pods.list({
      namespace: "default",
      limit: 2,
      startAfter: first.next!,
      consistency: { exact: first.revision },
    });
    assert.deepEqual(
      second.entries.map((entry) => entry.name),
      ["c", "d"],
    );
    assert.equal(second.remaining, 1);
    assert.equal(second.revision, first.revision);
    const last = await pods.list({
      namespace: "default",
      limit: 2,
      startAfter: second.next!,
      consistency: { exact: first.revision },
    });
    assert.deepEqual(
      last.entries.map((entry) => entry.name),
      ["e"],
    );
    assert.equal(last.next, undefined);
    assert.equal((await pods.list({})).entries.length, 5);
  });
  it("use indexes, names and filters", async (t) => {
    const { pods } = open(t);
    const a = await pods.create(pod("a", "n1"));
    await pods.create(pod("b", "n2"));
    await pods.create(pod("a", "n1", "kube-system"));
    const onNode = async (value: string) =>
      (await pods.list({ index: { index: "spec.nodeName", value } })).entries.map((entry) => entry.key);
    assert.deepEqual(await onNode("n1"), ["/registry/pods/default/a", "/registry/pods/kube-system/a"]);
    await pods.update(a, pod("a", "n2"));
    assert.deepEqual(await onNode("n1"), ["/registry/pods/kube-system/a"]);
    assert.deepEqual(await onNode("n2"), ["/registry/pods/default/a", "/registry/pods/default/b"]);
    assert.equal((await pods.list({ name: "a" })).entries.length, 2);
    assert.equal((await pods.list({ name: "a", namespace: "default" })).entries.length, 1);
    const filtered = await pods.list({ filter: (entry) => entry.name === "a", limit: 1 });
    assert.equal(filtered.entries.length, 1);
    assert.ok(filtered.next !== undefined && filtered.remaining === undefined);
  });
  it("read old revisions from the ring, then from the store, then not at all", async (t) => {
    const { pods, store } = open(t, { history: { maxEvents: 2 } });
    const first = await pods.create(pod("a"));
    const second = await pods.update(first, pod("a", "n1"));
    const revisions = [first.revision, second.revision];
    for (const name of ["b", "c", "d"]) revisions.push((await pods.create(pod(name))).revision);
    for (const [at, expected] of [["a"], ["a"], ["a", "b"], ["a", "b", "c"]].entries()) {
      const exact = { exact: revisions[at]! };
      const list = await pods.list({ consistency: exact });
      assert.deepEqual(
        list.entries.map((entry) => entry.name),
        expected,
      );
      assert.equal(list.revision, revisions[at]);
      assert.equal(nodeOf((await pods.get("default", "a", exact))!.object), at === 0 ? "" : "n1");
    }
    const page = await pods.list({ consistency: { exact: revisions[2]! }, limit: 1 });
    assert.equal(page.remaining, 1);
    await store.compact(revisions[1]!);
    await assert.rejects(pods.list({ consistency: { exact: revisions[0]! } }), CompactedError);
  });
  it("wait for a revision to come, but not for ever", async (t) => {
    const { pods, clock, store } = open(t);
    const next = (await store.currentRevision()) + 1;
    const list = pods.list({ consistency: { atLeast: next } });
    await pods.create(pod("a"));
    assert.equal((await list).entries.length, 1);
    const late = assert.rejects(pods.list({ consistency: { atLeast: 1_000_000 } }), FutureRevisionError);
    await clock.advance(5000);
    await late;
  });
  it("see what others wrote to the same store before", async (t) => {
    const { pods, store } = open(t);
    await pods.ready();
    await store.write({ key: "/registry/pods/default/a", value: Buffer.from(JSON.stringify(pod("a"))) });
    assert.equal((await pods.get("default", "a"))!.name, "a");
    await store.write({ key: "/elsewhere", value: Buffer.from("x") });
    assert.equal((await pods.list({})).entries.length, 1);
  });
});

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
