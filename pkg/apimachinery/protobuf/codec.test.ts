import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import protobuf from "protobufjs";
import { SeededRandom } from "#pkg/util/index.ts";
import { isRecord } from "../deep.ts";
import { share } from "../shared.ts";
import { decodeEnvelope, decodeProtobuf, encodeProtobuf, messageNames, wrapUnknown } from "./index.ts";
import { randomObject } from "./random-object.ts";
import { messageFields } from "./tables.ts";

const SPECIAL =
  /\.(Quantity|QuantityValue|Time|MicroTime|Duration|IntOrString|RawExtension|FieldsV1|Verbs|ExtraValue|JSON|JSONSchemaPropsOr\w+)$/;
const ordinary = messageNames().filter((name) => !SPECIAL.test(name));

/** An independent implementation over the same tables. */
function referenceRoot(): protobuf.Root {
  const root = new protobuf.Root();
  for (const message of messageNames()) {
    const dot = message.lastIndexOf(".");
    const type = new protobuf.Type(message.slice(dot + 1));
    for (const { name, number, label, type: fieldType } of messageFields(message)) {
      const safe = name.replaceAll(/[^A-Za-z0-9]/g, "_");
      const resolved = fieldType.includes(".") ? `.${fieldType}` : fieldType;
      type.add(
        label === "map"
          ? new protobuf.MapField(safe, number, "string", resolved)
          : new protobuf.Field(safe, number, resolved, label === "repeated" ? "repeated" : "optional"),
      );
    }
    root.define(message.slice(0, dot)).add(type);
  }
  root.resolveAll();
  return root;
}

test("every message decodes to what was encoded", () => {
  for (const message of ordinary) {
    const roundTrip = (seed: number) => {
      const object = randomObject(new SeededRandom(seed), message, 3);
      assert.deepEqual(decodeProtobuf(message, encodeProtobuf(message, object)), object, message);
    };
    fc.assert(fc.property(fc.nat(), roundTrip), { numRuns: 3 });
  }
});

test("the bytes are those of an independent implementation", () => {
  const root = referenceRoot();
  fc.assert(
    fc.property(fc.constantFrom(...ordinary), fc.nat(), (message, seed) => {
      const bytes = encodeProtobuf(message, randomObject(new SeededRandom(seed), message, 3));
      const type = root.lookupType(message);
      const again = Buffer.from(type.encode(type.decode(bytes)).finish());
      assert.equal(again.toString("hex"), bytes.toString("hex"));
    }),
    { numRuns: 300 },
  );
});

test("what many objects share is written as if each had its own", () => {
  const pod = "k8s.io.api.core.v1.Pod";
  const encodesAlike = (seed: number) => {
    const object: Record<string, unknown> = {
      spec: {},
      ...(randomObject(new SeededRandom(seed), pod, 5) as Record<string, unknown>),
    };
    const expected = encodeProtobuf(pod, object);
    const members = Object.entries(structuredClone(object)).map(([name, value]) => [
      name,
      isRecord(value) ? share(value) : value,
    ]);
    const sharing = Object.fromEntries(members) as Record<string, object>;
    for (let n = 0; n < 2; n++) assert.deepEqual(encodeProtobuf(pod, sharing), expected);
    // A pod that has just been bound: its spec is its own, what is in it is not.
    const bound = { ...sharing, spec: { ...sharing["spec"] } };
    for (let n = 0; n < 2; n++) assert.deepEqual(encodeProtobuf(pod, bound), expected);
  };
  fc.assert(fc.property(fc.nat(), encodesAlike), { numRuns: 100 });
});

