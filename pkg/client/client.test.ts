import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { isConflict, isNotFound, tooManyRequests } from "#pkg/apimachinery/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { servePort } from "#pkg/apiserver/index.ts";
import { FakeClock, RealClock } from "#pkg/util/index.ts";
import { createClient } from "./client.ts";
import type { Client, WatchEvent } from "./contract.ts";
import { FakeApi } from "./testing/fake-api.ts";
import { directTransport } from "./transport/direct.ts";
import { portTransport } from "./transport/port.ts";
import { waitFor } from "./wait.ts";

const PODS = "/api/v1/pods";
const pod = (name: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: {
    namespace: "default",
    name,
    uid: `uid-${name}`,
    resourceVersion: "0",
    creationTimestamp: "2026-01-01T00:00:00Z",
  },
  spec: { containers: [] },
});
const web = { namespace: "default", name: "web" };

interface Setup {
  readonly api: FakeApi;
  readonly client: Client;
  readonly close: () => void;
}
function direct(): Setup {
  const api = new FakeApi();
  const transport = directTransport(api);
  return { api, client: createClient(transport, { userAgent: "test" }), close: () => transport.close() };
}
function overPort(): Setup {
  const api = new FakeApi();
  const { port1, port2 } = new MessageChannel();
  const stop = servePort(api, port1, (name) => ({ name, groups: [] }));
  const transport = portTransport(port2).as("tester");
  const close = () => {
    transport.close();
    stop();
  };
  return { api, client: createClient(transport, { userAgent: "test" }), close };
}

for (const [name, setUp] of [
  ["direct", direct],
  ["port", overPort],
] as const) {
  describe(`client over the ${name} transport`, () => {
    it("creates, reads, lists, updates and deletes", async () => {
      const { client, close } = setUp();
      const created = await client.create(pods, {
        metadata: { namespace: "default", name: "web" },
        spec: { containers: [] },
      });
      assert.equal(created.kind, "Pod");
      assert.deepEqual(await client.get(pods, web), created);
      const list = await client.list(pods, { namespace: "default" });
      assert.deepEqual(list.items, [created], "items of a list name their kind");
      await assert.rejects(
        client.update(pods, { ...created, metadata: { ...created.metadata, resourceVersion: "1" } }),
        isConflict,
      );
      await client.delete(pods, web);
      await assert.rejects(client.get(pods, web), isNotFound);
      close();
    });

    it("watches until the reader leaves, and the server hears of it", async () => {
      const { api, client, close } = setUp();
      api.put(PODS, pod("old"));
      const seen: string[] = [];
      for await (const event of client.watch(pods, { sendInitialEvents: true })) {
        seen.push(event.type);
        if (event.type === "BOOKMARK") api.put(PODS, pod("new"));
        if (seen.length === 3) break;
      }
      assert.deepEqual(seen, ["ADDED", "BOOKMARK", "ADDED"]);
      await waitFor(() => api.watcherCount === 0, { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 });
      close();
    });

    it("ends a watch with the signal's reason", async () => {
      const { client, close } = setUp();
      const stop = new AbortController();
      const reading = (async () => {
        for await (const event of client.watch(pods, { signal: stop.signal })) assert.fail(event.type);
      })();
      await new Promise((resolve) => setTimeout(resolve, 10));
      stop.abort(new Error("enough"));
      await assert.rejects(reading, /enough/);
      close();
    });

    it("fails with ConnectionError when the transport closes", async () => {
      const { client, close } = setUp();
      const watch = client.watch(pods, { sendInitialEvents: true })[Symbol.asyncIterator]();
      await watch.next();
      const next: Promise<IteratorResult<WatchEvent<Pod>>> = watch.next();
      close();
      await assert.rejects(next, { name: "ConnectionError" });
      await assert.rejects(client.get(pods, web), { name: "ConnectionError" });
    });

    it("passes thousands of events in order", async () => {
      const { api, client, close } = setUp();
      const names: string[] = [];
      for await (const event of client.watch(pods, { sendInitialEvents: true })) {
        if (event.type === "BOOKMARK") for (let i = 0; i < 5000; i++) api.put(PODS, pod(`p${i}`));
        else if (names.push(event.object.metadata.name ?? "") === 5000) break;
      }
      assert.deepEqual(
        names,
        Array.from({ length: 5000 }, (_, i) => `p${i}`),
      );
      close();
    });
  });
}

describe("client", () => {
  it("repeats a throttled request after the time the server names", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    const client = createClient(directTransport(api), { userAgent: "test", clock });
    let refusals = 2;
    api.intercept = () => (refusals-- > 0 ? tooManyRequests("slow down", 3) : undefined);
    api.put(PODS, pod("web"));
    const reading = client.get(pods, web);
    await clock.advance(5_900);
    assert.equal(api.requests.length, 2);
    await clock.advance(200);
    assert.equal((await reading).metadata.name, "web");
    assert.equal(api.requests.length, 3);
  });
});
