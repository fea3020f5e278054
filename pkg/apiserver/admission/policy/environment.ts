import type { Namespace } from "#pkg/api/types/core-v1.ts";
import {
  AUTHORIZER_TYPE,
  type AuthorizationCheck,
  type AuthorizeFunction,
  authorizerValue,
  BOOL,
  type CelType,
  type CompileOptions,
  compileCel,
  DYN,
  INT,
  listOf,
  mapOf,
  mutationFunctions,
  type Program,
  REQUEST_COST_BUDGET,
  requestResourceValue,
  RESOURCE_CHECK_TYPE,
  showType,
  STRING,
  structType,
  TIMESTAMP,
  type Value,
} from "#pkg/apimachinery/cel/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
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

/** What policies may know of the request's namespace; "UID" is how upstream spells it. */
const NAMESPACE = structType("kubernetes.Namespace", {
  metadata: structType("kubernetes.NamespaceMetadata", {
    name: STRING,
    generateName: STRING,
    namespace: STRING,
    labels: mapOf(STRING, STRING),
    annotations: mapOf(STRING, STRING),
    UID: STRING,
    creationTimestamp: TIMESTAMP,
    deletionGracePeriodSeconds: INT,
    deletionTimestamp: TIMESTAMP,
    generation: INT,
    resourceVersion: STRING,
    finalizers: listOf(STRING),
  }),
  spec: structType("kubernetes.NamespaceSpec", { finalizers: listOf(STRING) }),
  status: structType("kubernetes.NamespaceStatus", {
    conditions: listOf(
      structType("kubernetes.NamespaceCondition", {
        status: STRING,
        type: STRING,
        lastTransitionTime: TIMESTAMP,
        message: STRING,
        reason: STRING,
      }),
    ),
    phase: STRING,
  }),
});

/** Which variables an expression may use besides object, oldObject, request and namespaceObject. */
export interface Scope {
  readonly params?: boolean;
  readonly authorizer?: boolean;
  /** Types of `variables.<name>` declared so far. */
  readonly variables?: ReadonlyMap<string, CelType>;
  /** Types of struct literals (mutations). */
  readonly objectType?: (name: string) => CelType | undefined;
}

/**
 * Compiles an expression of an admission policy or match condition. It has to be of one of `types` (as CEL shows them), and
 * dyn is none of them; without types anything goes. @throws Error that says why it is no use.
 */
export function compileAdmission(expression: string, scope: Scope, ...types: readonly string[]): Program {
  let program: Program;
  try {
    program = compileCel(expression, optionsFor(scope));
  } catch (error) {
    throw new Error(`compilation failed: ${errorMessage(error)}`, { cause: error });
  }
  const type = program.resultType.kind === "null" ? "null_type" : showType(program.resultType);
  if (types.length === 0 || types.includes(type)) return program;
  throw new Error(`must evaluate to ${types.length === 1 ? types[0]! : `one of [${types.join(" ")}]`} but got ${type}`);
}

function optionsFor(scope: Scope): CompileOptions {
  const variables: Record<string, CelType> = {
    object: DYN,
    oldObject: DYN,
    request: REQUEST,
    namespaceObject: NAMESPACE,
  };
  if (scope.params === true) variables["params"] = DYN;
  if (scope.authorizer === true) {
    variables["authorizer"] = AUTHORIZER_TYPE;
    variables["authorizer.requestResource"] = RESOURCE_CHECK_TYPE;
  }
  for (const [name, type] of scope.variables ?? []) variables[`variables.${name}`] = type;
  const { objectType } = scope;
  return { variables, ...(objectType !== undefined && { objectType, functions: mutationFunctions }) };
}

/** An expression, compiled once; one that does not compile fails whenever it is evaluated. */
export class AdmissionExpression {
  readonly text: string;
  readonly #program: Program | Error;

  constructor(text: string, scope: Scope, ...types: readonly string[]) {
    this.text = text;
    try {
      this.#program = compileAdmission(text, scope, ...types);
    } catch (error) {
      this.#program = error as Error;
    }
  }

  /** Evaluates it with what `variables` has for the variables it names. @throws Error, BudgetError */
  evaluate(activation: Activation, variables: (program: Program) => Readonly<Record<string, unknown>> = () => ({})) {
    if (this.#program instanceof Error) throw new Error(`compilation error: ${this.#program.message}`);
    try {
      return activation.evaluate(this.#program, variables(this.#program));
    } catch (error) {
      if (error instanceof BudgetError) throw error;
      throw new Error(`expression '${this.text}' resulted in error: ${errorMessage(error)}`, { cause: error });
    }
  }
}

/** Expressions together cost more than one request may spend on them; none of their results counts. */
export class BudgetError extends Error {
  constructor() {
    super("validation failed due to running out of cost budget, no further validation rules will be run");
  }
}

/** What the match conditions of one policy or webhook may cost together. */
const CONDITIONS_BUDGET = 2_500_000;

/** What expressions about one request see, and what they may still cost. */
export class Activation {
  readonly bindings: Readonly<Record<string, unknown>>;
  #budget: number;

  constructor(bindings: Readonly<Record<string, unknown>>, budget = REQUEST_COST_BUDGET) {
    this.bindings = bindings;
    this.#budget = budget;
  }

  /** What match conditions see: nothing of the namespace. */
  forConditions(): Activation {
    return new Activation({ ...this.bindings, namespaceObject: null }, CONDITIONS_BUDGET);
  }

  /** What messages and audit annotations see: they may not ask for permissions. */
  withoutAuthorizer(): Activation {
    const { authorizer: _authorizer, "authorizer.requestResource": _resource, ...bindings } = this.bindings;
    return new Activation(bindings);
  }

  /** The result as the engine has it, and as JSON. @throws Error with the reason when evaluation fails. */
  evaluate(program: Program, more: Readonly<Record<string, unknown>> = {}): { raw: Value; value: unknown } {
    const result = program.evaluate({ ...this.bindings, ...more });
    this.#budget -= result.cost;
    if (this.#budget < 0) throw new BudgetError();
    if (result.error !== undefined) throw result.error;
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
