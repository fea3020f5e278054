import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Node, Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { planEndpoints } from "../endpoints/plan.ts";
import { meta, podOf } from "../testing/objects.ts";
import { planSlices } from "./plan.ts";

const OPTIONS = { maxEndpoints: 3, now: "now" };
const serviceOf = (spec: Partial<Service["spec"]> = {}): Service => ({
  metadata: meta("svc", { labels: { team: "a" } }),
  spec: { clusterIP: "10.0.0.1", selector: { app: "x" }, ports: [{ port: 80, targetPort: 8080 }], ...spec },
});
const backend = (index: number, options: Parameters<typeof podOf>[1] = {}): Pod => {
  const pod = podOf(`p${index}`, options);
  return {
    ...pod,
    status: { ...pod.status, podIP: `10.1.0.${index}`, podIPs: [{ ip: `10.1.0.${index}` }, { ip: `fd00::${index}` }] },
  };
};
const zoned = (): Node => ({ metadata: meta("node", { labels: { "topology.kubernetes.io/zone": "z1" } }), spec: {} });
let names = 0;
/** The slices as they are once a plan has been carried out. */
function applied(existing: readonly EndpointSlice[], plan: ReturnType<typeof planSlices>): EndpointSlice[] {
  const changed = new Map(plan.update.map((slice) => [slice.metadata.uid, slice]));
  const kept = existing
    .filter((slice) => !plan.delete.includes(slice))
    .map((slice) => changed.get(slice.metadata.uid) ?? slice);
  const created = plan.create.map((slice) => ({
    ...slice,
    metadata: { ...meta(`s${names++}`), ...slice.metadata } as EndpointSlice["metadata"],
  }));
  return [...kept, ...created];
}
const plan = (service: Service, pods: Pod[], existing: EndpointSlice[] = []) =>
  planSlices(service, pods, zoned, existing, OPTIONS);

test("a pod without the named port is an endpoint without ports", () => {
  const service = serviceOf({ ports: [{ port: 80, targetPort: "absent" }] });
  const first = plan(service, [backend(1)]);
  assert.deepEqual(
    first.create.map(({ endpoints, ports }) => [endpoints?.map(({ addresses }) => addresses[0]), ports]),
    [[["10.1.0.1"], []]],
  );
  const present = applied([], first);
  assert.deepEqual(plan(service, [backend(1)], present), { create: [], update: [], delete: [] });
  const emptied = plan(service, [], present);
  assert.deepEqual([emptied.create.length, emptied.update[0]?.endpoints, emptied.delete.length], [0, [], 0]);
});

test("endpoints say who is ready, serving, terminating, and where", () => {
  const [slice] = plan(serviceOf(), [backend(1), backend(2, { ready: false }), backend(3, { deleted: true })]).create;
  assert.deepEqual(
    slice?.endpoints?.map(({ addresses, conditions, zone }) => [
      addresses[0],
      conditions?.ready,
      conditions?.serving,
      conditions?.terminating,
      zone,
    ]),
    [
      ["10.1.0.1", true, true, false, "z1"],
      ["10.1.0.2", false, false, false, "z1"],
      ["10.1.0.3", false, true, true, "z1"],
    ],
  );
  assert.deepEqual(slice?.ports, [{ name: "", port: 8080, protocol: "TCP" }]);
  assert.deepEqual(slice?.metadata.labels, {
    team: "a",
    "kubernetes.io/service-name": "svc",
    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
  });
  const published = plan(serviceOf({ publishNotReadyAddresses: true }), [backend(2, { ready: false })]).create[0];
  assert.equal(published?.endpoints?.[0]?.conditions?.ready, true);
});

