import type { Container, Namespace, Pod } from "#pkg/api/types/core-v1.ts";
import type { OwnerReference } from "#pkg/api/types/meta-v1.ts";
import { notFound, parseApiVersion } from "#pkg/apimachinery/index.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import { forbiddenError } from "../../authz/index.ts";
import type { AdmissionAttributes, AdmissionPlugin, Attributes, Authorizer } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { isOn, objectAs, ownSpec, refusal } from "../attributes.ts";

const CONNECTED = new Set(["attach", "exec", "portforward"]);

/**
 * Reaching into a pod always needs `create` on the subresource: a WebSocket upgrade is a GET and would otherwise get by
 * with `get` (gate AuthorizePodWebsocketUpgradeCreatePermission).
 */
export class PodConnectAuthorization implements AdmissionPlugin {
  readonly name = "PodConnectAuthorization";
  readonly #authorizer: Authorizer;
  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }
  handles({ operation, resource, subresource }: AdmissionAttributes): boolean {
    return operation === "CONNECT" && resource.group === "" && resource.plural === "pods" && CONNECTED.has(subresource);
  }
  async validate({ user, namespace, name, subresource }: AdmissionAttributes): Promise<void> {
    const attributes: Attributes = {
      user,
      resourceRequest: true,
      verb: "create",
      namespace,
      apiGroup: "",
      apiVersion: "v1",
      resource: "pods",
      subresource,
      name,
    };
    const { decision, reason } = await this.#authorizer.authorize(attributes);
    if (decision !== "allow") throw forbiddenError(attributes, reason);
  }
}

/**
 * Setting blockOwnerDeletion needs `update` on the owner's finalizers, changing owner references `delete` on the object.
 * Off by default.
 */
export class OwnerReferencesPermissionEnforcement implements AdmissionPlugin {
  readonly name = "OwnerReferencesPermissionEnforcement";
  readonly #authorizer: Authorizer;
  readonly #installed: () => Iterable<{ readonly definition: ResourceDefinition }>;
  constructor(authorizer: Authorizer, installed: () => Iterable<{ readonly definition: ResourceDefinition }>) {
    this.#authorizer = authorizer;
    this.#installed = installed;
  }
  handles({ operation, subresource }: AdmissionAttributes): boolean {
    return (operation === "CREATE" || operation === "UPDATE") && (subresource === "" || subresource === "status");
  }
  async validate(attributes: AdmissionAttributes): Promise<void> {
    const owners = attributes.object?.metadata.ownerReferences ?? [];
    const before = attributes.oldObject?.metadata.ownerReferences ?? [];
    const changed = JSON.stringify(owners) !== JSON.stringify(before);
    if (!changed) return;
    const { resource, namespace, name } = attributes;
    if (attributes.operation === "UPDATE" && !(await this.#may(attributes, "delete", resource, namespace, name, ""))) {
      throw refusal(attributes, "cannot set an ownerRef on a resource you can't delete: no RBAC policy matched");
    }
    const blocking = owners.filter(
      (owner) =>
        owner.blockOwnerDeletion === true &&
        !before.some((old) => old.uid === owner.uid && old.blockOwnerDeletion === true),
    );
    for (const owner of blocking) await this.#block(attributes, owner);
  }
  async #block(attributes: AdmissionAttributes, owner: OwnerReference): Promise<void> {
    const { group, version } = parseApiVersion(owner.apiVersion);
    const definition = Array.from(this.#installed(), (own) => own.definition).find(
      (own) => own.group === group && own.version === version && own.kind === owner.kind,
    );
    if (definition === undefined) {
      throw refusal(
        attributes,
        `cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion ${owner.apiVersion} Kind ${owner.kind}`,
      );
    }
    const namespace = definition.namespaced ? attributes.namespace : "";
    if (await this.#may(attributes, "update", definition, namespace, owner.name, "finalizers")) return;
    throw refusal(
      attributes,
      "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: no RBAC policy matched",
    );
  }
  async #may(
    { user }: AdmissionAttributes,
    verb: string,
    definition: ResourceDefinition,
    namespace: string,
    name: string,
    subresource: string,
  ): Promise<boolean> {
    const { decision } = await this.#authorizer.authorize({
      user,
      resourceRequest: true,
      verb,
      namespace,
      apiGroup: definition.group,
      apiVersion: definition.version,
      resource: definition.plural,
      subresource,
      name,
    });
    return decision === "allow";
  }
}

/** Refuses everything in namespaces that do not exist, deletions too. Off by default. */
export class NamespaceExists implements AdmissionPlugin {
  readonly name = "NamespaceExists";
  readonly #namespaces: ObjectSource<Namespace>;
  constructor(namespaces: ObjectSource<Namespace>) {
    this.#namespaces = namespaces;
  }
  handles({ namespace, resource, operation }: AdmissionAttributes): boolean {
    return namespace !== "" && resource.plural !== "namespaces" && operation !== "CONNECT";
  }
  validate({ namespace }: AdmissionAttributes): void {
    if (this.#namespaces.get("", namespace) === undefined)
      throw notFound({ group: "", resource: "namespaces" }, namespace);
  }
}

/** Required anti-affinity only within hosts. Off by default. */
export class LimitPodHardAntiAffinityTopology implements AdmissionPlugin {
  readonly name = "LimitPodHardAntiAffinityTopology";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE", "UPDATE");
  }
  validate(attributes: AdmissionAttributes): void {
    const terms =
      objectAs<Pod>(attributes).spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    const other = terms.find(({ topologyKey }) => topologyKey !== "kubernetes.io/hostname");
    if (other === undefined) return;
    throw refusal(
      attributes,
      `affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey ${other.topologyKey} but only key kubernetes.io/hostname is allowed`,
    );
  }
}

/** Pods that ask for an extended resource tolerate the taint of its name. Off by default. */
export class ExtendedResourceToleration implements AdmissionPlugin {
  readonly name = "ExtendedResourceToleration";
  handles(attributes: AdmissionAttributes): boolean {
    return isOn(attributes, "", "pods", "CREATE", "UPDATE");
  }
  admit(attributes: AdmissionAttributes): void {
    const { spec } = objectAs<Pod>(attributes);
    if (spec === undefined) return;
    const requested = (container: Container): string[] => Object.keys(container.resources?.requests ?? {});
    const names = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].flatMap(requested);
    const extended = new Set(
      names.filter(
        (name) => name.includes("/") && !/(^|\.)kubernetes\.io\//.test(name) && !name.startsWith("requests."),
      ),
    );
    for (const key of [...extended].sort()) {
      const tolerated = spec.tolerations?.some(
        (own) => own.key === key && own.operator === "Exists" && (own.effect ?? "") === "",
      );
      if (tolerated !== true) (ownSpec(attributes).tolerations ??= []).push({ key, operator: "Exists" });
    }
  }
}

/** Refuses everything. For tests of clients. Off by default. */
export class AlwaysDeny implements AdmissionPlugin {
  readonly name = "AlwaysDeny";
  handles(): boolean {
    return true;
  }
  validate(attributes: AdmissionAttributes): void {
    throw refusal(attributes, "admission control is denying all modifications");
  }
}
