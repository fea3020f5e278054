import { isDeepStrictEqual } from "node:util";
import type { TokenRequest } from "#pkg/api/types/authentication-v1.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import type { ResourceSlice } from "#pkg/api/types/resource-v1.ts";
import type { CSIDriver } from "#pkg/api/types/storage-v1.ts";
import { notFound } from "#pkg/apimachinery/index.ts";
import { nodeNameOf } from "../../authz/index.ts";
import { referencesOf } from "../../authz/node-references.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { MIRROR_POD_ANNOTATION, objectAs, oldObjectAs, refusal } from "../attributes.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const RESTRICTED_NAMESPACE = "node-restriction.kubernetes.io";
/** Labels of Kubernetes' own namespaces that a kubelet may set on its node. */
const KUBELET_LABELS = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/os",
  "kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
  "failure-domain.kubernetes.io/zone",
  "failure-domain.kubernetes.io/region",
]);
const KUBELET_NAMESPACES = ["kubelet.kubernetes.io", "node.kubernetes.io"];

export interface NodeRestrictionDeps {
  readonly pods: ObjectSource<Pod>;
  readonly nodes: ObjectSource<Node>;
  readonly csiDrivers?: ObjectSource<CSIDriver>;
}

const within = (namespace: string, parent: string): boolean => namespace === parent || namespace.endsWith(`.${parent}`);

function isForbiddenLabel(label: string): boolean {
  const slash = label.indexOf("/");
  if (slash < 0) return false;
  const namespace = label.slice(0, slash);
  if (within(namespace, RESTRICTED_NAMESPACE)) return true;
  if (!within(namespace, "kubernetes.io") && !within(namespace, "k8s.io")) return false;
  return !KUBELET_LABELS.has(label) && !KUBELET_NAMESPACES.some((allowed) => within(namespace, allowed));
}

function modifiedLabels(now: Node["metadata"]["labels"] = {}, before: Node["metadata"]["labels"] = {}): string[] {
  return [...new Set([...Object.keys(now), ...Object.keys(before)])].filter((label) => now[label] !== before[label]);
}

/** Keeps a node agent to its own node: its Node, its pods, its leases, tokens of its pods (KEP-279, KEP-2799). */
export class NodeRestriction implements AdmissionPlugin {
  readonly name = "NodeRestriction";
  readonly #deps: NodeRestrictionDeps;
  constructor(deps: NodeRestrictionDeps) {
    this.#deps = deps;
  }

  handles({ operation, user }: AdmissionAttributes): boolean {
    return operation !== "CONNECT" && nodeNameOf(user) !== undefined;
  }

