/** Small objects for tests of plans. */
import type { Deployment, ReplicaSet, StatefulSet } from "#pkg/api/types/apps-v1.ts";
import type { Pod, PodTemplateSpec } from "#pkg/api/types/core-v1.ts";
import type { Metadata } from "#pkg/api/types/meta.ts";
import type { ObjectMeta } from "#pkg/api/types/meta-v1.ts";

export const NOW = Date.UTC(2026, 0, 1);
export const EARLIER = "2025-12-31T00:00:00Z";

export function meta(name: string, extra: ObjectMeta = {}): Metadata {
  return { namespace: "ns", uid: `uid-${name}`, resourceVersion: "1", creationTimestamp: EARLIER, ...extra, name };
}

export function templateOf(labels: Record<string, string>, image = "image"): PodTemplateSpec {
  return { metadata: { labels }, spec: { containers: [{ name: "main", image }] } };
}

export interface PodOptions {
  readonly labels?: Record<string, string>;
  readonly owner?: { kind: string; uid: string };
  readonly phase?: string;
  readonly ready?: boolean;
  readonly readySince?: string;
  readonly node?: string;
  readonly deleted?: boolean;
  readonly created?: string;
  readonly annotations?: Record<string, string>;
  readonly finalizers?: string[];
}

export function podOf(name: string, options: PodOptions = {}): Pod {
  const {
    labels,
    owner,
    phase = "Running",
    ready = phase === "Running",
    readySince = EARLIER,
    node = "node",
    deleted,
  } = options;
  return {
    metadata: meta(name, {
      ...(labels === undefined ? {} : { labels }),
      ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
      ...(options.finalizers === undefined ? {} : { finalizers: options.finalizers }),
      ...(owner === undefined
        ? {}
        : { ownerReferences: [{ apiVersion: "v1", name: "owner", controller: true, ...owner }] }),
      ...(deleted === true ? { deletionTimestamp: EARLIER } : {}),
      creationTimestamp: options.created ?? EARLIER,
    }),
    spec: { containers: [{ name: "main", image: "image" }], ...(node === "" ? {} : { nodeName: node }) },
    status: {
      phase,
      conditions: [{ type: "Ready", status: ready ? "True" : "False", lastTransitionTime: readySince }],
    },
  };
}

export function deploymentOf(
  replicas: number,
  spec: Partial<Deployment["spec"]> = {},
  extra: Partial<Deployment> = {},
): Deployment {
  return {
    metadata: meta("web", { generation: 1 }),
    spec: {
      replicas,
      selector: { matchLabels: { app: "web" } },
      template: templateOf({ app: "web" }),
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      progressDeadlineSeconds: 600,
      revisionHistoryLimit: 10,
      ...spec,
    },
    ...extra,
  };
}

export interface ReplicaSetOptions {
  readonly image?: string;
  readonly available?: number;
  readonly status?: number;
  readonly annotations?: Record<string, string>;
  readonly created?: string;
}

export function replicaSetOf(name: string, replicas: number, options: ReplicaSetOptions = {}): ReplicaSet {
  const { image = "image", available = replicas, status = replicas } = options;
  return {
    metadata: meta(name, {
      generation: 1,
      creationTimestamp: options.created ?? EARLIER,
      annotations: { "deployment.kubernetes.io/revision": "1", ...options.annotations },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "Deployment", name: "web", uid: "uid-web", controller: true }],
    }),
    spec: {
      replicas,
      selector: { matchLabels: { app: "web", "pod-template-hash": name } },
      template: templateOf({ app: "web", "pod-template-hash": name }, image),
    },
    status: { replicas: status, readyReplicas: available, availableReplicas: available, observedGeneration: 1 },
  };
}

export function statefulSetOf(
  replicas: number,
  spec: Partial<StatefulSet["spec"]> = {},
  status: StatefulSet["status"] = { replicas: 0 },
): StatefulSet {
  return {
    metadata: meta("db", { generation: 1 }),
    spec: {
      replicas,
      serviceName: "db",
      selector: { matchLabels: { app: "db" } },
      template: templateOf({ app: "db" }),
      updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 0 } },
      ...spec,
    },
    status,
  };
}
