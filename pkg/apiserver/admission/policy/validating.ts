import type {
  ValidatingAdmissionPolicy as Policy,
  ValidatingAdmissionPolicyBinding as Binding,
  Validation,
} from "#pkg/api/types/admissionregistration-v1.ts";
import { goJson, StatusError } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { refusal } from "../attributes.ts";
import { isExempt } from "../rules.ts";
import { CompiledConditions } from "./conditions.ts";
import { type Activation, AdmissionExpression, BudgetError, type Scope } from "./environment.ts";
import { activation, bindingConcerns, paramKindProblem, paramsOf, type PolicyDeps } from "./evaluation.ts";
import { ResourceMatcher, versionedFor } from "./matching.ts";
import type { Versioned } from "../webhook/review.ts";
import { type BoundPolicy, PolicyRegistry } from "./registry.ts";
import { PolicyVariables, type VariableScope } from "./variables.ts";

interface CompiledPolicy {
  readonly policy: Policy;
  readonly matcher: ResourceMatcher;
  readonly conditions: CompiledConditions;
  readonly variables: PolicyVariables;
  readonly validations: readonly {
    readonly spec: Validation;
    readonly expression: AdmissionExpression;
    readonly message: AdmissionExpression | undefined;
  }[];
  readonly auditAnnotations: readonly { readonly key: string; readonly value: AdmissionExpression }[];
}

/** What an evaluation found wrong. */
interface Failure {
  readonly message: string;
  readonly reason: string | undefined;
  readonly expressionIndex: number;
}

/** A failure that refuses the request, and whose it is; no binding when the policy itself is broken. */
interface Denial {
  readonly policy: string;
  readonly binding: string | undefined;
  readonly failure: Failure;
}

const failsOpen = ({ policy }: CompiledPolicy): boolean => policy.spec.failurePolicy === "Ignore";
const failureOf = (message: string): Failure => ({ message, reason: undefined, expressionIndex: 0 });

function compilePolicy(policy: Policy): CompiledPolicy {
  const { spec } = policy;
  const scope: Scope = { params: spec.paramKind !== undefined, authorizer: true };
  const variables = new PolicyVariables(spec.variables ?? [], scope);
  const full: Scope = { ...scope, variables: variables.types };
  return {
    policy,
    matcher: new ResourceMatcher(spec.matchConstraints ?? {}),
    conditions: new CompiledConditions(spec.matchConditions ?? [], scope),
    variables,
    validations: (spec.validations ?? []).map((validation) => ({
      spec: validation,
      expression: new AdmissionExpression(validation.expression, full, "bool"),
      message:
        validation.messageExpression === undefined || validation.messageExpression === ""
          ? undefined
          : new AdmissionExpression(validation.messageExpression, { ...full, authorizer: false }, "string"),
    })),
    auditAnnotations: (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => ({
      key,
      value: new AdmissionExpression(valueExpression, full, "string", "null_type"),
    })),
  };
}

const CODES: Readonly<Record<string, number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};

/** ValidatingAdmissionPolicy (KEP-3488): expressions decide, bindings say where and what follows. */
export class ValidatingAdmissionPolicy implements AdmissionPlugin {
  readonly name = "ValidatingAdmissionPolicy";
  readonly #registry: PolicyRegistry<Policy, Binding, CompiledPolicy>;
  readonly #deps: PolicyDeps;

  constructor(policies: ObjectSource<Policy>, bindings: ObjectSource<Binding>, deps: PolicyDeps) {
    this.#registry = new PolicyRegistry(policies, bindings, compilePolicy);
    this.#deps = deps;
  }

  handles(attributes: AdmissionAttributes): boolean {
    return this.#registry.policies.length > 0 && !isExempt(attributes);
  }

