import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { configMaps } from "#pkg/api/refs.ts";
import type { ConfigMap } from "#pkg/api/types/core-v1.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { createClient } from "../client.ts";
import type { SharedInformer } from "../contract.ts";
import { FakeApi } from "../testing/fake-api.ts";
import { directTransport } from "../transport/direct.ts";
import { createInformerFactory, createInformerPool } from "./factory.ts";

const COLLECTION = "/api/v1/configmaps";
const map = (name: string, value: string) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { namespace: "default", name, uid: `uid-${name}` },
  data: { value },
});

function setUp(options: { streamed: boolean }) {
  const api = new FakeApi();
  api.knowsStreamedLists = options.streamed;
  const clock = new FakeClock();
  const client = createClient(directTransport(api), { userAgent: "test" });
  const factory = createInformerFactory({ client, clock, log: silentLogger });
  const stop = new AbortController();
  return { api, clock, factory, stop, informer: factory.informer(configMaps) };
}
/** Lets everything that needs no time happen. */
const settle = async (clock: FakeClock) => {
  for (let i = 0; i < 5; i++) await clock.advance(0);
};
function record(informer: SharedInformer<ConfigMap>): string[] {
  const seen: string[] = [];
  informer.addHandler({
    onAdd: (object, initial) =>
      seen.push(`${initial ? "initial" : "add"} ${object.metadata.name}=${object.data?.["value"]}`),
    onUpdate: (object, old) =>
      seen.push(`update ${object.metadata.name} ${old.data?.["value"]}>${object.data?.["value"]}`),
    onDelete: (object) => seen.push(`delete ${object.metadata.name}`),
  });
  return seen;
}

for (const streamed of [true, false]) {
  describe(`informer with ${streamed ? "a streamed" : "a plain"} list`, () => {
    it("delivers the present state, then every change, cache first", async () => {
      const { api, clock, factory, stop, informer } = setUp({ streamed });
      api.put(COLLECTION, map("a", "1"));
      const seen = record(informer);
      factory.start(stop.signal);
      await factory.synced();
      api.put(COLLECTION, map("b", "1"));
      api.put(COLLECTION, map("a", "2"));
      api.remove(COLLECTION, "default", "b");
      await settle(clock);
      assert.deepEqual(seen, ["initial a=1", "add b=1", "update a 1>2", "delete b"]);
      assert.equal(informer.lister.get({ namespace: "default", name: "a" })?.data?.["value"], "2");
      assert.equal(informer.lister.list().length, 1);
      stop.abort();
    });

    it("resumes a broken watch without listing again", async () => {
      const { api, clock, factory, stop, informer } = setUp({ streamed });
      api.put(COLLECTION, map("a", "1"));
      factory.start(stop.signal);
      await factory.synced();
      await settle(clock);
      const seen = record(informer);
      const requestsBefore = api.requests.length;
      api.dropWatches();
      api.put(COLLECTION, map("a", "2"));
      await settle(clock);
      await clock.advance(1_000);
      await settle(clock);
      assert.deepEqual(seen, ["initial a=1", "update a 1>2"]);
      assert.equal(api.requests.length, requestsBefore + 1);
      stop.abort();
    });

    it("starts over when history is gone, and tells handlers only what changed", async () => {
      const { api, clock, factory, stop, informer } = setUp({ streamed });
      for (const name of ["a", "b", "c"]) api.put(COLLECTION, map(name, "1"));
      factory.start(stop.signal);
      await factory.synced();
      await settle(clock);
      const seen = record(informer).length;
      assert.equal(seen, 3);
      const events = record(informer).slice(3);
      informer.addHandler({
        onUpdate: (object) => events.push(`update ${object.metadata.name}`),
        onDelete: (object) => events.push(`delete ${object.metadata.name}`),
      });
      api.dropWatches();
      api.put(COLLECTION, map("b", "2"));
      api.remove(COLLECTION, "default", "c");
      api.compact();
      await clock.advance(10_000);
      await settle(clock);
      assert.deepEqual(events, ["update b", "delete c"]);
      stop.abort();
    });
  });
}

