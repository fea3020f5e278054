import { isDeepStrictEqual } from "node:util";
import { forbidden, type KubeObject, notFound } from "#pkg/apimachinery/index.ts";
import type { ClusterRole, PolicyRule, RoleRef } from "#pkg/api/types/rbac-v1.ts";
import type { AdmissionAttributes, AdmissionPlugin, Authorizer } from "../contract.ts";
import type { RbacAuthorizer } from "./rbac.ts";
import { compactRules, describeRule, missingRights, quoteList } from "./rules.ts";
import { PRIVILEGED_GROUP } from "./union.ts";

const GROUP = "rbac.authorization.k8s.io";
const FULL_AUTHORITY: PolicyRule[] = [
  { apiGroups: ["*"], resources: ["*"], verbs: ["*"] },
  { nonResourceURLs: ["*"], verbs: ["*"] },
];
const KINDS = new Set(["roles", "clusterroles", "rolebindings", "clusterrolebindings"]);

/**
 * Nobody grants what they do not hold: writing a role needs its rules (or the verb `escalate`), writing a binding the
 * rules of its role (or the verb `bind`). Runs as the last validating step before the quota, on RBAC objects only.
 */
export class RbacEscalation implements AdmissionPlugin {
  readonly name = "RbacEscalation";
  readonly #rbac: RbacAuthorizer;
  readonly #authorizer: Authorizer;
  constructor(rbac: RbacAuthorizer, authorizer: Authorizer) {
    this.#rbac = rbac;
    this.#authorizer = authorizer;
  }

  handles({ operation, resource, subresource }: AdmissionAttributes): boolean {
    const writes = operation === "CREATE" || operation === "UPDATE";
    return writes && subresource === "" && resource.group === GROUP && KINDS.has(resource.plural);
  }

  async validate(attributes: AdmissionAttributes): Promise<void> {
    const { user, object, oldObject, resource } = attributes;
    if (object === undefined || user.groups.includes(PRIVILEGED_GROUP)) return;
    if (oldObject !== undefined && onlyCollectorFieldsDiffer(object, oldObject)) return;
    if (resource.plural.endsWith("bindings")) await this.#binding(attributes, object);
    else await this.#role(attributes, object);
  }

  async #role(attributes: AdmissionAttributes, object: KubeObject): Promise<void> {
    const { resource, namespace, name } = attributes;
    if (await this.#may(attributes, "escalate", resource.plural, name)) return;
    const role = object as KubeObject & ClusterRole;
    const subject = { group: GROUP, resource: resource.plural };
    const missing = this.#missing(attributes, namespace, role.rules ?? []);
    if (missing !== undefined) throw forbidden(subject, name, missing);
    if (role.aggregationRule !== undefined && this.#missing(attributes, namespace, FULL_AUTHORITY) !== undefined) {
      throw forbidden(subject, name, "must have cluster-admin privileges to use the aggregationRule");
    }
  }

  async #binding(attributes: AdmissionAttributes, object: KubeObject): Promise<void> {
    const { resource, namespace, name } = attributes;
    const { roleRef } = object as unknown as { roleRef: RoleRef };
    const plural = roleRef.kind === "Role" ? "roles" : "clusterroles";
    if (await this.#may(attributes, "bind", plural, roleRef.name)) return;
    const rules = this.#rbac.rulesOfRole(roleRef, namespace);
    if (rules === undefined) throw notFound({ group: GROUP, resource: plural }, roleRef.name);
    const missing = this.#missing(attributes, namespace, rules);
    if (missing !== undefined) throw forbidden({ group: GROUP, resource: resource.plural }, name, missing);
  }

  async #may(attributes: AdmissionAttributes, verb: string, resource: string, name: string): Promise<boolean> {
    const decision = await this.#authorizer.authorize({
      user: attributes.user,
      resourceRequest: true,
      verb,
      namespace: attributes.namespace,
      apiGroup: GROUP,
      apiVersion: "*",
      resource,
      subresource: "",
      name,
    });
    return decision.decision === "allow";
  }

  #missing({ user }: AdmissionAttributes, namespace: string, wanted: readonly PolicyRule[]): string | undefined {
    const { compiled, errors } = this.#rbac.rulesFor(user, namespace);
    const missing = missingRights(compiled, wanted);
    if (missing.length === 0) return undefined;
    const lines = [...new Set(compactRules(missing).map(describeRule))].sort();
    const base = `user ${JSON.stringify(user.name)} (groups=${quoteList(user.groups)}) is attempting to grant RBAC permissions not currently held:\n${lines.join("\n")}`;
    return errors.length === 0 ? base : `${base}; resolution errors: [${errors.join(" ")}]`;
  }
}

/** The garbage collector edits finalizers and owner references of objects it could not have written. */
function onlyCollectorFieldsDiffer(object: KubeObject, old: Readonly<KubeObject>): boolean {
  const strip = ({ metadata, ...rest }: Readonly<KubeObject>): unknown => {
    const {
      ownerReferences: _owners,
      finalizers: _finalizers,
      managedFields: _managed,
      resourceVersion: _version,
      ...kept
    } = metadata;
    return JSON.parse(JSON.stringify({ ...rest, metadata: kept }));
  };
  return isDeepStrictEqual(strip(object), strip(old));
}
