/** A whole API server over the memory store, with real RBAC and admission, reached without a network. */
import { builtinResources, type ResourceDefinition } from "#pkg/api/index.ts";
import type { ResourceQuota } from "#pkg/api/types/core-v1.ts";
import type { AnyObject, UserInfo } from "#pkg/apimachinery/index.ts";
import { createAdmissionChain } from "#pkg/apiserver/admission/index.ts";
import { createAuthorizer, createAuthzReviews, forbiddenError, RbacEscalation } from "#pkg/apiserver/authz/index.ts";
import { bootstrapRbac, bootstrapSystemObjects, systemNodeRules } from "#pkg/apiserver/bootstrap/index.ts";
import { type ApiHandler, type ApiServer, createApiServer, createResourceRegistry } from "#pkg/apiserver/index.ts";
import { CacheSource } from "#pkg/apiserver/source/index.ts";
import { type KeyValue, openMemoryStore, type Store } from "#pkg/storage/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";

export const ADMIN: UserInfo = { name: "admin", groups: ["system:masters", "system:authenticated"] };

/** The identity of a controller: its service account, the controller manager for "", or a system user. */
export function controllerUser(account: string): UserInfo {
  if (account.startsWith("system:")) return { name: account, groups: ["system:authenticated"] };
  return account === ""
    ? { name: "system:kube-controller-manager", groups: ["system:authenticated"] }
    : {
        name: `system:serviceaccount:kube-system:${account}`,
        groups: ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
      };
}

/** What many clusters of one process may begin with instead of making it again. Nothing in it ever changes. */
export interface Foundation {
  readonly resources: readonly ResourceDefinition[];
  /** What a cluster without nodes holds when its controllers have come to rest. */
  readonly contents: readonly KeyValue[];
  /** The time it had become by then. */
  readonly now: number;
}

export interface SimulatedApi {
  readonly handler: ApiHandler;
  readonly server: ApiServer;
  readonly store: Store;
  readonly resources: readonly ResourceDefinition[];
}

export async function startApi(deps: {
  clock: Clock;
  random: Random;
  log: Logger;
  signal: AbortSignal;
  foundation?: Foundation | undefined;
}): Promise<SimulatedApi> {
  const { clock, random, log, signal, foundation } = deps;
  const store = openMemoryStore({ clock, contents: foundation?.contents ?? [] });
  const resources = foundation?.resources ?? builtinResources();
  const registry = createResourceRegistry({ store, clock, log, resources });
  await registry.ready();
  const cache = (group: string, plural: string) => registry.cache(group, plural);
  const bootstrap = { cache, clock, random, log };
  if (foundation === undefined) {
    await bootstrapSystemObjects(bootstrap);
    await bootstrapRbac(bootstrap);
  }
  const source = <T extends AnyObject>(group: string, plural: string) =>
    new CacheSource<T>(cache(group, plural), clock, signal);
  const rbacGroup = "rbac.authorization.k8s.io";
  const { authorizer, rbac } = createAuthorizer({
    modes: ["RBAC"],
    rbac: {
      roles: source(rbacGroup, "roles"),
      roleBindings: source(rbacGroup, "rolebindings"),
      clusterRoles: source(rbacGroup, "clusterroles"),
      clusterRoleBindings: source(rbacGroup, "clusterrolebindings"),
    },
    node: {
      pods: source("", "pods"),
      persistentVolumeClaims: source("", "persistentvolumeclaims"),
      persistentVolumes: source("", "persistentvolumes"),
      volumeAttachments: source("storage.k8s.io", "volumeattachments"),
      resourceSlices: source("resource.k8s.io", "resourceslices"),
      nodeRules: systemNodeRules(),
    },
  });
  const admission = createAdmissionChain({
    clock,
    random,
    log,
    authorizer,
    sources: {
      namespaces: source("", "namespaces"),
      nodes: source("", "nodes"),
      pods: source("", "pods"),
      serviceAccounts: source("", "serviceaccounts"),
      limitRanges: source("", "limitranges"),
      priorityClasses: source("scheduling.k8s.io", "priorityclasses"),
      storageClasses: source("storage.k8s.io", "storageclasses"),
      ingressClasses: source("networking.k8s.io", "ingressclasses"),
      resourceQuotas: source<ResourceQuota>("", "resourcequotas"),
      runtimeClasses: source("node.k8s.io", "runtimeclasses"),
      csiDrivers: source("storage.k8s.io", "csidrivers"),
    },
    quotaCache: cache("", "resourcequotas"),
    extraValidating: rbac === undefined ? [] : [new RbacEscalation(rbac, authorizer)],
  });
  const server = createApiServer({
    registry,
    authenticator: { authenticate: (request) => Promise.resolve(request.peer.user) },
    authorizer,
    admission,
    forbidden: forbiddenError,
    reviews: [createAuthzReviews({ authorizer, ...(rbac === undefined ? {} : { rbac }) })],
    clock,
    random,
    log,
  });
  await server.ready;
  return { handler: server.handler, server, store, resources };
}
