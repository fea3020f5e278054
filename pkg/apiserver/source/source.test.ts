import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConfigMap } from "#pkg/api/types/core-v1.ts";
import { type CacheEntry, Cacher, type CacheWatchOptions } from "#pkg/storage/cacher/index.ts";
import { openMemoryStore } from "#pkg/storage/index.ts";
import { FakeClock, RealClock, silentLogger } from "#pkg/util/index.ts";
import { until } from "#pkg/util/testing/index.ts";
import { CacheSource, type SourceChange } from "./index.ts";

const configMap = (name: string, data: Record<string, string> = {}) => ({ metadata: { name, namespace: "ns" }, data });

describe("CacheSource", () => {
  test("shows what the cache holds, before and after it was made", async () => {
    const clock = new RealClock();
    const store = openMemoryStore({ clock });
    const cacher = new Cacher({ store, clock, log: silentLogger });
    const cache = cacher.resource({
      prefix: "configmaps",
      namespaced: true,
      apiVersion: "v1",
      kind: "ConfigMap",
      indexes: {},
    });
    await cache.ready();
    await cache.create(configMap("early"));
    const stop = new AbortController();
    const source = new CacheSource<ConfigMap>(cache, clock, stop.signal);
    await source.ready();
    assert.deepEqual(
      source.list("ns").map(({ metadata }) => metadata.name),
      ["early"],
      "the present state",
    );
    const seen: string[] = [];
    source.onChange(({ type, object, previous }) =>
      seen.push(`${type} ${object.metadata.name} ${previous?.data?.["a"] ?? "-"}`),
    );
    const entry = await cache.create(configMap("late", { a: "1" }));
    assert.equal(source.get("ns", "late")?.data?.["a"], "1");
    await cache.delete(await cache.update(entry, configMap("late", { a: "2" })));
    await until("all changes are told", () => seen.length === 4);
    assert.deepEqual(seen, ["ADDED early -", "ADDED late -", "MODIFIED late 1", "DELETED late 2"]);
    assert.equal(source.get("ns", "late"), undefined);
    assert.equal(source.list().length, 1);
    stop.abort();
    await cacher.close();
    await store.close();
  });

  test("a broken watch is opened again, and what vanished meanwhile is reported", async () => {
    const clock = new FakeClock();
    const entry = (name: string): CacheEntry => ({
      key: `/x/${name}`,
      namespace: "",
      name,
      revision: 1,
      object: { metadata: { name } },
      json: Buffer.alloc(0),
      leanJson: [],
      metadataJson: Buffer.alloc(0),
      variant: () => assert.fail(),
    });
    let watch: CacheWatchOptions | undefined;
    const cache = { peek: () => undefined, watch: (options: CacheWatchOptions) => void (watch = options) };
    const source = new CacheSource<ConfigMap>(cache, clock, new AbortController().signal);
    const deliver = (name: string): unknown =>
      watch!.onEvent({ type: "ADDED", entry: entry(name), previous: undefined, revision: 1 });
    deliver("a");
    deliver("b");
    const changes: SourceChange<ConfigMap>[] = [];
    source.onChange((change) => changes.push(change));
    changes.length = 0;
    const first = watch;
    watch!.onEnd("slow");
    await clock.advance(1000);
    assert.notEqual(watch, first);
    deliver("b");
    watch!.onProgress?.(2);
    assert.deepEqual(
      changes.filter(({ type }) => type === "DELETED").map(({ object }) => object.metadata.name),
      ["a"],
    );
    assert.deepEqual(
      source.list().map(({ metadata }) => metadata.name),
      ["b"],
    );
  });
});