test("each family has slices of its own, an empty service one empty slice each", () => {
  const dual = serviceOf({ ipFamilies: ["IPv4", "IPv6"] });
  assert.deepEqual(
    plan(dual, [backend(1)]).create.map(({ addressType, endpoints }) => [addressType, endpoints?.[0]?.addresses[0]]),
    [
      ["IPv4", "10.1.0.1"],
      ["IPv6", "fd00::1"],
    ],
  );
  const empty = plan(dual, []).create;
  assert.deepEqual(
    empty.map(({ addressType, endpoints, ports }) => [addressType, endpoints, ports]),
    [
      ["IPv4", [], []],
      ["IPv6", [], []],
    ],
  );
  const present = applied([], plan(dual, []));
  assert.deepEqual(plan(dual, [], present), { create: [], update: [], delete: [] });
  assert.equal(plan(dual, [backend(1)], present).delete.length, 2);
});

test("traffic distribution becomes hints", () => {
  const hints = (trafficDistribution: string) =>
    plan(serviceOf({ trafficDistribution }), [backend(1)]).create[0]?.endpoints?.[0]?.hints;
  assert.deepEqual(hints("PreferClose"), { forZones: [{ name: "z1" }] });
  assert.deepEqual(hints("PreferSameNode")?.forNodes, [{ name: "node" }]);
});

test("slices hold at most so many, each pod once, and nothing is rewritten without need", () => {
  const pods = fc.uniqueArray(fc.integer({ min: 1, max: 20 }), { maxLength: 12 });
  fc.assert(
    fc.property(fc.array(pods, { minLength: 1, maxLength: 5 }), (history) => {
      let slices: EndpointSlice[] = [];
      for (const present of history) {
        const backends = present.map((index) => backend(index));
        slices = applied(slices, plan(serviceOf(), backends, slices));
        const addresses = slices.flatMap((slice) => slice.endpoints?.flatMap((endpoint) => endpoint.addresses) ?? []);
        assert.deepEqual(addresses.sort(), present.map((index) => `10.1.0.${index}`).sort());
        for (const slice of slices) assert.ok((slice.endpoints?.length ?? 0) <= 3);
        assert.deepEqual(plan(serviceOf(), backends, slices), { create: [], update: [], delete: [] });
      }
    }),
  );
});

test("Endpoints group addresses by ports and apart by readiness", () => {
  const service = serviceOf({ ports: [{ name: "web", port: 80, targetPort: "http" }] });
  const named = (index: number, containerPort: number, ready = true): Pod => {
    const pod = backend(index, { ready });
    return { ...pod, spec: { ...pod.spec, containers: [{ name: "c", ports: [{ name: "http", containerPort }] }] } };
  };
  const result = planEndpoints(
    service,
    [named(1, 8080), named(2, 8080, false), named(3, 9090), backend(4)],
    undefined,
    "now",
  );
  assert.ok(result.action !== "none");
  assert.deepEqual(
    result.endpoints.subsets?.map(({ addresses = [], notReadyAddresses = [], ports }) => [
      addresses.map(({ ip }) => ip),
      notReadyAddresses.map(({ ip }) => ip),
      ports?.[0]?.port,
    ]),
    [
      [["10.1.0.1"], ["10.1.0.2"], 8080],
      [["10.1.0.3"], [], 9090],
    ],
  );
  const present = {
    ...result.endpoints,
    metadata: { ...meta("svc"), ...result.endpoints.metadata } as Service["metadata"],
  };
  assert.equal(
    planEndpoints(service, [named(3, 9090), named(2, 8080, false), named(1, 8080)], present, "later").action,
    "none",
  );
});

test("an Endpoints object is cut off at its capacity and says so", () => {
  const many = Array.from({ length: 1200 }, (_, index) => {
    const pod = podOf(`p${index}`);
    return { ...pod, status: { ...pod.status, podIP: `10.${Math.floor(index / 250)}.0.${index % 250}` } };
  });
  const result = planEndpoints(serviceOf(), many, undefined, "now");
  assert.ok(result.action !== "none");
  assert.equal(result.endpoints.subsets?.[0]?.addresses?.length, 1000);
  assert.equal(result.endpoints.metadata.annotations?.["endpoints.kubernetes.io/over-capacity"], "truncated");
});
