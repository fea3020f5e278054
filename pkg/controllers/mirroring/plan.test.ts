import assert from "node:assert/strict";
import { test } from "node:test";
import type { Endpoints } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { meta } from "../testing/objects.ts";
import { isMirrored, planMirror } from "./plan.ts";

const source = (subsets: Endpoints["subsets"], extra: object = {}): Endpoints => ({
  metadata: meta("svc", {
    labels: { a: "b" },
    annotations: {
      note: "kept",
      "kubectl.kubernetes.io/last-applied-configuration": "{}",
      "endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z",
    },
    ...extra,
  }),
  subsets,
});
const both = [
  {
    addresses: [{ ip: "192.0.2.1" }, { ip: "2001:db8::1" }],
    notReadyAddresses: [{ ip: "192.0.2.2" }],
    ports: [{ port: 80 }],
  },
];

test("each family becomes a slice; labels and annotations follow, what is true of the Endpoints alone does not", () => {
  const { create } = planMirror(source(both), []);
  assert.deepEqual(
    create.map(({ addressType, endpoints }) => [
      addressType,
      endpoints?.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
    ]),
    [
      [
        "IPv4",
        [
          ["192.0.2.1", true],
          ["192.0.2.2", false],
        ],
      ],
      ["IPv6", [["2001:db8::1", true]]],
    ],
  );
  assert.deepEqual(create[0]?.metadata.labels, {
    a: "b",
    "kubernetes.io/service-name": "svc",
    "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
  });
  assert.deepEqual(create[0]?.metadata.annotations, { note: "kept" });
  assert.equal(create[0]?.metadata.ownerReferences?.[0]?.kind, "Endpoints");
});

test("slices follow changes, and nothing is rewritten without one", () => {
  const present = planMirror(source(both), []).create.map((slice, index): EndpointSlice => ({
    ...slice,
    metadata: { ...meta(`s${index}`), ...slice.metadata, name: `s${index}` },
  }));
  assert.deepEqual(planMirror(source(both), present), { create: [], update: [], delete: [] });
  const fewer = planMirror(source([{ addresses: [{ ip: "192.0.2.9" }], ports: [{ port: 80 }] }]), present);
  assert.deepEqual([fewer.create.length, fewer.update.length, fewer.delete.length], [0, 1, 1]);
  assert.equal(planMirror(source(undefined), present).delete.length, 2);
});

test("leader election records and what asks not to be are not mirrored", () => {
  assert.equal(isMirrored(source([])), true);
  assert.equal(isMirrored(source([], { labels: { "endpointslice.kubernetes.io/skip-mirror": "true" } })), false);
  assert.equal(isMirrored(source([], { annotations: { "control-plane.alpha.kubernetes.io/leader": "{}" } })), false);
});
