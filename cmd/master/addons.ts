import { configMaps, roleBindings, roles, storageClasses } from "#pkg/api/refs.ts";
import type { ConfigMap } from "#pkg/api/types/core-v1.ts";
import type { Role, RoleBinding } from "#pkg/api/types/rbac-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import { isAlreadyExists } from "#pkg/apimachinery/index.ts";
import type { ApiHandler } from "#pkg/apiserver/index.ts";
import { type Client, type Draft, createClient, directTransport } from "#pkg/client/index.ts";
import { renderKubeconfig } from "#pkg/pki/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import { userAgentOf } from "../common/program.ts";

/** What the objects of add-ons are made from. */
export interface AddonContext {
  /** URL at which nodes reach the API server. */
  readonly server: string;
  /** PEM of the cluster's CA. */
  readonly ca: string;
}

/** Default storage: directories of the node where the first pod of a claim lands. */
const localPath: Draft<StorageClass> = {
  metadata: { name: "local-path", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
  provisioner: "kubits.io/local-path",
  reclaimPolicy: "Delete",
  volumeBindingMode: "WaitForFirstConsumer",
};

const RBAC = "rbac.authorization.k8s.io";
const clusterInfo = { namespace: "kube-public", name: "cluster-info" };
const clusterInfoReader = { namespace: clusterInfo.namespace, name: "kubeadm:bootstrap-signer-clusterinfo" };

/** Anybody may read where the cluster is and whose certificates to trust; the signatures in it are made by a controller. */
function clusterInfoOf({ server, ca }: AddonContext): Draft<ConfigMap> {
  return { metadata: { ...clusterInfo }, data: { kubeconfig: renderKubeconfig({ server, ca, user: "" }) } };
}
const readClusterInfo: Draft<Role> = {
  metadata: { ...clusterInfoReader },
  rules: [{ apiGroups: [""], resources: ["configmaps"], resourceNames: [clusterInfo.name], verbs: ["get"] }],
};
const anybodyReads: Draft<RoleBinding> = {
  metadata: { ...clusterInfoReader },
  roleRef: { apiGroup: RBAC, kind: "Role", name: clusterInfoReader.name },
  subjects: [{ apiGroup: RBAC, kind: "User", name: "system:anonymous" }],
};

/** Add-ons that are nothing but objects, by their name in --addons. */
const ADDONS: Record<string, (client: Client, context: AddonContext) => Array<Promise<unknown>>> = {
  "local-path": (client) => [client.create(storageClasses, localPath)],
  "bootstrap-tokens": (client, context) => [
    client.create(configMaps, clusterInfoOf(context)),
    client.create(roles, readClusterInfo),
    client.create(roleBindings, anybodyReads),
  ],
};

/** Creates the objects of the add-ons that are on; what is there already stays as its owner left it. */
export async function applyAddons(
  handler: ApiHandler,
  addons: readonly string[],
  context: AddonContext,
  clock: Clock,
): Promise<void> {
  const user = { name: "system:apiserver", groups: ["system:masters", "system:authenticated"] };
  const client = createClient(directTransport(handler, { user }), { userAgent: userAgentOf("kubits-master"), clock });
  const creations = addons.flatMap((name) => ADDONS[name]?.(client, context) ?? []);
  for (const outcome of await Promise.allSettled(creations)) {
    if (outcome.status === "rejected" && !isAlreadyExists(outcome.reason)) throw outcome.reason;
  }
}
