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

test("a shared spec is left alone: it is shared only when it has nothing to forget", () => {
  const spec = stopping({ stopSignal: "SIGUSR1" });
  assert.equal(fields.usedBy({ spec }), true);
  fields.drop({ spec: share(structuredClone(spec)) });
  assert.equal(fields.usedBy({ spec: stopping({}) }), false);
});
