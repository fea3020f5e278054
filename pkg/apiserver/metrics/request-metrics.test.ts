import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, Histogram } from "#pkg/util/index.ts";
import { parseTarget } from "../http/target.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";
import { renderResources } from "./resource-metrics.ts";
import { RequestMetrics } from "./request-metrics.ts";

test("a request counts once in each family that it belongs to", async () => {
  let now = 0;
  const sentEvents = new Histogram([1024, 2048]);
  sentEvents.add(2000);
  const seconds = new Histogram([0.005]);
  seconds.add(0.002);
  const requests = { times: new Map([["create", { seconds, errors: 1 }]]) };
  const definition = { group: "", version: "v1", plural: "pods" };
  const pods = { qualifiedName: "pods", definition, cache: { count: () => 3, requests }, sentEvents };
  const registry = {
    lookup: () => pods,
    all: () => [pods].values(),
    storedBytes: () => Promise.resolve(4096),
  } as unknown as ResourceRegistry;
  const metrics = new RequestMetrics(registry, () => now);
  const begin = (method: string, url: string) => metrics.began(parseTarget(method, url));
  const created = begin("POST", "/api/v1/namespaces/a/pods");
  now = 300;
  created(201, 200, false);
  begin("POST", "/api/v1/namespaces/a/pods")(429, 0, true);
  // A budget that forbids an eviction is no self-defense.
  begin("POST", "/api/v1/namespaces/a/pods/b/eviction")(429, 0, false);
  const watched = begin("GET", "/api/v1/namespaces/a/pods?watch=1");
  const shape = 'group="",version="v1",resource="pods",subresource="",scope="namespace"';
  const create = `component="apiserver",${shape},verb="POST"`;
  const lines = (metrics.render() + (await renderResources(registry, new FakeClock()))).split("\n");
  for (const line of [
    `apiserver_request_total{code="201",dry_run="",${create}} 1`,
    `apiserver_request_duration_seconds_bucket{dry_run="",${create},le="0.2"} 1`,
    `apiserver_request_duration_seconds_bucket{dry_run="",${create},le="0.4"} 2`,
    `apiserver_request_sli_duration_seconds_bucket{${create},le="0.05"} 1`,
    `apiserver_request_sli_duration_seconds_bucket{${create},le="0.1"} 2`,
    `apiserver_longrunning_requests{component="apiserver",${shape},verb="WATCH"} 1`,
    'apiserver_current_inflight_requests{request_kind="mutating"} 0',
    'apiserver_storage_objects{resource="pods"} 3',
    'apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} 4096',
    'etcd_requests_total{operation="create",group="",resource="pods"} 1',
    'etcd_request_errors_total{operation="create",group="",resource="pods"} 1',
    'etcd_request_duration_seconds_bucket{operation="create",group="",resource="pods",le="0.005"} 1',
    'apiserver_watch_events_total{group="",version="v1",resource="pods"} 1',
    'apiserver_watch_events_sizes_bucket{group="",version="v1",resource="pods",le="2048"} 1',
    'apiserver_resource_objects{group="",resource="pods"} 3',
  ])
    assert.ok(lines.includes(line), `${line} is not in\n${lines.join("\n")}`);
  const terminated = lines.filter((line) => line.startsWith("apiserver_request_terminations_total{"));
  assert.deepEqual(terminated, [`apiserver_request_terminations_total{code="429",${create}} 1`]);
  watched(200, 0, false);
  assert.match(metrics.render(), /apiserver_longrunning_requests\{.*verb="WATCH"\} 0\n/);
});
