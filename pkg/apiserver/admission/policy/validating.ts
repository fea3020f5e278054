import type {
  ValidatingAdmissionPolicy as Policy,
  ValidatingAdmissionPolicyBinding as Binding,
  Validation,
} from "#pkg/api/types/admissionregistration-v1.ts";
import type { Program } from "#pkg/apimachinery/cel/index.ts";
import { StatusError } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { refusal } from "../attributes.ts";
import { isExempt } from "../rules.ts";
import { CompiledConditions } from "./conditions.ts";
import { compileAdmission, type Scope } from "./environment.ts";
import { activation, bindingConcerns, paramKindProblem, paramsOf, type PolicyDeps, PolicyError } from "./evaluation.ts";
import { ResourceMatcher, versionedFor } from "./matching.ts";
import { type BoundPolicy, PolicyRegistry } from "./registry.ts";
import { PolicyVariables, type VariableScope } from "./variables.ts";

type Compiled = Program | Error;
interface CompiledPolicy {
  readonly policy: Policy;
  readonly matcher: ResourceMatcher;
  readonly conditions: CompiledConditions;
  readonly variables: PolicyVariables;
  readonly validations: readonly {
    readonly spec: Validation;
    readonly program: Compiled;
    readonly message: Compiled | undefined;
  }[];
  readonly auditAnnotations: readonly { readonly key: string; readonly program: Compiled }[];
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
const failureOf = (message: string): Failure => ({ message, reason: undefined, expressionIndex: -1 });

function tryCompile(expression: string, scope: Scope): Compiled {
  try {
    return compileAdmission(expression, scope);
  } catch (error) {
    return error as Error;
  }
}

function compilePolicy(policy: Policy): CompiledPolicy {
  const { spec } = policy;
  const scope: Scope = { params: spec.paramKind !== undefined, authorizer: true, namespace: true };
  const variables = new PolicyVariables(spec.variables ?? [], scope);
  const full: Scope = { ...scope, variables: variables.types };
  return {
    policy,
    matcher: new ResourceMatcher(spec.matchConstraints ?? {}),
    conditions: new CompiledConditions(spec.matchConditions ?? [], scope),
    variables,
    validations: (spec.validations ?? []).map((validation) => ({
      spec: validation,
      program: tryCompile(validation.expression, full),
      message: validation.messageExpression === undefined ? undefined : tryCompile(validation.messageExpression, full),
    })),
    auditAnnotations: (spec.auditAnnotations ?? []).map(({ key, valueExpression }) => ({
      key,
      program: tryCompile(valueExpression, full),
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
    const audited: object[] = [];
    let denied: Denial | undefined;
    for (const { name, compiled, bindings } of policies) {
      const problem = paramKindProblem(this.#deps, compiled.policy.spec.paramKind);
      if (problem !== undefined) {
        if (!failsOpen(compiled)) denied ??= { policy: name, binding: undefined, failure: failureOf(problem) };
        continue;
      }
      const annotations = new AuditAnnotations();
      for (const { object: binding, matcher, paramRef } of bindings) {
        if (!bindingConcerns(this.#deps, matcher, attributes)) continue;
        const actions = binding.spec.validationActions ?? [];
        const bindingName = binding.metadata.name;
        const { failures, error } = await this.#evaluate(compiled, paramRef, attributes, bindingName, annotations);
        for (const failure of failures) {
          if (actions.includes("Deny")) denied ??= { policy: name, binding: bindingName, failure };
          if (actions.includes("Warn")) {
            attributes.warn(
              `Validation failed for ValidatingAdmissionPolicy '${name}' with binding '${bindingName}': ${failure.message}`,
            );
          }
          if (actions.includes("Audit")) {
            const { message, expressionIndex } = failure;
            audited.push({ message, policy: name, binding: bindingName, expressionIndex, validationActions: actions });
          }
        }
        if (error !== undefined) denied ??= { policy: name, binding: bindingName, failure: error };
      }
      annotations.publish(name, attributes);
    }
    if (audited.length > 0)
      attributes.annotate("validation.policy.admission.k8s.io/validation_failure", JSON.stringify(audited));
    if (denied !== undefined) throw denial(attributes, denied);
  }

  /** All failures of one binding. `error`: it could not be evaluated, and the policy fails closed. */
  async #evaluate(
    compiled: CompiledPolicy,
    paramRef: BoundPolicy<CompiledPolicy, Binding>["bindings"][number]["paramRef"],
    attributes: AdmissionAttributes,
    bindingName: string,
    annotations: AuditAnnotations,
  ): Promise<{ failures: Failure[]; error?: Failure }> {
    const { policy, matcher, conditions, variables } = compiled;
    const open = failsOpen(compiled);
    const failures: Failure[] = [];
    try {
      const { namespaces, equivalents } = this.#deps;
      const matched = matcher.match(attributes, namespaces, equivalents)!;
      const versioned = await versionedFor(matched, attributes, equivalents);
      for (const params of await paramsOf(this.#deps, policy.spec.paramKind, paramRef, attributes.namespace)) {
        const seen = activation(this.#deps, attributes, versioned, params);
        if (!conditions.hold(seen)) continue;
        const scope = variables.scope(seen);
        failures.push(...validationFailures(compiled, scope, open));
        annotate(compiled, scope, annotations, bindingName);
      }
    } catch (error) {
      if (error instanceof StatusError) throw error;
      return open ? { failures } : { failures, error: failureOf((error as Error).message) };
    }
    return { failures };
  }
}

function validationFailures({ validations }: CompiledPolicy, scope: VariableScope, open: boolean): Failure[] {
  const failures: Failure[] = [];
  for (const [expressionIndex, { spec, program, message }] of validations.entries()) {
    const reason = spec.reason;
    try {
      if (program instanceof Error) throw new Error(`compilation error: ${program.message}`);
      const result = scope.evaluate(program);
      if (result === true) continue;
      failures.push({ message: messageOf(spec, message, scope), reason, expressionIndex });
    } catch (error) {
      if (open) continue;
      failures.push({
        message: `expression '${spec.expression}' resulted in error: ${(error as Error).message}`,
        reason: undefined,
        expressionIndex,
      });
    }
  }
  return failures;
}

const MAX_MESSAGE_LENGTH = 5 * 1024;

/** The message expression's result if it is usable, else the fixed message, else the expression itself. */
function messageOf(spec: Validation, expression: Compiled | undefined, scope: VariableScope): string {
  if (expression !== undefined && !(expression instanceof Error)) {
    let text: unknown;
    try {
      text = scope.evaluate(expression);
    } catch {
      text = undefined; // a broken message must not hide the failure; the fixed message stands in
    }
    if (typeof text === "string" && text.trim() !== "" && text.length <= MAX_MESSAGE_LENGTH && !text.includes("\n"))
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

function annotate(
  { auditAnnotations }: CompiledPolicy,
  scope: VariableScope,
  annotations: AuditAnnotations,
  bindingName: string,
): void {
  for (const { key, program } of auditAnnotations) {
    if (program instanceof Error)
      throw new PolicyError(`audit annotation ${key} of binding ${bindingName}: ${program.message}`);
    const value = scope.evaluate(program);
    if (typeof value === "string" && value.trim() !== "") annotations.add(key, value.trim());
  }
}

function denial(attributes: AdmissionAttributes, { policy, binding, failure }: Denial): StatusError {
  const whose = binding === undefined ? `'${policy}'` : `'${policy}' with binding '${binding}'`;
  const message = `ValidatingAdmissionPolicy ${whose} denied request: ${failure.message}`;
  const { status } = refusal(attributes, message, [{ message }]);
  const reason = failure.reason ?? "Invalid";
  return new StatusError({ ...status, reason, code: CODES[reason] ?? 422 });
}
