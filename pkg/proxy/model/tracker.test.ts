import assert from "node:assert/strict";
import { test } from "node:test";
import { ENDPOINTS, service, slice } from "../testing/objects.ts";
import { ServiceTracker } from "./tracker.ts";

const NODE = { nodeName: "node", zone: "z1" };
const { podA, podB, remote } = ENDPOINTS;
const spec = {
  clusterIP: "10.96.0.5",
  ports: [
    { name: "http", protocol: "TCP", port: 80 },
    { name: "dns", protocol: "UDP", port: 53 },
  ],
};

function tracker(): ServiceTracker {
  const made = new ServiceTracker("IPv4", NODE);
  made.setService(service("web", spec));
  made.setSlice(slice("web", [podA, remote]));
  made.setSlice(slice("web", [podB], { name: "dns", protocol: "UDP" }));
  return made;
}

test("every port of a service finds its endpoints in any of its slices", () => {
  const { changed, removed } = tracker().takeChanges();
  assert.equal(removed.size, 0);
  assert.deepEqual([...changed.keys()], ["default/web:http/TCP", "default/web:dns/UDP"]);
  assert.deepEqual(
    [...changed.values()].map(({ clusterEndpoints }) => clusterEndpoints.map(({ ip }) => ip)),
    [["10.244.0.2", "10.244.1.2"], ["10.244.0.3"]],
  );
});

test("only what differs is reported, and nothing twice", () => {
  const made = tracker();
  made.takeChanges();
  made.setService(service("web", spec));
  assert.equal(made.takeChanges().changed.size, 0);
  made.setSlice(slice("web", [podA]));
  assert.deepEqual([...made.takeChanges().changed.keys()], ["default/web:http/TCP"]);
  assert.equal(made.pending, false);
});

test("a UDP port that loses an endpoint, or gets its first, leaves stale flows", () => {
  const made = tracker();
  assert.deepEqual(made.takeChanges().staleUdp, [{ ip: "10.96.0.5", port: 53 }]);
  made.setSlice(slice("web", [remote], { name: "dns", protocol: "UDP" }));
  assert.deepEqual(made.takeChanges().staleUdp, [{ ip: "10.96.0.5", port: 53, endpointIP: "10.244.0.3" }]);
  made.setSlice(slice("web", [], { name: "dns", protocol: "UDP" }));
  assert.deepEqual(made.takeChanges().staleUdp, [{ ip: "10.96.0.5", port: 53 }]);
});

test("services of other proxies, headless ones and those without an address have no rules", () => {
  for (const other of [
    {
      ...service("x", spec),
      metadata: { ...service("x", spec).metadata, labels: { "service.kubernetes.io/service-proxy-name": "other" } },
    },
    service("x", { ...spec, clusterIP: "None" }),
    service("x", { type: "ExternalName", externalName: "example.org" }),
  ]) {
    const made = new ServiceTracker("IPv4", NODE);
    made.setService(other);
    assert.equal(made.takeChanges().changed.size, 0);
  }
});

test("endpoints with loopback or link-local addresses are ignored", () => {
  const made = new ServiceTracker("IPv4", NODE);
  made.setService(service("web", spec));
  made.setSlice(
    slice("web", [
      { ...podA, addresses: ["127.0.0.1"] },
      { ...podB, addresses: ["169.254.169.254"] },
    ]),
  );
  assert.equal(made.takeChanges().changed.get("default/web:http/TCP")?.hasAnyEndpoints, false);
});

test("hints of zones count only when every ready endpoint has one and one matches", () => {
  const hinted = (endpoint: typeof podA, zone?: string) =>
    zone === undefined ? endpoint : { ...endpoint, hints: { forZones: [{ name: zone }] } };
  const chosen = (...endpoints: Array<typeof podA>) => {
    const made = new ServiceTracker("IPv4", NODE);
    made.setService(service("web", spec));
    made.setSlice(slice("web", endpoints));
    return made
      .takeChanges()
      .changed.get("default/web:http/TCP")
      ?.clusterEndpoints.map(({ ip }) => ip);
  };
  assert.deepEqual(chosen(hinted(podA, "z1"), hinted(remote, "z2")), ["10.244.0.2"]);
  assert.deepEqual(chosen(hinted(podA, "z1"), remote), ["10.244.0.2", "10.244.1.2"]);
  assert.deepEqual(chosen(hinted(podA, "z2"), hinted(remote, "z3")), ["10.244.0.2", "10.244.1.2"]);
});
