import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { cSINodes, persistentVolumeClaims, persistentVolumes, storageClasses } from "#pkg/api/refs.ts";
import type { PersistentVolumeClaim } from "#pkg/api/types/core-v1.ts";
import { waitFor } from "#pkg/client/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { startCluster } from "../testing/cluster.ts";
import type { TestCluster } from "../testing/cluster.ts";

const wait = { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 };
const key = (name: string) => ({ namespace: "default", name });
const uses = (...claims: string[]) => ({
  volumes: claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
});

describe("volumes", () => {
  let cluster: TestCluster;
  const addClaim = (name: string, spec: Partial<PersistentVolumeClaim["spec"]> = {}) =>
    cluster.client.create(persistentVolumeClaims, {
      metadata: { namespace: "default", name },
      spec: {
        accessModes: ["ReadWriteOnce"],
        resources: { requests: { storage: "1Gi" } },
        storageClassName: "local",
        ...spec,
      },
    });
  const addVolume = (name: string, node: string, spec: object = {}) =>
    cluster.client
      .create(persistentVolumes, {
        metadata: { name },
        spec: {
          accessModes: ["ReadWriteOnce"],
          capacity: { storage: "10Gi" },
          storageClassName: "local",
          local: { path: "/mnt" },
          nodeAffinity: {
            required: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [node] }] },
              ],
            },
          },
          ...spec,
        },
      })
      .then(() =>
        cluster.client.patch(
          persistentVolumes,
          { namespace: "", name },
          "merge",
          { status: { phase: "Available" } },
          { subresource: "status" },
        ),
      );
  /** What the volume controller does once it sees the scheduler's choice. */
  const completeBinding = async (claim: string, volume: string) => {
    await cluster.client.patch(persistentVolumeClaims, key(claim), "merge", { spec: { volumeName: volume } });
    await cluster.client.patch(
      persistentVolumeClaims,
      key(claim),
      "merge",
      { status: { phase: "Bound" } },
      { subresource: "status" },
    );
  };
  before(async () => {
    cluster = await startCluster();
    for (const name of ["n1", "n2", "n3"]) await cluster.addNode(name);
    await cluster.client.create(storageClasses, {
      metadata: { name: "local" },
      provisioner: "kubernetes.io/no-provisioner",
      volumeBindingMode: "WaitForFirstConsumer",
    });
    await cluster.client.create(storageClasses, {
      metadata: { name: "dynamic" },
      provisioner: "csi.example.com",
      volumeBindingMode: "WaitForFirstConsumer",
    });
    await cluster.client.create(storageClasses, {
      metadata: { name: "at-once" },
      provisioner: "csi.example.com",
      volumeBindingMode: "Immediate",
    });
  });
  after(() => cluster.close());

  it("puts the pod where a volume fits its claim, and claims that volume", async () => {
    await addVolume("pv-n2", "n2");
    await addClaim("data");
    await cluster.addPod("db", uses("data"));
    const volume = await waitFor(async () => {
      const current = await cluster.client.get(persistentVolumes, { namespace: "", name: "pv-n2" });
      return current.spec?.claimRef === undefined ? undefined : current;
    }, wait);
    assert.equal(volume.spec?.claimRef?.name, "data");
    assert.equal((await cluster.pod("db")).spec.nodeName, undefined, "the pod waits for its volume");
    await completeBinding("data", "pv-n2");
    assert.equal((await cluster.bound("db")).spec.nodeName, "n2");
  });

  it("says that no volume is left", async () => {
    await addClaim("second");
    await cluster.addPod("second-db", uses("second"));
    assert.match(
      await cluster.refusal("second-db"),
      /^0\/3 nodes are available: 3 node\(s\) didn't find available persistent volumes to bind\./,
    );
    await addVolume("pv-n3", "n3");
    await waitFor(
      async () =>
        (await cluster.client.get(persistentVolumes, { namespace: "", name: "pv-n3" })).spec?.claimRef !== undefined,
      wait,
    );
    await completeBinding("second", "pv-n3");
    assert.equal((await cluster.bound("second-db")).spec.nodeName, "n3", "a new volume wakes the pod");
  });

  it("asks the provisioner for a volume on the chosen node", async () => {
    await addClaim("made", { storageClassName: "dynamic" });
    await cluster.addPod("consumer", uses("made"));
    const claim = await waitFor(async () => {
      const current = await cluster.client.get(persistentVolumeClaims, key("made"));
      return current.metadata.annotations?.["volume.kubernetes.io/selected-node"] === undefined ? undefined : current;
    }, wait);
    await completeBinding("made", "pv-made");
    const pod = await cluster.bound("consumer");
    assert.equal(pod.spec.nodeName, claim.metadata.annotations?.["volume.kubernetes.io/selected-node"]);
  });

  it("names a missing claim, one that is not bound, and one that another pod has for itself", async () => {
    await cluster.addPod("lost", uses("nowhere"));
    assert.match(
      await cluster.refusal("lost"),
      /^0\/3 nodes are available: persistentvolumeclaim "nowhere" not found\./,
    );
    await addClaim("slow", { storageClassName: "at-once" });
    await cluster.addPod("early", uses("slow"));
    assert.match(
      await cluster.refusal("early"),
      /^0\/3 nodes are available: pod has unbound immediate PersistentVolumeClaims\./,
    );

    await addVolume("pv-one", "n1", { accessModes: ["ReadWriteOncePod"] });
    await addClaim("one", { accessModes: ["ReadWriteOncePod"] });
    await completeBinding("one", "pv-one");
    await cluster.addPod("owner", uses("one"));
    await cluster.bound("owner");
    await cluster.addPod("rival", uses("one"));
    assert.match(
      await cluster.refusal("rival"),
      /3 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode/,
    );
  });

  it("does not exceed the number of volumes a driver allows, and keeps to a volume's zone", async () => {
    const drivers = [{ name: "csi.example.com", nodeID: "n", allocatable: { count: 1 } }];
    for (const name of ["n1", "n2", "n3"])
      await cluster.client.create(cSINodes, { metadata: { name }, spec: { drivers } });
    const csi = (handle: string) => ({
      local: undefined,
      nodeAffinity: undefined,
      csi: { driver: "csi.example.com", volumeHandle: handle },
    });
    for (const name of ["c1", "c2", "c3", "c4"]) {
      await addVolume(`pv-${name}`, "n1", csi(name));
      await addClaim(name);
      await completeBinding(name, `pv-${name}`);
      await cluster.addPod(name, uses(name));
    }
    const places = await Promise.all(["c1", "c2", "c3"].map(async (name) => (await cluster.bound(name)).spec.nodeName));
    assert.equal(new Set(places).size, 3);
    assert.match(await cluster.refusal("c4"), /3 node\(s\) exceed max volume count/);

    await cluster.addNode("zoned", { labels: { "topology.kubernetes.io/zone": "a" } });
    await addVolume("pv-zoned", "n1", { nodeAffinity: undefined, local: undefined, hostPath: { path: "/mnt" } });
    await cluster.client.patch(persistentVolumes, { namespace: "", name: "pv-zoned" }, "merge", {
      metadata: { labels: { "topology.kubernetes.io/zone": "a__b" } },
    });
    await addClaim("zoned");
    await completeBinding("zoned", "pv-zoned");
    await cluster.addPod("in-zone", uses("zoned"));
    assert.equal((await cluster.bound("in-zone")).spec.nodeName, "zoned");
  });
});
