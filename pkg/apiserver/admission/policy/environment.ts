import type { Namespace } from "#pkg/api/types/core-v1.ts";
import { schemaOf } from "#pkg/api/index.ts";
import {
  AUTHORIZER_TYPE,
  type AuthorizationCheck,
  type AuthorizeFunction,
  authorizerValue,
  BOOL,
  type CelType,
  compileCel,
  DYN,
  listOf,
  mapOf,
  type Program,
  REQUEST_COST_BUDGET,
  requestResourceValue,
  RESOURCE_CHECK_TYPE,
  STRING,
  structType,
} from "#pkg/apimachinery/cel/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { serviceAccountGroups, serviceAccountUserName } from "../../authn/service-account.ts";
import type { AdmissionAttributes, Attributes, Authorizer } from "../../contract.ts";
import { buildReview, type Versioned } from "../webhook/review.ts";

const KIND = structType("kubernetes.GroupVersionKind", { group: STRING, version: STRING, kind: STRING });
const RESOURCE = structType("kubernetes.GroupVersionResource", { group: STRING, version: STRING, resource: STRING });
const USER = structType("kubernetes.UserInfo", {
  username: STRING,
  uid: STRING,
  groups: listOf(STRING),
  extra: mapOf(STRING, listOf(STRING)),
});
const REQUEST = structType("kubernetes.AdmissionRequest", {
  kind: KIND,
  resource: RESOURCE,
  subResource: STRING,
  requestKind: KIND,
  requestResource: RESOURCE,
  requestSubResource: STRING,
  name: STRING,
  namespace: STRING,
  operation: STRING,
  userInfo: USER,
  dryRun: BOOL,
  options: DYN,
});

/** Which variables an expression may use besides object, oldObject and request. */
export interface Scope {
  readonly params?: boolean;
  readonly authorizer?: boolean;
  readonly namespace?: boolean;
  /** Types of `variables.<name>` declared so far. */
  readonly variables?: ReadonlyMap<string, CelType>;
  /** Types of struct literals (mutations). */
  readonly objectType?: (name: string) => CelType | undefined;
}

/** Compiles an expression of an admission policy or match condition. @throws CelCompileError */
export function compileAdmission(expression: string, scope: Scope): Program {
  const variables: Record<string, CelType | ReturnType<typeof schemaOf>> = {
    object: DYN,
    oldObject: DYN,
    request: REQUEST,
  };
  if (scope.params === true) variables["params"] = DYN;
  if (scope.namespace === true) variables["namespaceObject"] = schemaOf("io.k8s.api.core.v1.Namespace");
  if (scope.authorizer === true) {
    variables["authorizer"] = AUTHORIZER_TYPE;
    variables["authorizer.requestResource"] = RESOURCE_CHECK_TYPE;
  }
  for (const [name, type] of scope.variables ?? []) variables[`variables.${name}`] = type;
  return compileCel(expression, {
    variables,
    ...(scope.objectType === undefined ? {} : { objectType: scope.objectType }),
  });
}

/** What expressions about one request see, and what they may still cost. */
export class Activation {
  readonly bindings: Readonly<Record<string, unknown>>;
  #budget = REQUEST_COST_BUDGET;

  constructor(bindings: Readonly<Record<string, unknown>>) {
    this.bindings = bindings;
  }

  /** The result as the engine has it, and as JSON. @throws Error with the reason when evaluation fails. */
  evaluate(program: Program, more: Readonly<Record<string, unknown>> = {}): { raw: unknown; value: unknown } {
    const result = program.evaluate({ ...this.bindings, ...more });
    this.#budget -= result.cost;
    if (result.error !== undefined) throw result.error;
    if (this.#budget < 0)
      throw new Error("validation failed due to running out of cost budget, no further validation rules will be run");
    return result;
  }
}

/** An activation for one request as a webhook or policy sees it. */
export function activationFor(
  attributes: AdmissionAttributes,
  versioned: Versioned,
  context: { readonly authorizer?: Authorizer; readonly namespace?: Namespace; readonly params?: Readonly<KubeObject> },
): Activation {
  const {
    uid: _uid,
    object: _object,
    oldObject: _old,
    ...request
  } = (buildReview("", attributes, versioned) as { request: Record<string, unknown> }).request;
  const { definition, subresource } = versioned.matched;
  const authorize = context.authorizer === undefined ? undefined : authorizeFunction(context.authorizer, attributes);
  return new Activation({
    object: versioned.object ?? null,
    oldObject: versioned.oldObject ?? null,
    request,
    namespaceObject: context.namespace ?? null,
    params: context.params ?? null,
    ...(authorize === undefined
      ? {}
      : {
          authorizer: authorizerValue(authorize),
          "authorizer.requestResource": requestResourceValue(authorize, {
            group: definition.group,
            resource: definition.plural,
            subresource,
            namespace: attributes.namespace,
            name: attributes.name,
          }),
        }),
  });
}

/** Authorization checks of expressions. An authorizer that has to wait cannot answer inside an expression. */
function authorizeFunction(authorizer: Authorizer, { user }: AdmissionAttributes): AuthorizeFunction {
  return (check: AuthorizationCheck) => {
    const account = check.serviceAccount;
    const subject =
      account === undefined
        ? user
        : {
            name: serviceAccountUserName(account.namespace, account.name),
            groups: [...serviceAccountGroups(account.namespace), "system:authenticated"],
          };
    const attributes: Attributes =
      "path" in check
        ? { user: subject, resourceRequest: false, verb: check.verb, path: check.path }
        : {
            user: subject,
            resourceRequest: true,
            verb: check.verb,
            namespace: check.namespace,
            apiGroup: check.group,
            apiVersion: "*",
            resource: check.resource,
            subresource: check.subresource,
            name: check.name,
            ...(check.fieldSelector === undefined ? {} : { fieldSelector: check.fieldSelector }),
            ...(check.labelSelector === undefined ? {} : { labelSelector: check.labelSelector }),
          };
    const decision = authorizer.authorize(attributes);
    if (decision instanceof Promise) {
      return { allowed: false, reason: "", error: "the authorizer does not answer at once" };
    }
    return { allowed: decision.decision === "allow", reason: decision.reason };
  };
}
