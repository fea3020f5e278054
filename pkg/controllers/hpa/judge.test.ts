import assert from "node:assert/strict";
import { test } from "node:test";
import { notFound } from "#pkg/apimachinery/index.ts";
import type { MetricSpec } from "#pkg/api/types/autoscaling-v2.ts";
import type { Client } from "#pkg/client/index.ts";
import { meta, NOW, podOf } from "../testing/objects.ts";
import { judge, MetricError } from "./judge.ts";
import { MetricsReader } from "./metrics.ts";

const signal = new AbortController().signal;
const pods = ["a", "b"].map((name) => {
  const pod = podOf(name);
  const containers = [{ name: "c", image: "i", resources: { requests: { cpu: "500m" } } }];
  return { ...pod, spec: { ...pod.spec, containers }, status: { ...pod.status, startTime: "2025-12-31T00:00:00Z" } };
});
const timestamp = new Date(NOW).toISOString();

/** An API server that answers with these documents, and knows nothing else. */
function judgeBy(documents: Record<string, unknown>, metric: MetricSpec) {
  const raw = (_method: string, path: string) =>
    path in documents ? Promise.resolve(documents[path]) : Promise.reject(notFound({ group: "", resource: "" }, path));
  const deps = {
    reader: new MetricsReader({ raw } as unknown as Client),
    tuning: { cpuInitializationPeriodMs: 300_000, initialReadinessDelayMs: 30_000 },
    tolerance: { up: 0.1, down: 0.1 },
    now: NOW,
    pluralOf: () => Promise.resolve("ingresses"),
  };
  const spec = { scaleTargetRef: { kind: "Deployment", name: "d" }, maxReplicas: 10 };
  const hpa = { metadata: meta("h", { namespace: "ns" }), spec };
  return judge(deps, { hpa, selector: "app=x", pods, specReplicas: 2, statusReplicas: 2 }, metric, signal);
}
const failureOf = (documents: Record<string, unknown>, metric: MetricSpec) =>
  judgeBy(documents, metric).then(
    () => assert.fail("judged"),
    (error: unknown) => {
      assert.ok(error instanceof MetricError);
      return [error.reason, error.message, error.summary];
    },
  );

const cpu = (target: object): MetricSpec => ({ type: "Resource", resource: { name: "cpu", target: target as never } });
const USE = "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods?labelSelector=app%3Dx";
const usage = (...values: string[]) => ({
  items: values.map((value, index) => ({
    metadata: { name: "ab"[index] },
    timestamp,
    window: "30s",
    containers: [{ name: "c", usage: { cpu: value } }],
  })),
});

test("use of a resource is a share of the requests, or an average", async () => {
  const byShare = await judgeBy({ [USE]: usage("500m", "400m") }, cpu({ type: "Utilization", averageUtilization: 45 }));
  assert.deepEqual(byShare, {
    replicas: 4,
    name: "cpu resource utilization (percentage of request)",
    status: {
      type: "Resource",
      resource: { name: "cpu", current: { averageUtilization: 90, averageValue: "450m" } },
    },
  });
  const average = await judgeBy({ [USE]: usage("1500m", "500m") }, cpu({ type: "AverageValue", averageValue: "500m" }));
  assert.equal(average.replicas, 4);
  assert.deepEqual(average.status.resource?.current, { averageValue: "1" });
  assert.deepEqual(await failureOf({}, cpu({ type: "Utilization", averageUtilization: 45 })), [
    "FailedGetResourceMetric",
    ...Array<string>(2).fill(
      "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)",
    ),
  ]);
});

test("metrics of pods and objects come from the custom metrics API", async () => {
  const group = { "/apis/custom.metrics.k8s.io": { versions: [{ version: "v1beta1" }, { version: "v1beta2" }] } };
  const value = (name: string, amount: string) => ({ describedObject: { name }, timestamp, value: amount });
  const perPod: MetricSpec = {
    type: "Pods",
    pods: { metric: { name: "rps" }, target: { type: "AverageValue", averageValue: "10" } },
  };
  const path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/pods/*/rps?labelSelector=app%3Dx";
  const judged = await judgeBy({ ...group, [path]: { items: [value("a", "30"), value("b", "10")] } }, perPod);
  assert.deepEqual([judged.replicas, judged.name], [4, "pods metric rps"]);
  assert.deepEqual(judged.status.pods?.current, { averageValue: "20" });
  const absent =
    "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered";
  assert.deepEqual(await failureOf({}, perPod), [
    "FailedGetPodsMetric",
    `unable to get metric rps: ${absent}`,
    `failed to get pods metric value: unable to get metric rps: ${absent}`,
  ]);
  const describedObject = { apiVersion: "networking.k8s.io/v1", kind: "Ingress", name: "main" };
  const ofObject: MetricSpec = {
    type: "Object",
    object: { describedObject, metric: { name: "rps" }, target: { type: "Value", value: "100" } },
  };
  const where = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/ns/ingresses.networking.k8s.io/main/rps";
  const object = await judgeBy({ ...group, [where]: { items: [value("main", "250")] } }, ofObject);
  assert.deepEqual([object.replicas, object.name], [5, "Ingress metric rps"]);
  assert.deepEqual(object.status.object?.current, { value: "250" });
});

test("external metrics are summed up", async () => {
  const metric: MetricSpec = {
    type: "External",
    external: {
      metric: { name: "queue", selector: { matchLabels: { q: "mail" } } },
      target: { type: "AverageValue", averageValue: "30" },
    },
  };
  const path = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/queue?labelSelector=q%3Dmail";
  const judged = await judgeBy({ [path]: { items: [{ value: "100" }, { value: "50" }] } }, metric);
  assert.equal(judged.replicas, 5);
  assert.match(judged.name, /^external metric queue\(&LabelSelector\{MatchLabels:map\[string\]string\{q: mail,\},/);
  assert.deepEqual(judged.status.external?.current, { averageValue: "75" });
  const [reason, , summary] = await failureOf({}, metric);
  assert.equal(reason, "FailedGetExternalMetric");
  assert.match(
    summary!,
    /^failed to get queue external metric: unable to get external metric ns\/queue\/&LabelSelector/,
  );
});
