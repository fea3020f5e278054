import assert from "node:assert/strict";
import { test } from "node:test";
import { fitsNode } from "./node-affinity.ts";
import type { Node } from "../types/core-v1.ts";

test("nodes fit by the labels that a pod asks for", () => {
  const node = { metadata: { name: "n1", labels: { cpu: "8", disk: "ssd" } }, spec: {} } as unknown as Node;
  const fits = (key: string, operator: string, ...values: string[]) =>
    fitsNode(
      {
        containers: [],
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key, operator, values }] }],
            },
          },
        },
      },
      node,
    );
  assert.deepEqual(
    [
      fits("disk", "In", "ssd"),
      fits("disk", "NotIn", "ssd"),
      fits("gpu", "NotIn", "x"),
      fits("cpu", "Gt", "4"),
      fits("cpu", "Lt", "4"),
      fits("gpu", "Exists"),
      fits("disk", "Gt", "4"),
      fits("x", "Nonsense"),
    ],
    [true, false, true, true, false, false, false, false],
  );
  assert.equal(fitsNode({ containers: [], nodeSelector: { disk: "ssd" } }, node), true);
  assert.equal(fitsNode({ containers: [], nodeSelector: { disk: "hdd" } }, node), false);
  assert.equal(fitsNode(undefined, node), true);
});
