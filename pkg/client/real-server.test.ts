import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { builtinResources } from "#pkg/api/index.ts";
import { configMaps, namespaces } from "#pkg/api/refs.ts";
import { createApiServer, createResourceRegistry, servePort } from "#pkg/apiserver/index.ts";
import type { ApiServer } from "#pkg/apiserver/index.ts";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { openMemoryStore } from "#pkg/storage/index.ts";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { createClient } from "./client.ts";
import type { Client, SharedInformer } from "./contract.ts";
import { createInformerFactory } from "./informer/factory.ts";
import { http2Transport } from "./transport/http2.ts";
import { portTransport } from "./transport/port.ts";
import { retryOnConflict, waitFor } from "./wait.ts";
import type { ConfigMap } from "#pkg/api/types/core-v1.ts";

const clock = new RealClock();
const wait = { clock, intervalMs: 5, timeoutMs: 120_000 };
const admin = { name: "admin", groups: ["system:masters"] };
const draft = (name: string, value = "1") => ({ metadata: { namespace: "default", name }, data: { value } });

describe("client and informers over the real API server", () => {
  let api: ApiServer;
  let tls: { cert: string; key: string; clientCa: string };
  const clients: Record<string, Client> = {};
  const closers: (() => void | Promise<void>)[] = [];
  let listener: Awaited<ReturnType<ApiServer["listen"]>>;

  before(async () => {
    const store = openMemoryStore();
    const registry = createResourceRegistry({ store, resources: builtinResources() });
    api = createApiServer({
      registry,
      authenticator: { authenticate: () => Promise.resolve(admin) },
      authorizer: { authorize: () => ({ decision: "allow", reason: "" }) },
      admission: { admit: () => undefined, validate: () => undefined, settle: () => undefined },
    });
    await api.ready;
    const now = clock.now();
    const ca = await createCa({ commonName: "ca", validityDays: 1, now });
    const serving = await issueCertificate(ca, {
      commonName: "api",
      usages: ["server"],
      ips: ["127.0.0.1"],
      validityDays: 1,
      now,
    });
    tls = { ...serving, clientCa: ca.cert };
    listener = await api.listen({ host: "127.0.0.1", port: 0, tls });
    const overHttp = http2Transport({ server: `https://127.0.0.1:${listener.port}`, ca: ca.cert, clock });
    const { port1, port2 } = new MessageChannel();
    const stop = servePort(api.handler, port1, () => admin);
    const overPort = portTransport(port2).as("admin");
    clients["http2"] = createClient(overHttp, { userAgent: "test", clock });
    clients["port"] = createClient(overPort, { userAgent: "test", clock });
    await clients["port"].create(namespaces, { metadata: { name: "default" }, spec: {} });
    closers.push(
      () => overHttp.close(),
      () => overPort.close(),
      stop,
      () => api.close(),
      () => store.close(),
    );
  });
  after(async () => {
    for (const close of closers) await close();
  });
  const startInformer = (
    client: Client,
    stop: AbortController,
    options?: { metadataOnly?: boolean; labelSelector?: string },
  ) => {
    const factory = createInformerFactory({ client, clock, log: silentLogger, random: new SeededRandom(1) });
    const informer = factory.informer(configMaps, options);
    factory.start(stop.signal);
    return informer;
  };
  const values = (informer: SharedInformer<ConfigMap>) =>
    Object.fromEntries(informer.lister.list("default").map(({ metadata, data }) => [metadata.name, data?.["value"]]));

  for (const name of ["http2", "port"]) {
    it(`follows every change over ${name}`, async () => {
      const client = clients[name]!;
      const stop = new AbortController();
      await client.create(configMaps, draft(`${name}-a`));
      const informer = startInformer(client, stop);
      await informer.synced();
      assert.equal(values(informer)[`${name}-a`], "1");
      const made = await client.create(configMaps, draft(`${name}-b`));
      await client.update(configMaps, { ...made, data: { value: "2" } });
      await waitFor(() => values(informer)[`${name}-b`] === "2", wait);
      const key = { namespace: "default", name: `${name}-b` };
      await client.patch(configMaps, key, "merge", { data: { value: "3" } });
      await waitFor(() => values(informer)[`${name}-b`] === "3", wait);
      const { resourceVersion } = made.metadata;
      await assert.rejects(
        client.patch(configMaps, key, "merge", { metadata: { resourceVersion }, data: { value: "4" } }),
        { reason: "Conflict" },
      );
      await client.delete(configMaps, { namespace: "default", name: `${name}-a` });
      await waitFor(() => values(informer)[`${name}-a`] === undefined, wait);
      stop.abort();
    });
  }

  it("keeps only metadata when asked to, and only what a selector selects", async () => {
    const client = clients["port"]!;
    const stop = new AbortController();
    await client.create(configMaps, {
      ...draft("chosen"),
      metadata: { namespace: "default", name: "chosen", labels: { pick: "me" } },
    });
    const informer = startInformer(client, stop, { metadataOnly: true, labelSelector: "pick=me" });
    await informer.synced();
    const [object, ...others] = informer.lister.list();
    assert.deepEqual(others, []);
    assert.equal(object?.metadata.name, "chosen");
    assert.equal(object?.data, undefined);
    stop.abort();
  });

  it("takes up its watch again after the server's listener was replaced", async () => {
    const client = clients["http2"]!;
    const stop = new AbortController();
    const informer = startInformer(client, stop);
    await informer.synced();
    const { port } = listener;
    await listener.close();
    await clients["port"]!.create(configMaps, draft("while-away", "new"));
    listener = await api.listen({ host: "127.0.0.1", port, tls });
    await waitFor(() => values(informer)["while-away"] === "new", wait);
    stop.abort();
  });

  it("lets many writers of one object through, each after the other", async () => {
    const client = clients["port"]!;
    await client.create(configMaps, draft("counter", "0"));
    const key = { namespace: "default", name: "counter" };
    const increment = () =>
      retryOnConflict(clock, async () => {
        const current = await client.get(configMaps, key);
        return client.update(configMaps, { ...current, data: { value: String(Number(current.data?.["value"]) + 1) } });
      });
    await Promise.all([increment(), increment(), increment()]);
    assert.equal((await client.get(configMaps, key)).data?.["value"], "3");
  });
});
