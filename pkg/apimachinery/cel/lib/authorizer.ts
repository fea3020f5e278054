import { type CostRule, fixed, reading } from "../costs.ts";
import { CelError } from "../errors.ts";
import { declare, type Overload } from "../functions.ts";
import { isDns1123Label, isDns1123Subdomain } from "../../validation.ts";
import { Opaque } from "../values.ts";
import { opaque } from "../types.ts";

/** What a check asks; `serviceAccount` replaces the request's user when set. */
export type AuthorizationCheck =
  | {
      readonly path: string;
      readonly verb: string;
      readonly serviceAccount?: { readonly namespace: string; readonly name: string };
    }
  | {
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
      readonly verb: string;
      readonly fieldSelector?: string;
      readonly labelSelector?: string;
      readonly serviceAccount?: { readonly namespace: string; readonly name: string };
    };
export interface AuthorizationAnswer {
  readonly allowed: boolean;
  readonly reason: string;
  /** The authorizer failed; `allowed` is false then. */
  readonly error?: string;
}
/** Answers checks at once; bound to the variable `authorizer` through `authorizerValue`. */
export type AuthorizeFunction = (check: AuthorizationCheck) => AuthorizationAnswer;

type Account = { readonly namespace: string; readonly name: string } | undefined;

abstract class Identity extends Opaque {
  equals(other: Opaque): boolean {
    return other === this;
  }
}
class Authorizer extends Identity {
  readonly typeName = "kubernetes.authorization.Authorizer";
  readonly authorize: AuthorizeFunction;
  readonly account: Account;
  constructor(authorize: AuthorizeFunction, account: Account) {
    super();
    this.authorize = authorize;
    this.account = account;
  }
}
class PathCheck extends Identity {
  readonly typeName = "kubernetes.authorization.PathCheck";
  readonly authorizer: Authorizer;
  readonly path: string;
  constructor(authorizer: Authorizer, path: string) {
    super();
    this.authorizer = authorizer;
    this.path = path;
  }
}
class GroupCheck extends Identity {
  readonly typeName = "kubernetes.authorization.GroupCheck";
  readonly authorizer: Authorizer;
  readonly group: string;
  constructor(authorizer: Authorizer, group: string) {
    super();
    this.authorizer = authorizer;
    this.group = group;
  }
}
interface ResourceParts {
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
}
class ResourceCheck extends Identity {
  readonly typeName = "kubernetes.authorization.ResourceCheck";
  readonly authorizer: Authorizer;
  readonly parts: ResourceParts;
  constructor(authorizer: Authorizer, parts: ResourceParts) {
    super();
    this.authorizer = authorizer;
    this.parts = parts;
  }
  with(parts: Partial<ResourceParts>): ResourceCheck {
    return new ResourceCheck(this.authorizer, { ...this.parts, ...parts });
  }
}
class DecisionValue extends Identity {
  readonly typeName = "kubernetes.authorization.Decision";
  readonly answer: AuthorizationAnswer;
  constructor(answer: AuthorizationAnswer) {
    super();
    this.answer = answer;
  }
}

const A = "kubernetes.authorization.Authorizer";
const P = "kubernetes.authorization.PathCheck";
const G = "kubernetes.authorization.GroupCheck";
const R = "kubernetes.authorization.ResourceCheck";
const D = "kubernetes.authorization.Decision";

export const AUTHORIZER_TYPE = opaque(A);
export const RESOURCE_CHECK_TYPE = opaque(R);

/** The value of the variable `authorizer`. */
export function authorizerValue(authorize: AuthorizeFunction): Opaque {
  return new Authorizer(authorize, undefined);
}
/** The value of the variable `authorizer.requestResource`: a check on what the request is about. */
export function requestResourceValue(authorize: AuthorizeFunction, parts: ResourceParts): Opaque {
  return new ResourceCheck(new Authorizer(authorize, undefined), parts);
}

/** So much that an expression may ask no more than twice. */
const CHECK = fixed(350_000);
/** Selectors are parsed, and may have a requirement in every other character. */
const selecting: CostRule = (sizes) => 10 + Math.ceil(sizes.of(1) / 2) * 50 + reading(sizes.of(1));

const account = ({ account: serviceAccount }: Authorizer) => (serviceAccount === undefined ? {} : { serviceAccount });

/** Kubernetes' authorization checks (apiserver/pkg/cel/library/authz.go). */
export const authorizerLibrary: readonly Overload[] = [
  declare("path", `${A}.(string) -> ${P}`, (a: Authorizer, path: string) => {
    if (path.trim() === "") throw new CelError("path must not be empty");
    return new PathCheck(a, path);
  }),
  declare("group", `${A}.(string) -> ${G}`, (a: Authorizer, group: string) => new GroupCheck(a, group)),
  declare("serviceAccount", `${A}.(string, string) -> ${A}`, (a: Authorizer, namespace: string, name: string) => {
    if (isDns1123Subdomain(name).length > 0) throw new CelError("Invalid service account name");
    if (isDns1123Label(namespace).length > 0) throw new CelError("Invalid service account namespace");
    return new Authorizer(a.authorize, { namespace, name });
  }),
  declare("resource", `${G}.(string) -> ${R}`, ({ authorizer, group }: GroupCheck, resource: string) => {
    if (resource.trim() === "") throw new CelError("resource must not be empty");
    return new ResourceCheck(authorizer, { group, resource, subresource: "", namespace: "", name: "" });
  }),
  declare("subresource", `${R}.(string) -> ${R}`, (r: ResourceCheck, subresource: string) => r.with({ subresource })),
  declare("namespace", `${R}.(string) -> ${R}`, (r: ResourceCheck, namespace: string) => r.with({ namespace })),
  declare("name", `${R}.(string) -> ${R}`, (r: ResourceCheck, name: string) => r.with({ name })),
  declare(
    "fieldSelector",
    `${R}.(string) -> ${R}`,
    (r: ResourceCheck, fieldSelector: string) => r.with({ fieldSelector }),
    selecting,
  ),
  declare(
    "labelSelector",
    `${R}.(string) -> ${R}`,
    (r: ResourceCheck, labelSelector: string) => r.with({ labelSelector }),
    selecting,
  ),
  declare(
    "check",
    `${P}.(string) -> ${D}`,
    ({ authorizer, path }: PathCheck, verb: string) =>
      new DecisionValue(authorizer.authorize({ path, verb, ...account(authorizer) })),
    CHECK,
  ),
  declare(
    "check",
    `${R}.(string) -> ${D}`,
    ({ authorizer, parts }: ResourceCheck, verb: string) =>
      new DecisionValue(authorizer.authorize({ ...parts, verb, ...account(authorizer) })),
    CHECK,
  ),
  declare("allowed", `${D}.() -> bool`, ({ answer }: DecisionValue) => answer.allowed),
  declare("reason", `${D}.() -> string`, ({ answer }: DecisionValue) => answer.reason),
  declare("errored", `${D}.() -> bool`, ({ answer }: DecisionValue) => answer.error !== undefined),
  declare("error", `${D}.() -> string`, ({ answer }: DecisionValue) => answer.error ?? ""),
];
