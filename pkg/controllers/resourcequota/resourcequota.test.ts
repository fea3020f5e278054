import assert from "node:assert/strict";
import { test } from "node:test";
import type { ResourceQuota } from "#pkg/api/types/core-v1.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { meta, podOf, type PodOptions } from "../testing/objects.ts";
import { type Counted, holdBack, planStatus } from "./resourcequota.ts";

const clock = new FakeClock();
const quota = (hard: Record<string, string>, extra: Partial<ResourceQuota> = {}): ResourceQuota => ({
  ...extra,
  metadata: meta("quota"),
  spec: { hard, ...extra.spec },
});
function pod(name: string, cpu: string, options: PodOptions = {}): KubeObject {
  const made = podOf(name, options);
  const resources = cpu === "" ? {} : { requests: { cpu } };
  return { ...made, spec: { ...made.spec, containers: [{ name: "main", image: "image", resources }] } } as KubeObject;
}
const pods = (...objects: KubeObject[]): Counted => ({ group: "", plural: "pods", objects });
const sets: Counted = {
  group: "apps",
  plural: "replicasets",
  objects: [{ metadata: meta("a") }, { metadata: meta("b") }] as unknown as KubeObject[],
};
const used = (of: ResourceQuota, ...counted: Counted[]) => planStatus(of, counted, clock)?.used;

test("what is limited is summed over everything there, and nothing else", () => {
  const amounts = { pods: "5", "requests.cpu": "2", "count/replicasets.apps": "3", secrets: "1" };
  const hard = { ...amounts, "count/nosuch.group": "1", "count/gone.group": "1" };
  const of = quota(hard, { status: { used: { "count/gone.group": "3" } } });
  const secrets: Counted = { group: "", plural: "secrets", objects: [] };
  assert.deepEqual(used(of, pods(pod("a", "250m"), pod("b", "1")), sets, secrets), {
    pods: "2",
    "requests.cpu": "1250m",
    "count/replicasets.apps": "2",
    secrets: "0",
    "count/gone.group": "3",
  });
});

test("pods that are over use nothing but their place", () => {
  const over = [pod("a", "1", { phase: "Succeeded" }), pod("b", "1", { phase: "Failed" })];
  const hard = { pods: "5", "requests.cpu": "2", "count/pods": "9" };
  assert.deepEqual(used(quota(hard), pods(...over)), { pods: "0", "requests.cpu": "0", "count/pods": "2" });
});

test("a scope leaves out what is not in it", () => {
  const spec = { scopes: ["BestEffort"], hard: { pods: "5" } };
  assert.deepEqual(used(quota({}, { spec }), pods(pod("a", "1"), pod("b", ""))), { pods: "1" });
});

test("a status that says the same in other words is left alone, one for other limits is not", () => {
  const status = { hard: { "requests.cpu": "2" }, used: { "requests.cpu": "1.0" } };
  const one = pods(pod("a", "1000m"));
  assert.equal(planStatus(quota({ "requests.cpu": "2" }, { status }), [one], clock), undefined);
  assert.deepEqual(planStatus(quota({ "requests.cpu": "3" }, { status }), [one], clock), {
    hard: { "requests.cpu": "3" },
    used: { "requests.cpu": "1" },
  });
  assert.deepEqual(used(quota({}, { status }), one), {}, "nothing is limited any more");
});

test("a charge whose object the cache may not show yet is not taken back", () => {
  const hard = { services: "2", "services.nodeports": "1", pods: "5", "requests.cpu": "2" };
  const charged = { services: "2", "services.nodeports": "1", pods: "3", "requests.cpu": "1" };
  const of = quota(hard, { status: { hard, used: charged } });
  const planned = { hard, used: { services: "1", "services.nodeports": "0", pods: "2", "requests.cpu": "1500m" } };
  const services = { group: "", plural: "services" };
  assert.equal(holdBack(of, planned, []), planned, "everything is known to be there");
  const held = { services: "2", "services.nodeports": "1", pods: "2", "requests.cpu": "1500m" };
  assert.deepEqual(holdBack(of, planned, [services]).used, held);
  assert.deepEqual(holdBack(of, planned, [services, { group: "", plural: "pods" }]).used, {
    ...charged,
    "requests.cpu": "1500m",
  });
  assert.equal(holdBack(of, { hard, used: charged }, [services]).used, charged, "nothing falls");
});
