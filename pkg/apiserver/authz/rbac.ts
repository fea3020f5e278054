import type {
  ClusterRole,
  ClusterRoleBinding,
  PolicyRule,
  Role,
  RoleBinding,
  RoleRef,
  Subject,
} from "#pkg/api/types/rbac-v1.ts";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import type { Attributes, Authorizer, Decision } from "../contract.ts";
import type { ObjectSource, SourceChange } from "../source/index.ts";
import { type CompiledRule, compileRule, ruleAllows } from "./rules.ts";

/** Where RBAC objects come from. */
export interface RbacSources {
  readonly roles: ObjectSource<Role>;
  readonly roleBindings: ObjectSource<RoleBinding>;
  readonly clusterRoles: ObjectSource<ClusterRole>;
  readonly clusterRoleBindings: ObjectSource<ClusterRoleBinding>;
}

type Binding = RoleBinding | ClusterRoleBinding;

/** One binding as one subject sees it. */
interface Grant {
  readonly roleRef: RoleRef;
  /** "" for a ClusterRoleBinding. */
  readonly namespace: string;
  readonly reason: string;
}

/** What a user has, as of one state of the RBAC objects. */
interface Resolved {
  readonly version: number;
  readonly cluster: readonly ResolvedGrant[];
  readonly namespaces: Map<string, readonly ResolvedGrant[]>;
}
interface ResolvedGrant {
  readonly rules: readonly CompiledRule[];
  readonly source: readonly PolicyRule[];
  readonly reason: string;
  /** Why the role could not be found. */
  readonly error?: string;
}

const NO_OPINION: Decision = Object.freeze({ decision: "no-opinion", reason: "" });

function subjectKeys(subject: Subject, bindingNamespace: string): string {
  if (subject.kind === "Group") return `g:${subject.name}`;
  if (subject.kind === "User") return `u:${subject.name}`;
  return `u:system:serviceaccount:${subject.namespace ?? bindingNamespace}:${subject.name}`;
}

function describeSubject(subject: Subject, bindingNamespace: string): string {
  if (subject.kind !== "ServiceAccount") return `${subject.kind} ${JSON.stringify(subject.name)}`;
  const namespace = subject.namespace === undefined || subject.namespace === "" ? bindingNamespace : subject.namespace;
  return `${subject.kind} ${JSON.stringify(`${subject.name}/${namespace}`)}`;
}

/** Bindings of one kind, found by subject. */
class BindingIndex {
  readonly #grants = new Map<string, Map<string, Grant[]>>();

  apply({ type, object, previous }: SourceChange<Binding>): void {
    if (previous !== undefined) this.#remove(previous);
    else if (type === "DELETED") this.#remove(object);
    if (type !== "DELETED") this.#add(object);
  }

  /** Grants of all bindings that name the subject key, in no particular order. */
  *find(key: string): Generator<Grant> {
    const byBinding = this.#grants.get(key);
    if (byBinding !== undefined) for (const grants of byBinding.values()) yield* grants;
  }

  #add(binding: Binding): void {
    const namespace = binding.metadata.namespace ?? "";
    const name = binding.metadata.name ?? "";
    const kind = namespace === "" ? "ClusterRoleBinding" : "RoleBinding";
    const shown = JSON.stringify(namespace === "" ? name : `${name}/${namespace}`);
    for (const subject of binding.subjects ?? []) {
      const key = subjectKeys(subject, namespace);
      let byBinding = this.#grants.get(key);
      if (byBinding === undefined) this.#grants.set(key, (byBinding = new Map()));
      const { roleRef } = binding;
      const grant: Grant = {
        roleRef,
        namespace,
        reason: `RBAC: allowed by ${kind} ${shown} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${describeSubject(subject, namespace)}`,
      };
      const grants = byBinding.get(name);
      if (grants === undefined) byBinding.set(name, [grant]);
      else grants.push(grant);
    }
  }

  #remove(binding: Binding): void {
    const namespace = binding.metadata.namespace ?? "";
    const name = binding.metadata.name ?? "";
    for (const subject of binding.subjects ?? []) {
      const key = subjectKeys(subject, namespace);
      const byBinding = this.#grants.get(key);
      byBinding?.delete(name);
      if (byBinding?.size === 0) this.#grants.delete(key);
    }
  }
}

/**
 * RBAC as an authorizer and as a resolver of who may do what. Answers synchronously: bindings are indexed by subject as
 * they change, and what one identity holds is resolved once per state of the RBAC objects.
 */
export class RbacAuthorizer implements Authorizer {
  readonly #sources: RbacSources;
  #version = 0;
  readonly #clusterBindings = new BindingIndex();
  readonly #namespaceBindings = new Map<string, BindingIndex>();
  readonly #compiled = new WeakMap<readonly PolicyRule[], readonly CompiledRule[]>();
  /** By identity object: authenticators hand out one object per credential. */
  readonly #resolved = new WeakMap<UserInfo, Resolved>();

