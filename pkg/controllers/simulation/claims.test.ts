import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { namespaces, pods, resourceClaims, resourceClaimTemplates, resourceSlices } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { ResourceClaim } from "#pkg/api/types/resource-v1.ts";
import { SimulatedCluster } from "./cluster.ts";
import { template } from "./objects.ts";

const NAMESPACE = "dra";
let cluster: SimulatedCluster;
before(async () => {
  cluster = await SimulatedCluster.start({ seed: 3 });
  await cluster.observe(resourceClaims, resourceClaimTemplates, resourceSlices);
  await cluster.admin.create(namespaces, { metadata: { name: NAMESPACE }, spec: {} });
  await cluster.advance(1000);
});
after(() => cluster.close());

const claims = (): ResourceClaim[] => cluster.list(resourceClaims, NAMESPACE);
const podNamed = (name: string): Pod | undefined =>
  cluster.list(pods, NAMESPACE).find(({ metadata }) => metadata.name === name);

test("a pod's claim is made, reserved, taken from it by a taint, and goes with it", async () => {
  const request = { name: "gpu", exactly: { deviceClassName: "gpu.example.com" } };
  await cluster.admin.create(resourceClaimTemplates, {
    metadata: { namespace: NAMESPACE, name: "gpu" },
    spec: { metadata: { labels: { made: "here" } }, spec: { devices: { requests: [request] } } },
  });
  await cluster.admin.create(pods, {
    metadata: { namespace: NAMESPACE, name: "user" },
    spec: {
      ...template({}).spec!,
      nodeName: "node-0",
      resourceClaims: [{ name: "device", resourceClaimTemplateName: "gpu" }],
    },
  });
  await cluster.until("made", () => claims().length === 1 && podNamed("user")?.status?.phase === "Running");
  const [claim] = claims();
  assert.equal(claim!.metadata.labels?.["made"], "here");
  assert.match(claim!.metadata.name, /^user-device-/);
  assert.deepEqual(podNamed("user")!.status?.resourceClaimStatuses, [
    { name: "device", resourceClaimName: claim!.metadata.name },
  ]);

  // What a scheduler that knows devices would do.
  const pool = { name: "node-0", generation: 1, resourceSliceCount: 1 };
  const slice = await cluster.admin.create(resourceSlices, {
    metadata: { name: "slice" },
    spec: { driver: "gpu.example.com", nodeName: "node-0", pool, devices: [{ name: "gpu-0" }] },
  });
  const result = { request: "gpu", driver: "gpu.example.com", pool: "node-0", device: "gpu-0" };
  const finalizers = ["resource.kubernetes.io/delete-protection"];
  const kept = await cluster.admin.update(resourceClaims, {
    ...claim!,
    metadata: { ...claim!.metadata, finalizers },
  });
  await cluster.admin.updateStatus(resourceClaims, {
    ...kept,
    status: { allocation: { devices: { results: [result] } } },
  });
  await cluster.until("reserved", () => claims()[0]?.status?.reservedFor?.[0]?.name === "user");

  const reasons: (string | undefined)[] = [];
  cluster.informers.informer(pods).addHandler({
    onDelete: ({ status }) => reasons.push(status?.conditions?.find(({ type }) => type === "DisruptionTarget")?.reason),
  });
  const taints = [{ key: "sick", effect: "NoExecute" }];
  await cluster.admin.update(resourceSlices, {
    ...slice,
    spec: { ...slice.spec, devices: [{ name: "gpu-0", taints }] },
  });
  await cluster.until("gone", () => cluster.list(pods, NAMESPACE).length === 0 && claims().length === 0);
  assert.deepEqual(reasons, ["DeletionByDeviceTaintManager"]);
  const writes = cluster.wire.writes;
  await cluster.advance(30_000);
  assert.equal(cluster.wire.writes, writes, "nothing changes, nothing is written");
});