  validate(attributes: AdmissionAttributes): void | Promise<void> {
    const { namespaces, equivalents } = this.#deps;
    const relevant = this.#registry.policies.filter(
      ({ compiled }) => compiled.matcher.match(attributes, namespaces, equivalents) !== undefined,
    );
    return relevant.length === 0 ? undefined : this.#judge(relevant, attributes);
  }

  async #judge(
    policies: readonly BoundPolicy<CompiledPolicy, Binding>[],
    attributes: AdmissionAttributes,
  ): Promise<void> {
    let audited: object | undefined;
    let denied: Denial | undefined;
    for (const { name, compiled, bindings } of policies) {
      const problem = paramKindProblem(this.#deps, compiled.policy.spec.paramKind);
      if (problem !== undefined) {
        if (!failsOpen(compiled)) denied ??= { policy: name, binding: undefined, failure: failureOf(problem) };
        continue;
      }
      const annotations = new AuditAnnotations();
      for (const { object, matcher, paramRef } of bindings) {
        if (!bindingConcerns(this.#deps, matcher, attributes)) continue;
        const actions = object.spec.validationActions ?? [];
        const binding = object.metadata.name;
        for (const { failures, errors } of await this.#evaluate(compiled, paramRef, attributes, annotations)) {
          for (const failure of failures) {
            const { message, expressionIndex } = failure;
            if (actions.includes("Deny")) denied ??= { policy: name, binding, failure };
            if (actions.includes("Warn"))
              attributes.warn(
                `Validation failed for ValidatingAdmissionPolicy '${name}' with binding '${binding}': ${message}`,
              );
            // The first failure is what the audit log tells; there is one annotation for all.
            if (actions.includes("Audit"))
              audited ??= { message, policy: name, binding, expressionIndex, validationActions: actions };
          }
          if (errors[0] !== undefined) denied ??= { policy: name, binding, failure: failureOf(errors[0]) };
        }
      }
      annotations.publish(name, attributes);
    }
    if (audited !== undefined)
      attributes.annotate("validation.policy.admission.k8s.io/validation_failure", goJson([audited]));
    if (denied !== undefined) throw denial(attributes, denied);
  }

  /** What one binding finds with each of its parameters. */
  async #evaluate(
    compiled: CompiledPolicy,
    paramRef: BoundPolicy<CompiledPolicy, Binding>["bindings"][number]["paramRef"],
    attributes: AdmissionAttributes,
    annotations: AuditAnnotations,
  ): Promise<Result[]> {
    const { policy, matcher } = compiled;
    const { namespaces, equivalents } = this.#deps;
    let paramObjects: Awaited<ReturnType<typeof paramsOf>>;
    let versioned: Versioned;
    try {
      paramObjects = await paramsOf(this.#deps, policy.spec.paramKind, paramRef, attributes.namespace);
      versioned = await versionedFor(matcher.match(attributes, namespaces, equivalents)!, attributes, equivalents);
    } catch (error) {
      if (error instanceof StatusError) throw error;
      return failsOpen(compiled) ? [] : [{ failures: [], errors: [errorMessage(error)] }];
    }
    return paramObjects.map((params) =>
      judge(compiled, activation(this.#deps, attributes, versioned, params), annotations),
    );
  }
}

/** What evaluating a policy brought: failures that a binding's actions apply to, and errors that refuse in any case. */
interface Result {
  readonly failures: readonly Failure[];
  readonly errors: readonly string[];
}

const NOTHING: Result = { failures: [], errors: [] };

/** Evaluates a policy for one request with one parameter object. Only a policy that fails open ignores what goes wrong. */
function judge(compiled: CompiledPolicy, seen: Activation, annotations: AuditAnnotations): Result {
  const open = failsOpen(compiled);
  try {
    if (!compiled.conditions.hold(seen)) return NOTHING;
    const unprivileged = compiled.variables.scope(seen.withoutAuthorizer());
    const failures = validationFailures(compiled, compiled.variables.scope(seen), unprivileged);
    const errors = annotate(compiled, compiled.variables.scope(seen.withoutAuthorizer()), annotations);
    return { failures, errors: open ? [] : errors };
  } catch (error) {
    return open ? NOTHING : { failures: [failureOf(errorMessage(error))], errors: [] };
  }
}

function validationFailures(compiled: CompiledPolicy, scope: VariableScope, unprivileged: VariableScope): Failure[] {
  const failures: Failure[] = [];
  for (const [expressionIndex, { spec, expression, message }] of compiled.validations.entries()) {
    try {
      if (scope.evaluate(expression) === true) continue;
    } catch (error) {
      if (error instanceof BudgetError) throw error;
      if (!failsOpen(compiled)) failures.push({ message: errorMessage(error), reason: undefined, expressionIndex });
      continue;
    }
    failures.push({ message: messageOf(spec, message, unprivileged), reason: spec.reason, expressionIndex });
  }
  return failures;
}

const MAX_MESSAGE_LENGTH = 5 * 1024;

/** The message expression's result if it is usable, else the fixed message, else the expression itself. */
function messageOf(spec: Validation, expression: AdmissionExpression | undefined, scope: VariableScope): string {
  if (expression !== undefined) {
    let text: unknown;
    try {
      text = scope.evaluate(expression);
    } catch (error) {
      if (error instanceof BudgetError) return `failed messageExpression: ${error.message}`;
      text = undefined; // a broken message must not hide the failure; the fixed message stands in
    }
    if (
      typeof text === "string" &&
      text.trim() !== "" &&
      Buffer.byteLength(text.trim()) <= MAX_MESSAGE_LENGTH &&
      !text.trim().includes("\n")
    )
      return text.trim();
  }
  const fixed = spec.message?.trim() ?? "";
  return fixed === "" ? `failed expression: ${spec.expression.trim()}` : fixed;
}

const MAX_ANNOTATION_LENGTH = 10 * 1024;

/** What one policy's bindings have to say to the audit log; what several say of one thing is joined. */
class AuditAnnotations {
  readonly #values = new Map<string, Set<string>>();
  add(key: string, value: string): void {
    const values = this.#values.get(key) ?? new Set();
    this.#values.set(key, values.add(value.slice(0, MAX_ANNOTATION_LENGTH)));
  }
  publish(policy: string, attributes: AdmissionAttributes): void {
    for (const [key, values] of this.#values) attributes.annotate(`${policy}/${key}`, [...values].join(", "));
  }
}

/** Evaluates the audit annotations; returns what went wrong. @throws BudgetError */
function annotate({ auditAnnotations }: CompiledPolicy, scope: VariableScope, annotations: AuditAnnotations): string[] {
  return auditAnnotations.flatMap(({ key, value: expression }) => {
    try {
      const value = scope.evaluate(expression);
      if (typeof value === "string" && value.trim() !== "") annotations.add(key, value.trim());
      return [];
    } catch (error) {
      if (error instanceof BudgetError) throw error;
      return [errorMessage(error)];
    }
  });
}

function denial(attributes: AdmissionAttributes, { policy, binding, failure }: Denial): StatusError {
  const whose = binding === undefined ? `'${policy}'` : `'${policy}' with binding '${binding}'`;
  const message = `ValidatingAdmissionPolicy ${whose} denied request: ${failure.message}`;
  const { status } = refusal(attributes, message, [{ message }]);
  const reason = failure.reason ?? "Invalid";
  return new StatusError({ ...status, reason, code: CODES[reason] ?? 422 });
}
