import { StatusError } from "#pkg/apimachinery/index.ts";
import type { Attributes, Authorizer, Decision } from "../contract.ts";

/** Group that may do everything, as kubeadm's first administrator. */
export const PRIVILEGED_GROUP = "system:masters";

/** Members of system:masters may do everything, whatever the other authorizers say. */
export const privilegedGroup: Authorizer = {
  authorize({ user }) {
    return user.groups.includes(PRIVILEGED_GROUP)
      ? { decision: "allow", reason: "" }
      : { decision: "no-opinion", reason: "" };
  },
};

export const alwaysAllow: Authorizer = { authorize: () => ({ decision: "allow", reason: "" }) };
export const alwaysDeny: Authorizer = {
  authorize: () => ({ decision: "no-opinion", reason: "Everything is forbidden." }),
};

/** Asks authorizers in order until one allows or denies; stays synchronous as long as they are. */
export class UnionAuthorizer implements Authorizer {
  #authorizers: readonly Authorizer[];
  constructor(authorizers: readonly Authorizer[]) {
    this.#authorizers = authorizers;
  }
  /** Asks these from now on; whoever is being judged is judged by those who began. */
  use(authorizers: readonly Authorizer[]): void {
    this.#authorizers = authorizers;
  }
  authorize(attributes: Attributes): Decision | Promise<Decision> {
    return this.#from(this.#authorizers, 0, attributes, []);
  }
  #from(
    authorizers: readonly Authorizer[],
    start: number,
    attributes: Attributes,
    reasons: string[],
  ): Decision | Promise<Decision> {
    for (let i = start; i < authorizers.length; i++) {
      const decision = authorizers[i]!.authorize(attributes);
      if (decision instanceof Promise) {
        return decision.then((settled) => {
          if (settled.decision !== "no-opinion") return settled;
          if (settled.reason !== "") reasons.push(settled.reason);
          return this.#from(authorizers, i + 1, attributes, reasons);
        });
      }
      if (decision.decision !== "no-opinion") return decision;
      if (decision.reason !== "") reasons.push(decision.reason);
    }
    return { decision: "no-opinion", reason: reasons.join("\n") };
  }
}

/** "User "x" cannot list resource "pods" in API group "" in the namespace "default"". */
function forbiddenMessage(attributes: Attributes): string {
  const user = JSON.stringify(attributes.user.name);
  if (!attributes.resourceRequest)
    return `User ${user} cannot ${attributes.verb} path ${JSON.stringify(attributes.path)}`;
  const { verb, resource, subresource, apiGroup, namespace } = attributes;
  const what = JSON.stringify(subresource === "" ? resource : `${resource}/${subresource}`);
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  return `User ${user} cannot ${verb} resource ${what} in API group ${JSON.stringify(apiGroup)} ${where}`;
}

/** The 403 a refused request is answered with, worded as upstream words it. */
export function forbiddenError(attributes: Attributes, reason: string): StatusError {
  const base = forbiddenMessage(attributes);
  const why = reason === "" ? base : `${base}: ${reason}`;
  if (!attributes.resourceRequest) {
    return new StatusError({
      status: "Failure",
      message: `forbidden: ${why}`,
      reason: "Forbidden",
      details: {},
      code: 403,
    });
  }
  const { apiGroup, resource, name } = attributes;
  const qualified = apiGroup === "" ? resource : `${resource}.${apiGroup}`;
  return new StatusError({
    status: "Failure",
    message: `${qualified}${name === "" ? "" : ` ${JSON.stringify(name)}`} is forbidden: ${why}`,
    reason: "Forbidden",
    details: { ...(name === "" ? {} : { name }), ...(apiGroup === "" ? {} : { group: apiGroup }), kind: resource },
    code: 403,
  });
}