  validate(attributes: AdmissionAttributes): void {
    const { resource, subresource, user } = attributes;
    const node = nodeNameOf(user)!;
    if (node === "") throw refusal(attributes, `could not determine node from user ${JSON.stringify(user.name)}`);
    switch (resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`) {
      case "pods":
        return this.#pod(attributes, node);
      case "nodes":
        return checkNode(attributes, node);
      case "persistentvolumeclaims":
        if (subresource !== "status") throw refusal(attributes, "may only update PVC status");
        return undefined;
      case "serviceaccounts":
        return subresource === "token" ? this.#token(attributes) : undefined;
      case "leases.coordination.k8s.io":
        return checkLease(attributes, node);
      case "csinodes.storage.k8s.io":
        return requireName(attributes, node, "can only access CSINode with the same name as the requesting node");
      case "resourceslices.resource.k8s.io":
        return checkSlice(attributes, node);
      default:
        return undefined;
    }
  }

  #pod(attributes: AdmissionAttributes, node: string): void {
    const { operation, subresource, namespace, name } = attributes;
    const shown = JSON.stringify(node);
    const bound = (): boolean => this.#deps.pods.get(namespace, name)?.spec?.nodeName === node;
    if (subresource === "eviction") {
      const evicted = attributes.object?.metadata.name ?? name;
      const pod = this.#deps.pods.get(namespace, evicted);
      if (pod === undefined) throw notFound({ group: "", resource: "pods" }, evicted);
      if (pod.spec?.nodeName !== node)
        throw refusal(attributes, `node ${node} can only evict pods with spec.nodeName set to itself`);
      return;
    }
    if (subresource === "status") {
      const old = oldObjectAs<Pod>(attributes);
      if (old?.spec?.nodeName !== node)
        throw refusal(attributes, `node ${shown} can only update pod status for pods with spec.nodeName set to itself`);
      if (!isDeepStrictEqual(objectAs<Pod>(attributes).metadata.labels ?? {}, old.metadata.labels ?? {})) {
        throw refusal(attributes, `node ${shown} cannot update labels through pod status`);
      }
      return;
    }
    if (subresource !== "") {
      throw refusal(
        attributes,
        `unexpected pod subresource ${JSON.stringify(subresource)}, only 'status' and 'eviction' are allowed`,
      );
    }
    if (operation === "CREATE") this.#mirrorPod(attributes, objectAs<Pod>(attributes), node);
    else if (operation === "DELETE") {
      if (name !== "" && this.#deps.pods.get(namespace, name) !== undefined && !bound()) {
        throw refusal(attributes, `node ${shown} can only delete pods with spec.nodeName set to itself`);
      }
    } else
      throw refusal(
        attributes,
        `unexpected operation ${JSON.stringify(operation)}, node ${shown} can only create and delete mirror pods`,
      );
  }

  #mirrorPod(attributes: AdmissionAttributes, pod: Pod, node: string): void {
    const shown = JSON.stringify(node);
    if (pod.metadata.annotations?.[MIRROR_POD_ANNOTATION] === undefined) {
      throw refusal(
        attributes,
        `pod does not have ${JSON.stringify(MIRROR_POD_ANNOTATION)} annotation, node ${shown} can only create mirror pods`,
      );
    }
    if (pod.spec?.nodeName !== node)
      throw refusal(attributes, `node ${shown} can only create pods with spec.nodeName set to itself`);
    const owners = pod.metadata.ownerReferences ?? [];
    if (owners.length > 1)
      throw refusal(attributes, `node ${shown} can only create pods with a single owner reference set to itself`);
    const [owner] = owners;
    if (owner?.apiVersion !== "v1" || owner.kind !== "Node" || owner.name !== node) {
      throw refusal(attributes, `node ${shown} can only create pods with an owner reference set to itself`);
    }
    if (owner.controller !== true)
      throw refusal(attributes, `node ${shown} can only create pods with a controller owner reference set to itself`);
    if (owner.blockOwnerDeletion === true)
      throw refusal(attributes, `node ${shown} must not set blockOwnerDeletion on an owner reference`);
    const uid = this.#deps.nodes.get("", node)?.metadata.uid;
    if (uid === undefined) throw notFound({ group: "", resource: "nodes" }, node);
    if (uid !== owner.uid) throw refusal(attributes, `node ${node} UID mismatch: expected ${owner.uid} got ${uid}`);
    if ((pod.spec?.serviceAccountName ?? "") !== "")
      throw refusal(attributes, `node ${shown} can not create pods that reference a service account`);
    const { [MIRROR_POD_ANNOTATION]: _mirror, ...annotations } = pod.metadata.annotations;
    const kinds = new Set(
      [...referencesOf({ ...pod, metadata: { ...pod.metadata, annotations } })].map((r) => r.slice(0, r.indexOf("/"))),
    );
    const named = {
      secret: "secrets",
      configmap: "configmaps",
      pvc: "persistentvolumeclaims",
      resourceclaim: "resourceclaims",
    };
    for (const [kind, plural] of Object.entries(named)) {
      if (kinds.has(kind)) throw refusal(attributes, `node ${shown} can not create pods that reference ${plural}`);
    }
  }

  #token(attributes: AdmissionAttributes): void {
    const node = nodeNameOf(attributes.user);
    const { spec } = objectAs<TokenRequest>(attributes);
    const ref = spec?.boundObjectRef ?? undefined;
    if (ref === undefined || ref.apiVersion !== "v1" || ref.kind !== "Pod" || (ref.name ?? "") === "") {
      throw refusal(attributes, "node requested token not bound to a pod");
    }
    if ((ref.uid ?? "") === "") throw refusal(attributes, "node requested token with a pod binding without a uid");
    const pod = this.#deps.pods.get(attributes.namespace, ref.name!);
    if (pod === undefined) throw notFound({ group: "", resource: "pods" }, ref.name!);
    if (ref.uid !== pod.metadata.uid) {
      throw refusal(
        attributes,
        `the UID in the bound object reference (${ref.uid}) does not match the UID in record. The object might have been deleted and then recreated`,
      );
    }
    if (pod.spec?.nodeName !== node)
      throw refusal(attributes, "node requested token bound to a pod scheduled on a different node");
    const allowed = this.#audiencesOf(pod);
    for (const audience of spec.audiences ?? []) {
      if (!allowed.has(audience))
        throw refusal(attributes, `audience ${JSON.stringify(audience)} not found in pod spec volume`);
    }
  }

  /** Audiences the pod asks for: in token volumes of its own, and those its CSI drivers want. */
  #audiencesOf(pod: Pod): ReadonlySet<string> {
    const found = new Set<string>();
    for (const volume of pod.spec?.volumes ?? []) {
      for (const { serviceAccountToken } of volume.projected?.sources ?? []) {
        if (serviceAccountToken !== undefined) found.add(serviceAccountToken.audience ?? "");
      }
      if (volume.csi === undefined && volume.persistentVolumeClaim === undefined && volume.ephemeral === undefined)
        continue;
      for (const driver of this.#deps.csiDrivers?.list() ?? []) {
        if (volume.csi !== undefined && volume.csi.driver !== driver.metadata.name) continue;
        for (const { audience } of driver.spec.tokenRequests ?? []) found.add(audience);
      }
    }
    return found;
  }
}

function checkNode(attributes: AdmissionAttributes, node: string): void {
  const { operation, subresource } = attributes;
  const shown = JSON.stringify(node);
  const requested = attributes.name === "" ? (attributes.object?.metadata.name ?? "") : attributes.name;
  if (requested !== node)
    throw refusal(attributes, `node ${shown} is not allowed to modify node ${JSON.stringify(requested)}`);
  if (operation === "DELETE" || attributes.object === undefined) return;
  const now = objectAs<Node>(attributes);
  const old = oldObjectAs<Node>(attributes);
  const forbiddenLabels = modifiedLabels(now.metadata.labels, old?.metadata.labels).filter(isForbiddenLabel).sort();
  if (operation === "CREATE") {
    if (forbiddenLabels.length > 0) {
      throw refusal(
        attributes,
        `node ${shown} is not allowed to set the following labels: ${forbiddenLabels.join(", ")}`,
      );
    }
    return;
  }
  if (subresource === "" && !isDeepStrictEqual(now.spec?.taints ?? [], old?.spec?.taints ?? [])) {
    throw refusal(attributes, `node ${shown} is not allowed to modify taints`);
  }
  if (forbiddenLabels.length > 0)
    throw refusal(attributes, `is not allowed to modify labels: ${forbiddenLabels.join(", ")}`);
  if (!isDeepStrictEqual(now.metadata.ownerReferences ?? [], old?.metadata.ownerReferences ?? [])) {
    throw refusal(attributes, `node ${shown} is not allowed to modify ownerReferences`);
  }
}

function requireName(attributes: AdmissionAttributes, node: string, why: string): void {
  const requested = attributes.name === "" ? (attributes.object?.metadata.name ?? "") : attributes.name;
  if (requested !== node) throw refusal(attributes, why);
}

function checkLease(attributes: AdmissionAttributes, node: string): void {
  if (attributes.namespace !== LEASE_NAMESPACE) {
    throw refusal(attributes, `can only access leases in the ${JSON.stringify(LEASE_NAMESPACE)} system namespace`);
  }
  requireName(attributes, node, "can only access node lease with the same name as the requesting node");
}

function checkSlice(attributes: AdmissionAttributes, node: string): void {
  const { operation } = attributes;
  if (operation === "CREATE" || operation === "UPDATE") {
    if (objectAs<ResourceSlice>(attributes).spec.nodeName === node) return;
    throw refusal(
      attributes,
      `can only ${operation.toLowerCase()} ResourceSlice with the same NodeName as the requesting node`,
    );
  }
  const old = oldObjectAs<ResourceSlice>(attributes);
  if (old !== undefined && old.spec.nodeName !== node)
    throw refusal(attributes, "can only delete ResourceSlice with the same NodeName as the requesting node");
}
