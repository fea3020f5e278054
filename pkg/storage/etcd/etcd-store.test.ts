import assert from "node:assert/strict";
import { createServer, type Socket, connect } from "node:net";
import { once } from "node:events";
import { after, before, describe, it, type TestContext } from "node:test";
import { collect, storeContract } from "../contract-suite.ts";
import { EtcdProcess } from "./etcd-process.ts";
import { EtcdStore } from "./etcd-store.ts";
import { openEtcdStore } from "./open.ts";

let etcd: EtcdProcess;
before(async () => {
  etcd = await EtcdProcess.start();
});
after(() => etcd.stop());

function open(t: TestContext, endpoints = [etcd.endpoint]) {
  const store = new EtcdStore({ endpoints });
  t.after(() => store.close());
  return store;
}

/** A way to etcd that can be cut. */
async function openProxy(t: TestContext) {
  const target = new URL(etcd.endpoint);
  const sockets = new Set<Socket>();
  let up = true;
  const server = createServer((socket) => {
    if (!up) {
      socket.destroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    for (const each of [socket, upstream]) {
      sockets.add(each);
      each.on("error", () => undefined); // Cutting is what we are here for.
      each.on("close", () => {
        sockets.delete(each);
        socket.destroy();
        upstream.destroy();
      });
    }
    socket.pipe(upstream).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    up = false;
    for (const socket of sockets) socket.destroy();
  };
  t.after(() => {
    cut();
    server.close();
  });
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return { endpoint: `http://127.0.0.1:${address.port}`, cut, restore: () => (up = true) };
}

storeContract("etcd", {
  open: async (t) => open(t),
  pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
});

describe("etcd", () => {
  it("resumes a watch without loss or repetition when the connection was lost", async (t) => {
    const proxy = await openProxy(t);
    const through = open(t, [proxy.endpoint]);
    const direct = open(t);
    const prefix = "/registry/reconnect/";
    const from = await direct.currentRevision();
    const seen = collect(through, prefix, from, t);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 10; i++) await direct.write({ key: `${prefix}${i}`, value: Buffer.from(String(round)) });
      await seen.until(() => seen.events().length >= round * 20 + 10);
      proxy.cut();
      for (let i = 0; i < 10; i++) await direct.write({ key: `${prefix}${i}`, value: undefined });
      proxy.restore();
    }
    await seen.until(() => seen.events().length >= 60);
    assert.deepEqual(
      seen.events().map((event) => event.modRevision - from),
      Array.from({ length: 60 }, (_, i) => i + 1),
    );
  });
  it("says so when history went away while the connection was lost", async (t) => {
    const proxy = await openProxy(t);
    const through = open(t, [proxy.endpoint]);
    const direct = open(t);
    const key = "/registry/lost/a";
    const from = await direct.currentRevision();
    const seen = collect(through, "/registry/lost/", from, t);
    await direct.write({ key, value: Buffer.from("1") });
    await seen.until(() => seen.events().length === 1);
    proxy.cut();
    await direct.write({ key, value: Buffer.from("2") });
    await direct.compact((await direct.write({ key, value: Buffer.from("3") })).revision);
    proxy.restore();
    assert.equal(((await seen.failed) as Error).name, "CompactedError");
  });
  it("carries lists and bursts of events of many megabytes", async (t) => {
    const store = open(t);
    const prefix = "/registry/large/";
    const from = await store.currentRevision();
    for (let i = 0; i < 6; i++) await store.write({ key: `${prefix}${i}`, value: Buffer.alloc(1_000_000, i) });
    const { kvs } = await store.range(prefix);
    assert.deepEqual(
      kvs.map((kv) => kv.value.length),
      Array.from({ length: 6 }, () => 1_000_000),
    );
    const seen = collect(store, prefix, from, t);
    await seen.until(() => seen.events().length === 6);
  });
  it("uses whichever endpoint answers", async (t) => {
    const proxy = await openProxy(t);
    proxy.cut();
    const store = await openEtcdStore({ endpoints: [proxy.endpoint, etcd.endpoint.replace("http://", "")] });
    t.after(() => store.close());
    for (let i = 0; i < 6; i++) assert.ok((await store.currentRevision()) > 0);
  });
  it("loses no acknowledged write and no event when the server is killed", async (t) => {
    const store = open(t);
    const prefix = "/registry/killed/";
    const from = await store.currentRevision();
    const seen = collect(store, prefix, from, t);
    const acknowledged: number[] = [];
    const stop = new AbortController();
    const writer = async (name: string) => {
      for (let i = 0; !stop.signal.aborted; i++) {
        try {
          const result = await store.write({
            key: `${prefix}${name}/${i}`,
            value: Buffer.from("x"),
            expectedModRevision: 0,
          });
          if (result.ok) acknowledged.push(result.revision);
        } catch {
          // Its answer was lost with the server: it may or may not be there.
        }
      }
    };
    const writers = ["a", "b", "c"].map(writer);
    await seen.until(() => acknowledged.length > 50);
    await etcd.kill();
    await etcd.resume();
    const before = acknowledged.length;
    await seen.until(() => acknowledged.length > before + 50);
    stop.abort();
    await Promise.all(writers);
    await seen.reached(Math.max(...acknowledged));
    const revisions = seen.events().map((event) => event.modRevision);
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].sort((x, y) => x - y),
    );
    const present = new Set((await store.range(prefix)).kvs.map((kv) => kv.modRevision));
    const watched = new Set(revisions);
    for (const revision of acknowledged)
      assert.ok(present.has(revision) && watched.has(revision), `revision ${revision}`);
  });
});