describe("informer", () => {
  it("shows a recreated object as deleted and added", async () => {
    const { api, clock, factory, stop, informer } = setUp({ streamed: true });
    api.put(COLLECTION, map("a", "1"));
    factory.start(stop.signal);
    await factory.synced();
    await settle(clock);
    const seen = record(informer);
    api.dropWatches();
    api.remove(COLLECTION, "default", "a");
    api.put(COLLECTION, { ...map("a", "2"), metadata: { namespace: "default", name: "a", uid: "other" } });
    api.compact();
    await clock.advance(10_000);
    await settle(clock);
    assert.deepEqual(seen, ["initial a=1", "delete a", "add a=2"]);
    stop.abort();
  });

  it("keeps indexes, also those added late", async () => {
    const { api, clock, factory, stop, informer } = setUp({ streamed: true });
    api.put(COLLECTION, map("a", "x"));
    factory.start(stop.signal);
    await factory.synced();
    informer.addIndex("value", (object) => [object.data?.["value"] ?? ""]);
    api.put(COLLECTION, map("b", "x"));
    api.put(COLLECTION, map("a", "y"));
    await settle(clock);
    const names = (value: string) => informer.lister.byIndex("value", value).map((object) => object.metadata.name);
    assert.deepEqual([names("x"), names("y"), names("z")], [["b"], ["a"], []]);
    stop.abort();
  });

  it("survives a handler that throws", async () => {
    const { api, clock, factory, stop, informer } = setUp({ streamed: true });
    informer.addHandler({
      onAdd: () => {
        throw new Error("broken handler");
      },
    });
    const seen = record(informer);
    factory.start(stop.signal);
    await factory.synced();
    api.put(COLLECTION, map("a", "1"));
    await settle(clock);
    assert.deepEqual(seen, ["add a=1"]);
    stop.abort();
  });

  it("shares one informer per resource and starts late ones with the next start", async () => {
    const { factory, stop, informer } = setUp({ streamed: true });
    assert.equal(factory.informer(configMaps), informer);
    factory.start(stop.signal);
    const late = factory.informer(configMaps, { namespace: "kube-system" });
    assert.notEqual(late, informer);
    factory.start(stop.signal);
    await late.synced();
    stop.abort();
  });
});

describe("informer pool", () => {
  it("keeps one cache and watch for all factories, each of which hears of changes until its own signal aborts", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    const client = createClient(directTransport(api), { userAgent: "test" });
    const pool = createInformerPool({ client, clock, log: silentLogger });
    const join = () => {
      const factory = pool.factory();
      const informer = factory.informer(configMaps);
      const stop = new AbortController();
      factory.start(stop.signal);
      return { informer, stop, seen: record(informer) };
    };
    api.put(COLLECTION, map("a", "1"));
    const first = join();
    const second = join();
    await Promise.all([first.informer.synced(), second.informer.synced()]);
    assert.equal(api.watcherCount, 1);
    assert.equal(first.informer.lister.list()[0], second.informer.lister.list()[0]);

    first.stop.abort();
    api.put(COLLECTION, map("a", "2"));
    await settle(clock);
    const third = join();
    await third.informer.synced();
    assert.equal(api.watcherCount, 1);
    second.stop.abort();
    api.put(COLLECTION, map("a", "3"));
    await settle(clock);
    assert.deepEqual(
      [first.seen, second.seen, third.seen],
      [["initial a=1"], ["initial a=1", "update a 1>2"], ["initial a=2", "update a 2>3"]],
    );

    third.stop.abort();
    await settle(clock);
    assert.equal(api.watcherCount, 0);
    api.put(COLLECTION, map("a", "4"));
    const fourth = join();
    await fourth.informer.synced();
    assert.deepEqual(fourth.seen, ["initial a=4"], "begins anew");
    fourth.stop.abort();
  });
});