test("known bytes", () => {
  const table: [string, unknown, string][] = [
    ["k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta", { name: "a" }, "0a0161"],
    [
      "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta",
      { labels: { b: "2", a: "1" } },
      "5a060a01611201315a060a0162120132",
    ],
    ["k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta", { creationTimestamp: "1970-01-01T00:01:00Z" }, "4204083c1000"],
    ["k8s.io.api.apps.v1.DeploymentSpec", { replicas: 0 }, "0800"],
    ["k8s.io.api.core.v1.ServicePort", { port: 80, targetPort: "http" }, "1850220a080110001a0468747470"],
    ["k8s.io.api.core.v1.ServicePort", { targetPort: -1 }, "220f080010ffffffffffffffffff011a00"],
    ["k8s.io.api.core.v1.ResourceRequirements", { limits: { cpu: "1" } }, "0a0a0a0363707512030a0131"],
    ["k8s.io.api.core.v1.Secret", { data: { k: "aGk=" } }, "12070a016b12026869"],
    ["k8s.io.api.core.v1.Volume", { name: "v", emptyDir: {} }, "0a017612021200"],
    ["k8s.io.api.coordination.v1.LeaseSpec", { renewTime: "1970-01-01T00:00:01.000002Z" }, "2205080110d00f"],
  ];
  for (const [message, object, hex] of table) {
    assert.equal(encodeProtobuf(message, object).toString("hex"), hex, JSON.stringify(object));
    assert.deepEqual(decodeProtobuf(message, Buffer.from(hex, "hex")), object);
  }
});

test("zero values that Go writes for plain fields disappear, those of pointers stay", () => {
  const bytes = (hex: string) => Buffer.from(hex, "hex");
  assert.deepEqual(decodeProtobuf("k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta", bytes("0a01611200220038004200")), {
    name: "a",
  });
  assert.deepEqual(decodeProtobuf("k8s.io.api.core.v1.PodSpec", bytes("1a00200058006000")), {
    terminationGracePeriodSeconds: 0,
  });
  assert.deepEqual(decodeProtobuf("k8s.io.api.coordination.v1.LeaseSpec", bytes("0a00")), { holderIdentity: "" });
});

test("the tables know which scalars keep their zero in JSON", () => {
  const keeps = (message: string, field: string) =>
    messageFields(`k8s.io.api.${message}`).find(({ name }) => name === field)?.keepsZero;
  const pointers: [string, string][] = [
    ["apps.v1.DeploymentSpec", "replicas"],
    ["core.v1.EphemeralContainerCommon", "restartPolicy"],
    ["core.v1.PersistentVolumeClaimSpec", "storageClassName"],
    ["core.v1.PodSpec", "automountServiceAccountToken"],
    ["core.v1.ResourceHealth", "message"],
    ["core.v1.SecurityContext", "runAsUser"],
    ["coordination.v1.LeaseSpec", "holderIdentity"],
    ["discovery.v1.EndpointPort", "name"],
    ["apps.v1.StatefulSetSpec", "serviceName"],
    ["batch.v1.PodFailurePolicyOnPodConditionsPattern", "status"],
    ["certificates.v1.CertificateSigningRequestSpec", "request"],
    ["core.v1.Event", "reportingComponent"],
    ["rbac.v1.RoleRef", "apiGroup"],
  ];
  const values: [string, string][] = [
    ["core.v1.NodeConfigStatus", "error"],
    ["core.v1.PersistentVolumeSpec", "storageClassName"],
    ["core.v1.PodSpec", "hostNetwork"],
    ["core.v1.Probe", "periodSeconds"],
    ["core.v1.EndpointPort", "name"],
    ["core.v1.ContainerRestartRule", "action"],
    ["authentication.v1.TokenReviewSpec", "token"],
    ["networking.v1.ParentReference", "name"],
  ];
  for (const [message, field] of pointers) assert.equal(keeps(message, field), true, `${message} ${field}`);
  for (const [message, field] of values) assert.equal(keeps(message, field), false, `${message} ${field}`);
});

