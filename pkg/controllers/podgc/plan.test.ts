import assert from "node:assert/strict";
import { test } from "node:test";
import { meta, podOf } from "../testing/objects.ts";
import { missingNodes, outOfService, surplusTerminated, unscheduledTerminating } from "./plan.ts";

const names = (removals: { pod: { metadata: { name: string } } }[]) => removals.map(({ pod }) => pod.metadata.name);

test("finished pods beyond the threshold go, evicted and old ones first", () => {
  const finished = (name: string, created: string, reason?: string) => {
    const pod = podOf(name, { phase: "Failed", created });
    return reason === undefined ? pod : { ...pod, status: { ...pod.status, reason } };
  };
  const pods = [
    finished("new", "2025-12-31T03:00:00Z"),
    finished("old", "2025-12-31T01:00:00Z"),
    finished("evicted", "2025-12-31T04:00:00Z", "Evicted"),
    podOf("running"),
  ];
  assert.deepEqual(names(surplusTerminated(pods, 1)), ["evicted", "old"]);
  assert.deepEqual(names(surplusTerminated(pods, 3)), []);
  assert.deepEqual(names(surplusTerminated(pods, 0)), []);
});

test("pods that nobody can confirm go", () => {
  const waiting = podOf("waiting", { node: "", deleted: true });
  assert.deepEqual(
    names(unscheduledTerminating([waiting, podOf("bound", { deleted: true }), podOf("alive", { node: "" })])),
    ["waiting"],
  );
  const nodes = new Map([
    [
      "node",
      { metadata: meta("node"), spec: { taints: [{ key: "node.kubernetes.io/out-of-service", effect: "NoExecute" }] } },
    ],
  ]);
  const nodeOf = (name: string) => nodes.get(name);
  assert.deepEqual(names(outOfService([podOf("p", { deleted: true }), podOf("q")], nodeOf)), ["p"]);
  assert.deepEqual(
    [...missingNodes([podOf("p"), podOf("q", { node: "gone" }), podOf("r", { node: "" })], nodeOf)],
    ["gone"],
  );
});
