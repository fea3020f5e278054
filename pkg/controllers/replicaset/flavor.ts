import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { selectorFromSet } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { replicaSets, replicationControllers } from "#pkg/api/refs.ts";
import type { ReplicaSet, ReplicaSetStatus } from "#pkg/api/types/apps-v1.ts";
import type { ReplicationController } from "#pkg/api/types/core-v1.ts";
import { safeSelector } from "../common/claim.ts";
import type { ReplicaOwner } from "./plan.ts";

/** What differs between the kinds that keep a number of equal pods. */
export interface Flavor<T extends AnyObject> {
  readonly resource: ResourceRef<T>;
  readonly apiVersion: string;
  readonly kind: string;
  readonly countsTerminating: boolean;
  view(object: T): ReplicaOwner;
  withStatus(object: T, status: ReplicaSetStatus): T;
}

export const replicaSetFlavor: Flavor<ReplicaSet> = {
  resource: replicaSets,
  apiVersion: "apps/v1",
  kind: "ReplicaSet",
  countsTerminating: true,
  view: ({ metadata, spec, status }) => ({
    generation: metadata.generation ?? 0,
    replicas: spec.replicas ?? 1,
    minReadySeconds: spec.minReadySeconds ?? 0,
    selector: safeSelector(spec.selector),
    template: spec.template,
    deleted: metadata.deletionTimestamp !== undefined,
    status: status ?? { replicas: 0 },
  }),
  withStatus: (object, status) => ({ ...object, status }),
};

export const replicationControllerFlavor: Flavor<ReplicationController> = {
  resource: replicationControllers,
  apiVersion: "v1",
  kind: "ReplicationController",
  countsTerminating: false,
  view: ({ metadata, spec, status }) => ({
    generation: metadata.generation ?? 0,
    replicas: spec.replicas ?? 1,
    minReadySeconds: spec.minReadySeconds ?? 0,
    // An empty selector of a ReplicationController would select every pod of the namespace.
    selector: Object.keys(spec.selector ?? {}).length === 0 ? safeSelector(undefined) : selectorFromSet(spec.selector),
    template: spec.template,
    deleted: metadata.deletionTimestamp !== undefined,
    status: status ?? { replicas: 0 },
  }),
  withStatus: (object, status) => ({ ...object, status }),
};
