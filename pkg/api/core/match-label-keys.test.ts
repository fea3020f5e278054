import assert from "node:assert/strict";
import { test } from "node:test";
import { created } from "../testing/strategies.ts";
import type { Pod } from "../types/core-v1.ts";

test("matchLabelKeys become expressions with the pod's own values", () => {
  const labelSelector = { matchLabels: { app: "web" } };
  const term = {
    topologyKey: "zone",
    labelSelector,
    matchLabelKeys: ["hash", "absent"],
    mismatchLabelKeys: ["tenant"],
  };
  const { spec } = created("Pod", {
    metadata: { labels: { app: "web", hash: "h1", tenant: "t1" } },
    spec: {
      containers: [{ name: "c", image: "x" }],
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } },
    },
  }) as unknown as Pod;
  const [merged] = spec!.affinity!.podAntiAffinity!.requiredDuringSchedulingIgnoredDuringExecution!;
  assert.deepEqual(merged!.labelSelector, {
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "hash", operator: "In", values: ["h1"] },
      { key: "tenant", operator: "NotIn", values: ["t1"] },
    ],
  });
});

test("a gated pod says so from the start", () => {
  const { status } = created("Pod", {
    spec: { containers: [{ name: "c", image: "x" }], schedulingGates: [{ name: "example.com/wait" }] },
  }) as unknown as Pod;
  assert.equal(status!.conditions![0]!.reason, "SchedulingGated");
});