  constructor(sources: RbacSources) {
    this.#sources = sources;
    const changed = (): void => {
      this.#version++;
    };
    sources.roles.onChange(changed);
    sources.clusterRoles.onChange(changed);
    sources.clusterRoleBindings.onChange((change) => {
      this.#version++;
      this.#clusterBindings.apply(change);
    });
    sources.roleBindings.onChange((change) => {
      this.#version++;
      const namespace = change.object.metadata.namespace ?? "";
      let index = this.#namespaceBindings.get(namespace);
      if (index === undefined) this.#namespaceBindings.set(namespace, (index = new BindingIndex()));
      index.apply(change);
    });
  }

  authorize(attributes: Attributes): Decision {
    const errors: string[] = [];
    for (const grant of this.#grantsOf(attributes.user, "")) {
      if (grant.error !== undefined) errors.push(grant.error);
      for (const rule of grant.rules)
        if (ruleAllows(rule, attributes)) return { decision: "allow", reason: grant.reason };
    }
    if (attributes.resourceRequest && attributes.namespace !== "") {
      for (const grant of this.#grantsOf(attributes.user, attributes.namespace)) {
        if (grant.error !== undefined) errors.push(grant.error);
        for (const rule of grant.rules)
          if (ruleAllows(rule, attributes)) return { decision: "allow", reason: grant.reason };
      }
    }
    return errors.length === 0 ? NO_OPINION : { decision: "no-opinion", reason: `RBAC: ${aggregate(errors)}` };
  }

  /** All rules the user holds in a namespace ("" for cluster scope only), with errors of roles that do not exist. */
  rulesFor(user: UserInfo, namespace: string): { rules: PolicyRule[]; compiled: CompiledRule[]; errors: string[] } {
    const grants = [...this.#grantsOf(user, ""), ...(namespace === "" ? [] : this.#grantsOf(user, namespace))];
    return {
      rules: grants.flatMap((grant) => grant.source),
      compiled: grants.flatMap((grant) => grant.rules),
      errors: grants.flatMap((grant) => (grant.error === undefined ? [] : [grant.error])),
    };
  }

  /** Rules of the role that a binding in `namespace` refers to; undefined when there is no such role. */
  rulesOfRole(roleRef: RoleRef, namespace: string): readonly PolicyRule[] | undefined {
    const role =
      roleRef.kind === "Role"
        ? this.#sources.roles.get(namespace, roleRef.name)
        : this.#sources.clusterRoles.get("", roleRef.name);
    return role === undefined ? undefined : (role.rules ?? []);
  }

  #grantsOf(user: UserInfo, namespace: string): readonly ResolvedGrant[] {
    let resolved = this.#resolved.get(user);
    if (resolved === undefined || resolved.version !== this.#version) {
      resolved = { version: this.#version, cluster: this.#resolve(this.#clusterBindings, user), namespaces: new Map() };
      this.#resolved.set(user, resolved);
    }
    if (namespace === "") return resolved.cluster;
    let grants = resolved.namespaces.get(namespace);
    if (grants === undefined) {
      const index = this.#namespaceBindings.get(namespace);
      grants = index === undefined ? [] : this.#resolve(index, user);
      // Only namespaces that exist for RBAC are remembered, so made-up names cannot fill memory.
      if (index !== undefined) resolved.namespaces.set(namespace, grants);
    }
    return grants;
  }

  #resolve(index: BindingIndex, user: UserInfo): ResolvedGrant[] {
    const found: ResolvedGrant[] = [];
    for (const key of [`u:${user.name}`, ...user.groups.map((group) => `g:${group}`)]) {
      for (const grant of index.find(key)) {
        const rules = this.rulesOfRole(grant.roleRef, grant.namespace);
        if (rules === undefined) {
          const error = `${grant.roleRef.kind.toLowerCase()}.rbac.authorization.k8s.io ${JSON.stringify(grant.roleRef.name)} not found`;
          found.push({ rules: [], source: [], reason: grant.reason, error });
        } else found.push({ rules: this.#compile(rules), source: rules, reason: grant.reason });
      }
    }
    return found;
  }

  #compile(rules: readonly PolicyRule[]): readonly CompiledRule[] {
    let compiled = this.#compiled.get(rules);
    if (compiled === undefined) this.#compiled.set(rules, (compiled = rules.map(compileRule)));
    return compiled;
  }
}

/** Several errors as upstream joins them: distinct, in brackets when more than one. */
function aggregate(errors: readonly string[]): string {
  const distinct = [...new Set(errors)];
  return distinct.length === 1 ? distinct[0]! : `[${distinct.join(", ")}]`;
}
