/** Fills ClusterRoles that have an aggregationRule with the rules of the roles it selects. */
import { deepEqual, ignoreNotFound, labelSelectorAsSelector, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { clusterRoles } from "#pkg/api/refs.ts";
import type { ClusterRole, PolicyRule } from "#pkg/api/types/rbac-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { stableJson } from "../common/hash.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";

/** Union of the selected roles' rules, in order of their names, each rule once. */
export function aggregate(role: ClusterRole, all: readonly ClusterRole[]): PolicyRule[] {
  const rules = new Map<string, PolicyRule>();
  const sorted = [...all].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const labelSelector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const selector = labelSelectorAsSelector(labelSelector);
    for (const other of sorted) {
      if (other.metadata.name === role.metadata.name || !selector.matches(other.metadata.labels)) continue;
      for (const rule of other.rules ?? []) rules.set(stableJson(rule), rule);
    }
  }
  return [...rules.values()];
}

/** clusterrole-aggregation-controller. */
export function createClusterRoleAggregationController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const informer = informers.of(clusterRoles);
  const addAll = () => {
    for (const role of informer.lister.list()) if (role.aggregationRule !== undefined) queue.add(role.metadata.name);
  };
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [watching(informer, { onAdd: addAll, onUpdate: addAll, onDelete: addAll })],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(
  { client, informers }: ControllerEnv,
  key: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const { lister } = informers.of(clusterRoles);
  const role = lister.get(key);
  if (role?.aggregationRule === undefined) return DONE;
  const rules = aggregate(role, lister.list());
  if (deepEqual(role.rules ?? [], rules)) return DONE;
  await ignoreNotFound(client.update(clusterRoles, { ...role, rules }, { signal }));
  return DONE;
}
