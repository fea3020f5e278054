import type { PersistentVolume, PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import type { PolicyRule } from "#pkg/api/types/rbac-v1.ts";
import type { ResourceSlice } from "#pkg/api/types/resource-v1.ts";
import type { VolumeAttachment } from "#pkg/api/types/storage-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Attributes, Authorizer, Decision } from "../contract.ts";
import type { ObjectSource } from "../source/index.ts";
import { type References, referencesOf } from "./node-references.ts";
import { type CompiledRule, compileRule, ruleAllows } from "./rules.ts";

const NODE_PREFIX = "system:node:";
const NODES_GROUP = "system:nodes";
const LEASE_NAMESPACE = "kube-node-lease";

/** The node name of a node agent's identity: "" when it is one without a name, undefined when it is none. */
export function nodeNameOf(user: UserInfo): string | undefined {
  if (!user.name.startsWith(NODE_PREFIX) || !user.groups.includes(NODES_GROUP)) return undefined;
  return user.name.slice(NODE_PREFIX.length);
}

export interface NodeAuthorizerDeps {
  readonly pods: ObjectSource<Pod>;
  readonly persistentVolumeClaims: ObjectSource<PersistentVolumeClaim>;
  readonly persistentVolumes: ObjectSource<PersistentVolume>;
  readonly volumeAttachments: ObjectSource<VolumeAttachment>;
  readonly resourceSlices?: ObjectSource<ResourceSlice>;
  /** Rules every node has (the ClusterRole system:node). */
  readonly nodeRules: readonly PolicyRule[];
}

type ResourceAttributes = Extract<Attributes, { resourceRequest: true }>;

const ALLOW: Decision = Object.freeze({ decision: "allow", reason: "" });
const refuse = (reason: string): Decision => ({ decision: "no-opinion", reason });
const READ_VERBS = new Set(["get", "list", "watch"]);

/**
 * Lets a node agent read exactly what the pods bound to its node need, and write its own objects (KEP-279).
 * Pods are indexed by node; a question walks the pods of one node, about a hundred at most.
 */
export class NodeAuthorizer implements Authorizer {
  readonly #deps: NodeAuthorizerDeps;
  readonly #rules: readonly CompiledRule[];
  /** node name → pod key → pod. */
  readonly #byNode = new Map<string, Map<string, Pod>>();
  readonly #references = new WeakMap<Pod, References>();

  constructor(deps: NodeAuthorizerDeps) {
    this.#deps = deps;
    this.#rules = deps.nodeRules.map(compileRule);
    deps.pods.onChange(({ type, object, previous }) => {
      const key = `${object.metadata.namespace}/${object.metadata.name}`;
      const oldNode = previous?.spec?.nodeName;
      const node = type === "DELETED" ? undefined : object.spec?.nodeName;
      if (oldNode !== undefined && oldNode !== node) this.#forget(oldNode, key);
      if (node === undefined || node === "") return;
      let pods = this.#byNode.get(node);
      if (pods === undefined) this.#byNode.set(node, (pods = new Map()));
      pods.set(key, object);
    });
  }

  authorize(attributes: Attributes): Decision {
    const node = nodeNameOf(attributes.user);
    if (node === undefined) return refuse("");
    if (node === "") return refuse(`unknown node for user ${JSON.stringify(attributes.user.name)}`);
    if (attributes.resourceRequest) {
      const special = this.#special(node, attributes);
      if (special !== undefined) return special;
    }
    return this.#rules.some((rule) => ruleAllows(rule, attributes)) ? ALLOW : refuse("");
  }

  #forget(node: string, key: string): void {
    const pods = this.#byNode.get(node);
    pods?.delete(key);
    if (pods?.size === 0) this.#byNode.delete(node);
  }

  #special(node: string, a: ResourceAttributes): Decision | undefined {
    switch (a.apiGroup === "" ? a.resource : `${a.resource}.${a.apiGroup}`) {
      case "secrets":
        return this.#readNamespaced(node, a, "secret");
      case "configmaps":
        return this.#readNamespaced(node, a, "configmap");
      case "persistentvolumeclaims":
        if (a.subresource === "status") return this.#statusUpdate(node, a);
        return this.#get(node, a, (name) => this.#podRefers(node, a.namespace, `pvc/${name}`));
      case "persistentvolumes":
        return this.#get(node, a, (name) => this.#volumeInUse(node, name));
      case "resourceclaims.resource.k8s.io":
        return this.#get(node, a, (name) => this.#podRefers(node, a.namespace, `resourceclaim/${name}`));
      case "volumeattachments.storage.k8s.io":
        return this.#get(node, a, (name) => this.#deps.volumeAttachments.get("", name)?.spec.nodeName === node);
      case "serviceaccounts":
        return this.#serviceAccount(node, a);
      case "leases.coordination.k8s.io":
        return ownObject(node, a, "leases", LEASE_NAMESPACE);
      case "csinodes.storage.k8s.io":
        return ownObject(node, a, "CSINodes", "");
      case "resourceslices.resource.k8s.io":
        return this.#resourceSlice(node, a);
      case "nodes":
        return readOwn(node, a, a.name === node, "nodes", "metadata.name");
      case "pods":
        return this.#pod(node, a);
      default:
        return undefined;
    }
  }

  #referencesOf(pod: Pod): References {
    let references = this.#references.get(pod);
    if (references === undefined) this.#references.set(pod, (references = referencesOf(pod)));
    return references;
  }

  #podRefers(node: string, namespace: string, reference: string): boolean {
    for (const pod of this.#byNode.get(node)?.values() ?? []) {
      if (pod.metadata.namespace === namespace && this.#referencesOf(pod).has(reference)) return true;
    }
    return false;
  }

  #volumeInUse(node: string, name: string): boolean {
    const volume = this.#deps.persistentVolumes.get("", name);
    const claim = volume?.spec?.claimRef;
    if (claim?.namespace === undefined || claim.name === undefined) return false;
    return this.#podRefers(node, claim.namespace, `pvc/${claim.name}`);
  }

  /** A secret may also be needed by a bound volume. */
  #volumeSecret(node: string, namespace: string, name: string): boolean {
    for (const pod of this.#byNode.get(node)?.values() ?? []) {
      for (const reference of this.#referencesOf(pod)) {
        if (!reference.startsWith("pvc/")) continue;
        const claim = this.#deps.persistentVolumeClaims.get(pod.metadata.namespace ?? "", reference.slice(4));
        const volume =
          claim?.spec?.volumeName === undefined
            ? undefined
            : this.#deps.persistentVolumes.get("", claim.spec.volumeName);
        if (volume === undefined || volume.spec?.claimRef?.name !== claim?.metadata.name) continue;
        const { spec } = volume;
        const secrets = [
          spec?.azureFile && {
            name: spec.azureFile.secretName,
            namespace: spec.azureFile.secretNamespace ?? claim?.metadata.namespace,
          },
          spec?.cephfs?.secretRef,
          spec?.cinder?.secretRef,
          spec?.flexVolume?.secretRef,
          spec?.iscsi?.secretRef,
          spec?.rbd?.secretRef,
          spec?.scaleIO?.secretRef,
          spec?.storageos?.secretRef,
          spec?.csi?.nodePublishSecretRef,
          spec?.csi?.nodeStageSecretRef,
          spec?.csi?.nodeExpandSecretRef,
        ];
        if (
          secrets.some(
            (secret) => secret?.name === name && (secret.namespace ?? claim?.metadata.namespace) === namespace,
          )
        )
          return true;
      }
    }
    return false;
  }

  #readNamespaced(node: string, a: ResourceAttributes, kind: "secret" | "configmap"): Decision {
    if (!READ_VERBS.has(a.verb)) return refuse("can only read resources of this type");
    if (a.subresource !== "") return refuse("cannot read subresource");
    if (a.namespace === "") return refuse("can only read namespaced object of this type");
    if (a.name === "") return refuse(NO_NAME);
    const related =
      this.#podRefers(node, a.namespace, `${kind}/${a.name}`) ||
      (kind === "secret" && this.#volumeSecret(node, a.namespace, a.name));
    return related ? ALLOW : refuse(unrelated(node));
  }

  #get(node: string, a: ResourceAttributes, related: (name: string) => boolean): Decision {
    if (a.verb !== "get") return refuse("can only get individual resources of this type");
    if (a.subresource !== "") return refuse("cannot get subresource");
    if (a.name === "") return refuse(NO_NAME);
    return related(a.name) ? ALLOW : refuse(unrelated(node));
  }

  #statusUpdate(node: string, a: ResourceAttributes): Decision {
    if (!["get", "update", "patch"].includes(a.verb)) return refuse("can only get/update/patch this type");
    return this.#podRefers(node, a.namespace, `pvc/${a.name}`) ? ALLOW : refuse(unrelated(node));
  }

  #serviceAccount(node: string, a: ResourceAttributes): Decision {
    const related = a.name !== "" && this.#podRefers(node, a.namespace, `serviceaccount/${a.name}`);
    if (a.verb === "get" && a.subresource === "") return related ? ALLOW : refuse(unrelated(node));
    if (a.verb !== "create" || a.subresource !== "token")
      return refuse("can only create tokens for individual service accounts");
    return related ? ALLOW : refuse(unrelated(node));
  }

  #resourceSlice(node: string, a: ResourceAttributes): Decision {
    if (a.subresource !== "") return refuse("cannot authorize ResourceSlice subresources");
    switch (a.verb) {
      case "create":
        return ALLOW; // admission checks spec.nodeName
      case "get":
      case "update":
      case "patch":
      case "delete":
        return this.#deps.resourceSlices?.get("", a.name)?.spec.nodeName === node ? ALLOW : refuse(unrelated(node));
      case "list":
      case "watch":
      case "deletecollection":
        return hasFieldRequirement(a.fieldSelector, "spec.nodeName", node)
          ? ALLOW
          : refuse("can only list/watch/deletecollection resourceslices with nodeName field selector");
      default:
        return refuse(
          "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection",
        );
    }
  }

  #pod(node: string, a: ResourceAttributes): Decision | undefined {
    if (!READ_VERBS.has(a.verb) || a.subresource !== "") return undefined;
    if (a.verb === "get") {
      const bound = this.#deps.pods.get(a.namespace, a.name)?.spec?.nodeName === node;
      return bound ? ALLOW : refuse(unrelated(node));
    }
    if (hasFieldRequirement(a.fieldSelector, "spec.nodeName", node)) return ALLOW;
    if (a.name !== "" && this.#deps.pods.get(a.namespace, a.name)?.spec?.nodeName === node) return ALLOW;
    return refuse("can only list/watch pods with spec.nodeName field selector");
  }
}

