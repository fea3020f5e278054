import { isDeepStrictEqual } from "node:util";
import type { AnyObject, KubeObject } from "#pkg/apimachinery/index.ts";
import type { ClusterRole, ClusterRoleBinding, Subject } from "#pkg/api/types/rbac-v1.ts";
import { KeyExistsError, type ResourceCache, RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { type Clock, formatTime, type Logger, type Random } from "#pkg/util/index.ts";
import { compileRule, missingRights } from "../authz/rules.ts";
import {
  AUTOUPDATE_ANNOTATION,
  clusterDnsObjects,
  defaultRbacObjects,
  type Draft,
  kubeadmBindings,
  podGroupObjects,
  storageMigrationObjects,
} from "./objects.ts";

export type StoredCache = Pick<ResourceCache, "get" | "create" | "update" | "delete">;

export interface BootstrapDeps {
  /** The cache of a resource, e.g. ("rbac.authorization.k8s.io", "roles"). */
  cache(group: string, plural: string): StoredCache;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** Another server may be bootstrapping at the same time: a lost race is looked at again this often. */
const ATTEMPTS = 5;

function mutableCopy(object: AnyObject): KubeObject {
  return JSON.parse(JSON.stringify(object)) as KubeObject;
}

/** Creates the object unless it is there; otherwise stores what `merge` makes of it (undefined: leave it). */
export async function ensureObject(
  deps: BootstrapDeps,
  cache: StoredCache,
  wanted: AnyObject,
  merge: (current: KubeObject) => KubeObject | undefined,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const current = await cache.get(wanted.metadata.namespace ?? "", wanted.metadata.name ?? "");
      if (current === undefined) {
        const object = mutableCopy(wanted);
        object.metadata.uid = deps.random.uuid();
        object.metadata.creationTimestamp = formatTime(deps.clock.now());
        await cache.create(object);
        return;
      }
      const merged = merge(mutableCopy(current.object));
      if (merged !== undefined) await cache.update(current, merged);
      return;
    } catch (error) {
      const lostRace = error instanceof KeyExistsError || error instanceof RevisionConflictError;
      if (!lostRace || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Adds labels and annotations that are missing. True when something was added. */
function mergeMetadata(current: KubeObject, wanted: AnyObject): boolean {
  let changed = false;
  for (const field of ["labels", "annotations"] as const) {
    for (const [key, value] of Object.entries(wanted.metadata[field] ?? {})) {
      const map = (current.metadata[field] ??= {});
      if (map[key] !== undefined) continue;
      map[key] = value;
      changed = true;
    }
  }
  return changed;
}

function autoupdates(object: KubeObject): boolean {
  return object.metadata.annotations?.[AUTOUPDATE_ANNOTATION] !== "false";
}

/** The role with the default rules it lacks; undefined when it lacks nothing or must be left alone. */
function mergeRole(current: KubeObject, wanted: Draft<ClusterRole>): KubeObject | undefined {
  if (!autoupdates(current)) return undefined;
  let changed = mergeMetadata(current, wanted);
  const role = current as KubeObject & ClusterRole;
  if (wanted.aggregationRule === undefined) {
    const missing = (wanted.rules ?? []).filter(
      (rule) => missingRights((role.rules ?? []).map(compileRule), [rule]).length > 0,
    );
    if (missing.length > 0) {
      role.rules = [...(role.rules ?? []), ...missing];
      changed = true;
    }
  } else {
    const selectors = (role.aggregationRule ??= {}).clusterRoleSelectors ?? [];
    const missing = (wanted.aggregationRule.clusterRoleSelectors ?? []).filter(
      (s) => !selectors.some((own) => isDeepStrictEqual(own, s)),
    );
    if (missing.length > 0) {
      role.aggregationRule.clusterRoleSelectors = [...selectors, ...missing];
      changed = true;
    }
  }
  return changed ? current : undefined;
}

function sameSubject(a: Subject, b: Subject): boolean {
  return a.kind === b.kind && a.name === b.name && (a.namespace ?? "") === (b.namespace ?? "");
}

/** The binding with the default subjects it lacks. Its roleRef is immutable and stays what it is. */
function mergeBinding(current: KubeObject, wanted: Draft<ClusterRoleBinding>): KubeObject | undefined {
  if (!autoupdates(current)) return undefined;
  let changed = mergeMetadata(current, wanted);
  const binding = current as KubeObject & ClusterRoleBinding;
  const missing = (wanted.subjects ?? []).filter(
    (subject) => !(binding.subjects ?? []).some((own) => sameSubject(own, subject)),
  );
  if (missing.length > 0) {
    binding.subjects = [...(binding.subjects ?? []), ...missing];
    changed = true;
  }
  return changed ? current : undefined;
}

const GROUP = "rbac.authorization.k8s.io";

/**
 * Creates the default RBAC objects and adds what existing ones lack, unless they opted out with
 * `rbac.authorization.kubernetes.io/autoupdate=false`. Idempotent, safe with several servers at once.
 */
export async function bootstrapRbac(
  deps: BootstrapDeps,
  features: { podGroups?: boolean; storageMigration?: boolean } = {},
): Promise<void> {
  const objects = defaultRbacObjects();
  const role = (wanted: Draft<ClusterRole>) => (current: KubeObject) => mergeRole(current, wanted);
  const binding = (wanted: Draft<ClusterRoleBinding>) => (current: KubeObject) => mergeBinding(current, wanted);
  const own = [
    clusterDnsObjects(),
    ...(features.podGroups === true ? [podGroupObjects()] : []),
    ...(features.storageMigration === true ? [storageMigrationObjects()] : []),
  ];
  const clusterRoles = deps.cache(GROUP, "clusterroles");
  const clusterRoleBindings = deps.cache(GROUP, "clusterrolebindings");
  const roles = deps.cache(GROUP, "roles");
  const roleBindings = deps.cache(GROUP, "rolebindings");
  await Promise.all([
    ...[...objects.clusterRoles, ...own.map(({ role: theirs }) => theirs)].map((wanted) =>
      ensureObject(deps, clusterRoles, wanted, role(wanted)),
    ),
    ...objects.roles.map((wanted) => ensureObject(deps, roles, wanted, role(wanted))),
    ...[...objects.clusterRoleBindings, ...own.map(({ binding: theirs }) => theirs)].map((wanted) =>
      ensureObject(deps, clusterRoleBindings, wanted, binding(wanted)),
    ),
    ...objects.roleBindings.map((wanted) => ensureObject(deps, roleBindings, wanted, binding(wanted))),
    ...kubeadmBindings().map((wanted) => ensureObject(deps, clusterRoleBindings, wanted, () => undefined)),
  ]);
  deps.log.info({ clusterRoles: objects.clusterRoles.length }, "Reconciled default RBAC objects");
}

const SYSTEM_NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];
const SYSTEM_PRIORITY_CLASSES = [
  {
    name: "system-node-critical",
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  },
  {
    name: "system-cluster-critical",
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
];

/** Creates the namespaces and priority classes every cluster has. Idempotent. */
export async function bootstrapSystemObjects(deps: BootstrapDeps): Promise<void> {
  const namespaces = deps.cache("", "namespaces");
  const priorityClasses = deps.cache("scheduling.k8s.io", "priorityclasses");
  const leave = (): undefined => undefined;
  await Promise.all([
    ...SYSTEM_NAMESPACES.map((name) => {
      const namespace = {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { "kubernetes.io/metadata.name": name } },
        spec: { finalizers: ["kubernetes"] },
        status: { phase: "Active" },
      };
      return ensureObject(deps, namespaces, namespace, leave);
    }),
    ...SYSTEM_PRIORITY_CLASSES.map(({ name, value, description }) => {
      const priorityClass = {
        apiVersion: "scheduling.k8s.io/v1",
        kind: "PriorityClass",
        metadata: { name, generation: 1 },
        value,
        description,
        preemptionPolicy: "PreemptLowerPriority",
      };
      return ensureObject(deps, priorityClasses, priorityClass, leave);
    }),
  ]);
}

/**
 * Writes down since when uses of legacy service account tokens are noted: without that nobody could tell an unused token
 * from one whose use was not seen. Idempotent.
 */
export async function bootstrapLegacyTokenTracking(deps: BootstrapDeps): Promise<void> {
  const since = new Date(deps.clock.now()).toISOString().slice(0, 10);
  const wanted = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "kube-apiserver-legacy-service-account-token-tracking", namespace: "kube-system" },
    data: { since },
  };
  await ensureObject(deps, deps.cache("", "configmaps"), wanted, (current) => {
    const known = (current["data"] as { since?: string } | undefined)?.since ?? "";
    return Number.isNaN(Date.parse(known)) ? { ...current, data: { since } } : undefined;
  });
}

export interface ExtensionAuthentication {
  /** PEM of the authority clients are signed by. */
  readonly clientCa: string;
  /** PEM of the authority front proxies are signed by, and the names they may have. */
  readonly requestHeaderCa: string;
  readonly allowedNames: readonly string[];
}

/**
 * Writes ConfigMap kube-system/extension-apiserver-authentication, from which aggregated API servers learn whom to
 * trust. Kept at what this server says. Idempotent.
 */
export async function bootstrapExtensionAuthentication(
  deps: BootstrapDeps,
  trust: ExtensionAuthentication,
): Promise<void> {
  const data = {
    "client-ca-file": trust.clientCa,
    "requestheader-allowed-names": JSON.stringify(trust.allowedNames),
    "requestheader-client-ca-file": trust.requestHeaderCa,
    "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    "requestheader-group-headers": '["X-Remote-Group"]',
    "requestheader-uid-headers": '["X-Remote-Uid"]',
    "requestheader-username-headers": '["X-Remote-User"]',
  };
  const wanted = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "extension-apiserver-authentication", namespace: "kube-system" },
    data,
  };
  await ensureObject(deps, deps.cache("", "configmaps"), wanted, (current) =>
    isDeepStrictEqual(current["data"], data) ? undefined : { ...current, data },
  );
}
