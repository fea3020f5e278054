import assert from "node:assert/strict";
import { test } from "node:test";
import type { DaemonSet } from "#pkg/api/types/apps-v1.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { meta, NOW, podOf, templateOf } from "../testing/objects.ts";
import { FailedPodBackoff } from "./backoff.ts";
import { planDaemonSet } from "./plan.ts";
import { draftDaemonPod, nodeVerdict } from "./pod.ts";

const nodeOf = (name: string, extra: Partial<Node["spec"]> = {}, labels: Record<string, string> = {}): Node => ({
  metadata: meta(name, { labels }),
  spec: extra,
});
const setOf = (spec: Partial<DaemonSet["spec"]> = {}): DaemonSet => ({
  metadata: meta("ds", { generation: 1 }),
  spec: { selector: { matchLabels: { app: "ds" } }, template: templateOf({ app: "ds" }), ...spec },
});
const daemon = (name: string, node: string, hash = "new", options: Parameters<typeof podOf>[1] = {}): Pod =>
  podOf(name, { node, labels: { app: "ds", "controller-revision-hash": hash }, ...options });
const nodes = [nodeOf("a"), nodeOf("b"), nodeOf("c")];

function plan(pods: Pod[], daemonSet = setOf(), all = nodes, backoffMs = 0) {
  const result = planDaemonSet({
    daemonSet,
    nodes: all,
    pods,
    hash: "new",
    collisionCount: undefined,
    backoffMs: () => backoffMs,
    now: NOW,
  });
  return { ...result, delete: result.delete.map(({ metadata }) => metadata.name).sort() };
}

test("one pod on every node that tolerates it", () => {
  assert.deepEqual(plan([]).create, ["a", "b", "c"]);
  const tainted = nodeOf("t", { taints: [{ key: "k", effect: "NoSchedule" }] });
  const cordoned = nodeOf("u", {
    unschedulable: true,
    taints: [{ key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" }],
  });
  assert.deepEqual(plan([], setOf(), [tainted, cordoned]).create, ["u"]);
  const labelled = nodeOf("l", {}, { disk: "ssd" });
  const template = { ...templateOf({ app: "ds" }), spec: { containers: [], nodeSelector: { disk: "ssd" } } };
  assert.deepEqual(plan([], setOf({ template }), [...nodes, labelled]).create, ["l"]);
});

test("a NoExecute taint drives the pod away, a NoSchedule taint lets it stay", () => {
  const noExecute = nodeOf("a", { taints: [{ key: "k", effect: "NoExecute" }] });
  const noSchedule = nodeOf("b", { taints: [{ key: "k", effect: "NoSchedule" }] });
  assert.deepEqual(plan([daemon("p", "a"), daemon("q", "b")], setOf(), [noExecute, noSchedule]).delete, ["p"]);
  assert.deepEqual(nodeVerdict(setOf(), noSchedule), { run: false, stay: true });
});

test("surplus and finished pods go, the latter with backoff", () => {
  const older = daemon("older", "a", "new", { created: "2025-12-30T00:00:00Z" });
  const pods = [older, daemon("younger", "a"), daemon("b", "b", "new", { phase: "Failed" }), daemon("c", "c")];
  assert.deepEqual(plan(pods).delete, ["b", "younger"]);
  const waiting = plan([daemon("b", "b", "new", { phase: "Failed" })], setOf(), [nodeOf("b")], 4000);
  assert.deepEqual([waiting.delete, waiting.requeueAfterMs], [[], 4000]);
  const backoff = new FailedPodBackoff();
  backoff.next("k", 0);
  assert.equal(backoff.remaining("k", 400), 600);
  backoff.next("k", 1000);
  assert.equal(backoff.remaining("k", 1000), 2000);
});

test("a rolling update replaces what is unavailable at once, the rest within bounds", () => {
  const rolling = (rollingUpdate: object) => setOf({ updateStrategy: { type: "RollingUpdate", rollingUpdate } });
  const old = [daemon("a", "a", "old"), daemon("b", "b", "old"), daemon("c", "c", "old")];
  assert.equal(plan(old, rolling({ maxUnavailable: 1 })).delete.length, 1);
  assert.equal(plan(old, rolling({ maxUnavailable: "100%" })).delete.length, 3);
  const broken = [daemon("a", "a", "old", { ready: false }), old[1]!, old[2]!];
  assert.deepEqual(plan(broken, rolling({ maxUnavailable: 1 })).delete, ["a"]);
  assert.deepEqual(plan(old, setOf({ updateStrategy: { type: "OnDelete" } })).delete, []);
});

test("a surge starts the new pod beside the old one and removes that when it is available", () => {
  const surging = setOf({
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
  });
  const old = [daemon("a", "a", "old"), daemon("b", "b", "old"), daemon("c", "c", "old")];
  assert.deepEqual(plan(old, surging).create, ["a"]);
  const starting = [...old, daemon("a2", "a", "new", { ready: false })];
  assert.deepEqual([plan(starting, surging).create, plan(starting, surging).delete], [[], []]);
  assert.deepEqual(plan([...old, daemon("a2", "a")], surging).delete, ["a"]);
});

test("status counts nodes", () => {
  const { status } = plan([daemon("a", "a"), daemon("b", "b", "old", { ready: false }), daemon("x", "gone")]);
  assert.deepEqual(status, {
    observedGeneration: 1,
    desiredNumberScheduled: 3,
    currentNumberScheduled: 2,
    numberMisscheduled: 0,
    numberReady: 1,
    updatedNumberScheduled: 1,
    numberAvailable: 1,
    numberUnavailable: 2,
  });
});

test("daemon pods are pinned to their node and tolerate its troubles", () => {
  const draft = draftDaemonPod(setOf(), "a", "hash");
  const terms = draft.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  assert.deepEqual(terms, [{ matchFields: [{ key: "metadata.name", operator: "In", values: ["a"] }] }]);
  assert.equal(draft.spec.tolerations?.length, 6);
  assert.equal(draft.metadata.labels?.["controller-revision-hash"], "hash");
  // A pod that waits for the scheduler counts for its node; one whose node is gone is taken back.
  const waiting: Pod = {
    metadata: meta("w", { labels: draft.metadata.labels }),
    spec: draft.spec,
    status: { phase: "Pending" },
  };
  assert.deepEqual(plan([waiting], setOf(), [nodeOf("a")]).create, []);
  assert.deepEqual(plan([waiting], setOf(), [nodeOf("b")]).delete, ["w"]);
});
