import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openMemoryStore } from "../memory/memory-store.ts";
import { CompactedError, FutureRevisionError } from "../store.ts";
import { KeyExistsError, RevisionConflictError } from "./contract.ts";
import { open, nodeOf, pod } from "./testing.ts";

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
