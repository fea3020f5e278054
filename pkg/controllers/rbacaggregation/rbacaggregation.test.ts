import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterRole } from "#pkg/api/types/rbac-v1.ts";
import { meta } from "../testing/objects.ts";
import { aggregate } from "./rbacaggregation.ts";

const rule = (resource: string) => ({ apiGroups: [""], resources: [resource], verbs: ["get"] });
const role = (name: string, resources: string[], labels: Record<string, string> = {}): ClusterRole => ({
  metadata: meta(name, { labels }),
  rules: resources.map(rule),
});

test("a role collects each rule of the roles that it selects once, never its own", () => {
  const into = { into: "view" };
  const view: ClusterRole = {
    ...role("view", ["own"], into),
    aggregationRule: { clusterRoleSelectors: [{ matchLabels: into }, { matchLabels: { also: "yes" } }] },
  };
  const all = [view, role("b", ["pods", "nodes"], into), role("a", ["nodes"], into), role("c", ["x"], { also: "yes" })];
  assert.deepEqual(aggregate(view, [...all, role("other", ["secrets"])]), ["nodes", "pods", "x"].map(rule));
  assert.deepEqual(aggregate(role("plain", ["pods"]), all), [], "without selectors nothing is collected");
});
