import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "#pkg/api/types/rbac-v1.ts";
import type { ObjectMeta } from "#pkg/api/types/meta-v1.ts";
import table from "./data/rbac.json" with { type: "json" };

/** One line of data/rbac.json: a role or a binding in short form. */
interface RoleEntry {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly rules?: PolicyRule[];
  readonly aggregationRule?: ClusterRole["aggregationRule"];
}
interface BindingEntry {
  readonly name: string;
  readonly namespace?: string;
  /** "ClusterRole/name" or "Role/name". */
  readonly roleRef: string;
  readonly subjects: readonly { readonly kind: string; readonly name: string; readonly namespace?: string }[];
}

/** An object that has not been stored yet. */
export type Draft<T> = Omit<T, "metadata"> & { readonly metadata: ObjectMeta };

const GROUP = "rbac.authorization.k8s.io";
const API_VERSION = `${GROUP}/v1`;
export const AUTOUPDATE_ANNOTATION = "rbac.authorization.kubernetes.io/autoupdate";

function metadataOf(entry: RoleEntry | BindingEntry): ObjectMeta {
  return {
    name: entry.name,
    ...(entry.namespace === undefined ? {} : { namespace: entry.namespace }),
    labels: { "kubernetes.io/bootstrapping": "rbac-defaults", ...("labels" in entry ? entry.labels : {}) },
    annotations: { [AUTOUPDATE_ANNOTATION]: "true" },
  };
}

function subjectOf({ kind, name, namespace }: BindingEntry["subjects"][number]): Subject {
  return kind === "ServiceAccount"
    ? { kind, name, ...(namespace === undefined ? {} : { namespace }) }
    : { apiGroup: GROUP, kind, name };
}

function roleRefOf(text: string): RoleRef {
  const slash = text.indexOf("/");
  return { apiGroup: GROUP, kind: text.slice(0, slash), name: text.slice(slash + 1) };
}

const roleOf =
  <K extends "ClusterRole" | "Role">(kind: K) =>
  (entry: RoleEntry): Draft<ClusterRole & Role> => ({
    apiVersion: API_VERSION,
    kind,
    metadata: metadataOf(entry),
    ...(entry.aggregationRule === undefined ? {} : { aggregationRule: entry.aggregationRule }),
    rules: entry.rules ?? [],
  });
const bindingOf =
  (kind: "ClusterRoleBinding" | "RoleBinding") =>
  (entry: BindingEntry): Draft<ClusterRoleBinding & RoleBinding> => ({
    apiVersion: API_VERSION,
    kind,
    metadata: metadataOf(entry),
    roleRef: roleRefOf(entry.roleRef),
    ...(entry.subjects.length === 0 ? {} : { subjects: entry.subjects.map(subjectOf) }),
  });

export interface BootstrapRbacObjects {
  readonly clusterRoles: readonly Draft<ClusterRole>[];
  readonly clusterRoleBindings: readonly Draft<ClusterRoleBinding>[];
  readonly roles: readonly Draft<Role>[];
  readonly roleBindings: readonly Draft<RoleBinding>[];
}

/** The default roles and bindings of Kubernetes v1.36. */
export function defaultRbacObjects(): BootstrapRbacObjects {
  return {
    clusterRoles: (table.clusterRoles as unknown as RoleEntry[]).map(roleOf("ClusterRole")),
    clusterRoleBindings: (table.clusterRoleBindings as BindingEntry[]).map(bindingOf("ClusterRoleBinding")),
    roles: (table.roles as RoleEntry[]).map(roleOf("Role")),
    roleBindings: (table.roleBindings as BindingEntry[]).map(bindingOf("RoleBinding")),
  };
}

/** The bindings kubeadm adds (its admin group, and what joining nodes need: KEP-4214, TLS bootstrap), and our own. */
export function kubeadmBindings(): Draft<ClusterRoleBinding>[] {
  const bootstrappers = { kind: "Group", name: "system:bootstrappers:kubeadm:default-node-token" };
  const csr = "ClusterRole/system:certificates.k8s.io:certificatesigningrequests";
  const entries: BindingEntry[] = [
    {
      name: "kubeadm:cluster-admins",
      roleRef: "ClusterRole/cluster-admin",
      subjects: [{ kind: "Group", name: "kubeadm:cluster-admins" }],
    },
    { name: "kubeadm:kubelet-bootstrap", roleRef: "ClusterRole/system:node-bootstrapper", subjects: [bootstrappers] },
    { name: "kubeadm:node-autoapprove-bootstrap", roleRef: `${csr}:nodeclient`, subjects: [bootstrappers] },
    {
      name: "kubeadm:node-autoapprove-certificate-rotation",
      roleRef: `${csr}:selfnodeclient`,
      subjects: [{ kind: "Group", name: "system:nodes" }],
    },
    // A joined node has one identity: its service proxy, pod network and DNS read what they need with the kubelet's.
    {
      name: "kubits:node-proxier",
      roleRef: "ClusterRole/system:node-proxier",
      subjects: [{ kind: "Group", name: "system:nodes" }],
    },
  ];
  return entries.map((entry) => {
    const { labels: _labels, annotations: _annotations, ...metadata } = metadataOf(entry);
    return { ...bindingOf("ClusterRoleBinding")(entry), metadata };
  });
}

interface ControllerRights {
  readonly role: Draft<ClusterRole>;
  readonly binding: Draft<ClusterRoleBinding>;
}

/** The role of a controller, and its account's binding to it. */
function controllerRights(account: string, rules: PolicyRule[]): ControllerRights {
  const name = `system:controller:${account}`;
  return {
    role: roleOf("ClusterRole")({ name, rules }),
    binding: bindingOf("ClusterRoleBinding")({
      name,
      roleRef: `ClusterRole/${name}`,
      subjects: [{ kind: "ServiceAccount", name: account, namespace: "kube-system" }],
    }),
  };
}

/** What the built-in cluster DNS controller needs to keep its Service and EndpointSlice. */
export function clusterDnsObjects(): ControllerRights {
  const verbs = ["create", "get", "patch", "update"];
  return controllerRights("cluster-dns", [
    { apiGroups: [""], resources: ["services"], verbs },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs },
    { apiGroups: [""], resources: ["nodes"], verbs: ["get", "list", "watch"] },
  ]);
}

/** What the controller needs that lets groups of pods go; it is there with the feature GenericWorkload. */
export function podGroupObjects(): ControllerRights {
  return controllerRights("podgroup-protection-controller", [
    { apiGroups: ["scheduling.k8s.io"], resources: ["podgroups"], verbs: ["get", "list", "update", "watch"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["", "events.k8s.io"], resources: ["events"], verbs: ["create", "patch", "update"] },
  ]);
}

/** What the controller needs that has stored objects written anew; it is there with the feature StorageVersionMigrator. */
export function storageMigrationObjects(): ControllerRights {
  const group = ["storagemigration.k8s.io"];
  return controllerRights("storage-version-migrator-controller", [
    { apiGroups: group, resources: ["storageversionmigrations"], verbs: ["get", "list", "watch"] },
    { apiGroups: group, resources: ["storageversionmigrations/status"], verbs: ["update"] },
    { apiGroups: ["*"], resources: ["*"], verbs: ["get", "list", "patch"] },
  ]);
}

/** Rules of the ClusterRole system:node, which the Node authorizer grants to every node. */
export function systemNodeRules(): PolicyRule[] {
  const role = (table.clusterRoles as unknown as RoleEntry[]).find(({ name }) => name === "system:node");
  if (role?.rules === undefined) throw new Error("data/rbac.json lacks system:node");
  return role.rules;
}