test("hostile bytes fail cleanly", () => {
  const message = "k8s.io.api.core.v1.Pod";
  const table: [string, RegExp][] = [
    ["0aff", /unexpected EOF/],
    ["0affffffff0f", /unexpected EOF/],
    ["0affffffffffffffffff7f", /integer overflow/],
    ["0801", /^ProtobufError: proto: wrong wireType = 0 for field ObjectMeta$/],
    ["9f06", /proto: illegal wireType 7$/],
    ["00", /proto: Pod: illegal tag 0 \(wire type 0\)$/],
    ["0c", /proto: Pod: wiretype end group for non-group$/],
    ["0b".repeat(20), /wrong wireType = 3/],
    ["9b06".repeat(10_000), /unexpected EOF/],
  ];
  for (const [hex, error] of table)
    assert.throws(() => decodeProtobuf(message, Buffer.from(hex, "hex")), error, hex.slice(0, 20));

  const groups = Buffer.from("9b06".repeat(10_000) + "9c06".repeat(10_000), "hex");
  assert.deepEqual(decodeProtobuf(message, groups), {});

  const schemaMessage = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
  let nested: Record<string, unknown> = {};
  for (let i = 0; i < 1200; i++) nested = { not: nested };
  assert.throws(() => decodeProtobuf(schemaMessage, encodeProtobuf(schemaMessage, nested)), /exceeded max depth/);
});

test("envelopes and JSON nested in raw extensions are bounded too", () => {
  let list: Buffer = wrapUnknown({ apiVersion: "v1", kind: "List", raw: Buffer.alloc(0) });
  for (let i = 0; i < 5000; i++) {
    const item = Buffer.concat([Buffer.from([0x0a]), varint(list.length), list]);
    list = wrapUnknown({
      apiVersion: "v1",
      kind: "List",
      raw: Buffer.concat([Buffer.from([0x12]), varint(item.length), item]),
    });
  }
  assert.throws(() => decodeEnvelope(list), { name: "ProtobufError", message: "exceeded max depth" });
  const deep = Buffer.from("[".repeat(20_000) + "]".repeat(20_000));
  const revision = Buffer.concat([Buffer.from([0x0a]), varint(deep.length), deep]);
  const bytes = Buffer.concat([Buffer.from([0x12]), varint(revision.length), revision]);
  assert.throws(
    () => decodeProtobuf("k8s.io.api.apps.v1.ControllerRevision", bytes),
    /raw extension: exceeded max depth/,
  );
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

test("random bytes never do worse than an error of ours", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeProtobuf("k8s.io.api.core.v1.Pod", bytes);
      } catch (error) {
        assert.match((error as Error).name, /^(ProtobufError|DecodeError)$/);
      }
    }),
    { numRuns: 2000 },
  );
});

test("damaged messages of any kind fail cleanly, and what decodes is JSON that encodes again", () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...ordinary), fc.nat(), damage, (message, seed, changes) => {
      const bytes = encodeProtobuf(message, randomObject(new SeededRandom(seed), message, 3));
      for (const [position, value] of changes) if (bytes.length > 0) bytes[position % bytes.length] = value;
      let object: Record<string, unknown>;
      try {
        object = decodeProtobuf(message, bytes);
      } catch (error) {
        assert.match((error as Error).name, /^(ProtobufError|DecodeError)$/, String((error as Error).stack));
        return;
      }
      const json: unknown = JSON.parse(JSON.stringify(object));
      encodeProtobuf(message, json);
    }),
    { numRuns: 2000 },
  );
});

test("objects of the wrong shape are refused by name", () => {
  assert.throws(
    () => encodeProtobuf("k8s.io.api.core.v1.Pod", { spec: { nodeName: 1 } }),
    /nodeName: expected a string, got 1/,
  );
  assert.throws(() => encodeProtobuf("k8s.io.api.core.v1.Pod", { metadata: [] }), /expected an object, got \[\]/);
});

test("a set of fields is written as it is now, unless it can no longer change", () => {
  const message = "k8s.io.apimachinery.pkg.apis.meta.v1.FieldsV1";
  const fields: Record<string, object> = { "f:spec": {} };
  encodeProtobuf(message, fields);
  fields["f:status"] = {};
  assert.equal(String(encodeProtobuf(message, fields).subarray(2)), '{"f:spec":{},"f:status":{}}');
  Object.freeze(fields);
  for (let i = 0; i < 2; i++) {
    assert.equal(String(encodeProtobuf(message, fields).subarray(2)), '{"f:spec":{},"f:status":{}}');
  }
});
