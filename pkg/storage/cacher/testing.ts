/** A cacher of a test's own on a store of its own, with pods in it, and what follows a watch. */
import type { TestContext } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { openMemoryStore } from "../memory/memory-store.ts";
import type { Store } from "../store.ts";
import { Cacher } from "./cacher.ts";
import type { CacherOptions } from "./cacher.ts";
import type { CacheEvent, CacheWatchOptions, ResourceCache } from "./contract.ts";

export function pod(name: string, node = "", namespace = "default"): KubeObject {
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec: { nodeName: node } };
}
export function nodeOf(object: Readonly<KubeObject>): string {
  return (object["spec"] as { nodeName?: string }).nodeName ?? "";
}
function openPods(cacher: Cacher): ResourceCache {
  const indexes = { "spec.nodeName": nodeOf };
  return cacher.resource({ prefix: "/registry/pods", namespaced: true, apiVersion: "v1", kind: "Pod", indexes });
}
export function open(t: TestContext, options: Partial<CacherOptions> = {}) {
  const store: Store = options.store ?? openMemoryStore();
  const clock = new FakeClock();
  const cacher = new Cacher({ clock, ...options, store });
  t.after(async () => {
    await cacher.close();
    await store.close();
  });
  return { store, clock, cacher, pods: openPods(cacher) };
}
export function follow(cache: ResourceCache, options: Partial<CacheWatchOptions> = {}) {
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
