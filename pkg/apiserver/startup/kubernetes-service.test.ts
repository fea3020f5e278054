import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { endpoints, endpointSlices, leases, services } from "#pkg/api/refs.ts";
import type { Client } from "#pkg/client/index.ts";
import { FakeClock, RealClock, silentLogger } from "#pkg/util/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { KubernetesServicePublisher } from "./kubernetes-service.ts";
import { loopbackClient } from "./loopback.ts";

const KEY = { namespace: "default", name: "kubernetes" };
const clock = new FakeClock(Date.parse("2026-01-01T00:00:00Z"));
let server: TestServer;
let client: Client;

before(async () => {
  server = await startTestServer();
  client = loopbackClient(server.api.handler, new RealClock());
});
after(() => server.close());

const publisherAt = (advertiseAddress: string): KubernetesServicePublisher =>
  new KubernetesServicePublisher({
    client,
    clock,
    log: silentLogger,
    advertiseAddress,
    port: 6443,
    clusterAddress: "10.96.0.1",
  });

async function published(): Promise<(string | undefined)[]> {
  const slice = await client.get(endpointSlices, KEY);
  const legacy = await client.get(endpoints, KEY);
  const addresses = (slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses);
  assert.deepEqual(
    legacy.subsets?.flatMap((subset) => subset.addresses?.map(({ ip }) => ip)),
    addresses,
  );
  return addresses;
}

test("one advertised on loopback makes the Service, and is no endpoint", async () => {
  await publisherAt("127.0.0.1").publish();
  assert.equal((await client.get(services, KEY)).spec?.clusterIP, "10.96.0.1");
  assert.equal((await client.list(endpointSlices, { namespace: "default" })).items.length, 0);
});

test("all that are alive are endpoints, until they leave or have not been heard of for long", async () => {
  const [first, second] = [publisherAt("192.0.2.1"), publisherAt("192.0.2.2")];
  await first.publish();
  await second.publish();
  assert.deepEqual(await published(), ["192.0.2.1", "192.0.2.2"]);

  await clock.advance(31_000);
  await first.publish();
  assert.deepEqual(await published(), ["192.0.2.1"]);
  const left = await client.list(leases, { namespace: "kube-system" });
  assert.deepEqual(
    left.items.map(({ metadata }) => metadata.annotations?.["kubits.dev/advertise-address"]),
    ["192.0.2.1"],
  );

  await second.publish();
  await first.run(AbortSignal.abort());
  assert.deepEqual(await published(), ["192.0.2.2"]);
  await second.run(AbortSignal.abort());
  assert.deepEqual(await published(), ["192.0.2.2"]);
});
