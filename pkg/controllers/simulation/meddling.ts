/** What people change by hand in objects that controllers look after. */
import { controllerOf, keyOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import {
  controllerRevisions,
  daemonSets,
  deployments,
  endpoints,
  endpointSlices,
  pods,
  replicaSets,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { isPodActive } from "../common/pods.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { STRAY } from "./invariants.ts";

export interface Edit {
  readonly text: string;
  run(): Promise<unknown>;
}

/** One edit of each sort for which there is an object, chosen by the cluster's dice. */
export function editsByHand(cluster: SimulatedCluster, namespace: string): Edit[] {
  const { admin, random } = cluster;
  const edits: Edit[] = [];
  const on = <T extends AnyObject>(
    resource: ResourceRef<T>,
    text: string,
    run: (object: T) => Promise<unknown>,
    isFit: (object: T) => boolean = () => true,
  ) => {
    const found = cluster.list(resource, namespace).filter(isFit);
    const object = found[random.int(Math.max(1, found.length))];
    if (object !== undefined) edits.push({ text: `${text} ${object.metadata.name}`, run: () => run(object) });
  };
  on(pods, "orphan", (pod) => admin.patch(pods, keyOf(pod), "merge", { metadata: { ownerReferences: null } }), isKept);
  on(
    pods,
    "relabel",
    (pod) => admin.patch(pods, keyOf(pod), "merge", { metadata: { labels: { app: STRAY } } }),
    isKept,
  );
  on(replicaSets, "scale", (set) =>
    admin.patch(replicaSets, keyOf(set), "merge", { spec: { replicas: random.int(4) } }),
  );
  on(replicaSets, "delete", (set) => admin.delete(replicaSets, keyOf(set), { propagationPolicy: "Background" }));
  on(endpointSlices, "empty", (slice) => admin.patch(endpointSlices, keyOf(slice), "merge", { endpoints: [] }));
  on(endpoints, "empty", (object) => admin.patch(endpoints, keyOf(object), "merge", { subsets: null }));
  on(controllerRevisions, "delete revision", (revision) => admin.delete(controllerRevisions, keyOf(revision)));
  for (const resource of [deployments, statefulSets, daemonSets] as ResourceRef<AnyObject>[])
    on(resource, "forget the status of", (object) =>
      admin.patch(resource, keyOf(object), "merge", { status: null }, { subresource: "status" }),
    );
  return edits;
}

/** Its owner makes up for it; a Job would have to count it. */
function isKept(pod: Pod): boolean {
  const owner = controllerOf(pod);
  return isPodActive(pod) && owner !== undefined && owner.kind !== "Job";
}