const NO_NAME = "No Object name found";

function unrelated(node: string): string {
  return `no relationship found between node '${node}' and this object`;
}

/** Is `field=value` one of the conjuncts of this field selector? */
function hasFieldRequirement(selector: string | undefined, field: string, value: string): boolean {
  return (selector ?? "").split(",").some((term) => term === `${field}=${value}` || term === `${field}==${value}`);
}

function readOwn(node: string, a: ResourceAttributes, own: boolean, what: string, field: string): Decision | undefined {
  if (!READ_VERBS.has(a.verb)) return undefined; // writes: node rules, then NodeRestriction admission
  if (a.verb === "get") {
    if (own || a.subresource !== "") return own ? ALLOW : undefined;
    return refuse(`node '${node}' cannot read '${a.name}', only its own Node object`);
  }
  if (own || hasFieldRequirement(a.fieldSelector, field, node)) return ALLOW;
  return refuse(`node '${node}' cannot read all ${what}, only its own Node object`);
}

function ownObject(node: string, a: ResourceAttributes, what: string, namespace: string): Decision {
  const single = what === "leases" ? "lease" : "CSINode";
  if (!["get", "create", "update", "patch", "delete"].includes(a.verb)) {
    return refuse(`can only get, create, update, patch, or delete a ${what === "leases" ? "node lease" : "CSINode"}`);
  }
  if (namespace !== "" && a.namespace !== namespace) {
    return refuse(`can only access leases in the "${namespace}" system namespace`);
  }
  if (a.subresource !== "") return refuse(`cannot authorize ${single} subresources`);
  // The name is unknown when creating; admission checks it then.
  if (a.verb !== "create" && a.name !== node)
    return refuse(`can only access ${single} with the same name as the requesting node`);
  return ALLOW;
}
