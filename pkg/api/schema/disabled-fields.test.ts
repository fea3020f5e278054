import assert from "node:assert/strict";
import { test } from "node:test";
import { share } from "#pkg/apimachinery/index.ts";
import { disabledFieldsOf } from "./disabled-fields.ts";

const POD = "io.k8s.api.core.v1.Pod";
const none: ReadonlySet<string> = new Set();
const fields = disabledFieldsOf(POD, none)!;

/** What is left of a pod's spec after a write. */
function left(spec: object, old?: object, on = fields): unknown {
  const object = { spec: structuredClone(spec) };
  on.drop(object, old === undefined ? undefined : { spec: old });
  return object.spec;
}
const stopping = (lifecycle: object, kind = "containers") => ({ [kind]: [{ name: "c", lifecycle }] });

test("fields behind gates that are off are forgotten wherever they stand", () => {
  assert.deepEqual(left({ hostNetwork: true }), { hostNetwork: true });
  for (const kind of ["containers", "initContainers", "ephemeralContainers"]) {
    const signal = stopping({ stopSignal: "SIGUSR1", preStop: { sleep: { seconds: 1 } } }, kind);
    assert.deepEqual(left(signal), stopping({ preStop: { sleep: { seconds: 1 } } }, kind), kind);
  }
  assert.deepEqual(left(stopping({ stopSignal: "SIGUSR1" })), { containers: [{ name: "c" }] }, "nothing of it is left");
  assert.deepEqual(left(stopping({})), stopping({}), "an empty one that had nothing stays");
  const projected = (...sources: object[]) => ({ volumes: [{ name: "v", projected: { sources } }] });
  const bundle = { clusterTrustBundle: { name: "b", path: "b" } };
  const certificate = { podCertificate: { signerName: "a/b", keyType: "ED25519" } };
  assert.deepEqual(
    left(projected(bundle, certificate, { secret: { name: "s" } })),
    projected({}, {}, { secret: { name: "s" } }),
  );
  assert.deepEqual(left({ schedulingGroup: { podGroupName: "g" } }), {});
  const status = { containerStatuses: [{ stopSignal: "SIGUSR1", volumeMounts: [{ volumeStatus: { image: {} } }] }] };
  fields.drop({ status });
  assert.deepEqual(status, { containerStatuses: [{ volumeMounts: [{}] }] });
});

test("a field stays where its gate is on, or was when the object was written", () => {
  const signal = stopping({ stopSignal: "SIGUSR1" });
  assert.deepEqual(left(signal, undefined, disabledFieldsOf(POD, new Set(["ContainerStopSignals"]))), signal);
  assert.deepEqual(left(signal, stopping({ stopSignal: "SIGTERM" })), signal);
  const group = { schedulingGroup: { podGroupName: "g" } };
  assert.deepEqual(left({ ...signal, ...group }, group), { containers: [{ name: "c" }], ...group }, "each for itself");
});

test("templates are pods too, and what nobody gates costs nothing", () => {
  const deployment = { spec: { template: { spec: stopping({ stopSignal: "SIGUSR1" }) } } };
  disabledFieldsOf("io.k8s.api.apps.v1.Deployment", none)!.drop(deployment);
  assert.deepEqual(deployment, { spec: { template: { spec: { containers: [{ name: "c" }] } } } });
  assert.equal(disabledFieldsOf("io.k8s.api.core.v1.ConfigMap", none), undefined);
});

/** What is left of an object of a kind after a write. */
function leftOf(definition: string, object: Record<string, unknown>): unknown {
  const copy = structuredClone(object);
  disabledFieldsOf(definition, none)!.drop(copy);
  return copy;
}

test("alpha fields of kinds that are not pods", () => {
  for (const version of ["v1", "v1beta1"]) {
    const spec = { holderIdentity: "a", strategy: "OldestEmulationVersion", preferredHolder: "b" };
    assert.deepEqual(leftOf(`io.k8s.api.coordination.${version}.Lease`, { spec }), { spec: { holderIdentity: "a" } });
  }
  const attributes = { a: { int: 1 }, b: { strings: ["x"], versions: ["1.0.0"], ints: [1], bools: [true] } };
  const device = { name: "d", attributes, nodeAllocatableResourceMappings: { cpu: {} } };
  const rest = { name: "d", attributes: { a: { int: 1 }, b: {} } };
  for (const version of ["v1", "v1beta2"])
    assert.deepEqual(leftOf(`io.k8s.api.resource.${version}.ResourceSlice`, { spec: { devices: [device] } }), {
      spec: { devices: [rest] },
    });
  const { name, ...basic } = device;
  assert.deepEqual(leftOf("io.k8s.api.resource.v1beta1.ResourceSlice", { spec: { devices: [{ name, basic }] } }), {
    spec: { devices: [{ name, basic: { attributes: rest.attributes } }] },
  });
  const gated = {
    schedulingConstraints: { topology: [{ key: "zone" }] },
    resourceClaims: [{ name: "c" }],
    disruptionMode: "Pod",
    priorityClassName: "high",
    priority: 1,
  };
  const schedulingPolicy = { basic: {} };
  assert.deepEqual(
    leftOf("io.k8s.api.scheduling.v1alpha2.PodGroup", {
      spec: { schedulingPolicy, ...gated },
      status: { resourceClaimStatuses: [{ name: "c" }] },
    }),
    { spec: { schedulingPolicy }, status: {} },
  );
  assert.deepEqual(
    leftOf("io.k8s.api.scheduling.v1alpha2.Workload", {
      spec: { podGroupTemplates: [{ name: "t", schedulingPolicy, ...gated }] },
    }),
    { spec: { podGroupTemplates: [{ name: "t", schedulingPolicy }] } },
  );
});

test("a shared spec is left alone: it is shared only when it has nothing to forget", () => {
  const spec = stopping({ stopSignal: "SIGUSR1" });
  assert.equal(fields.usedBy({ spec }), true);
  fields.drop({ spec: share(structuredClone(spec)) });
  assert.equal(fields.usedBy({ spec: stopping({}) }), false);
});
