import { isDeepStrictEqual } from "node:util";
import type {
  MutatingAdmissionPolicy as Policy,
  MutatingAdmissionPolicyBinding as Binding,
  Mutation,
} from "#pkg/api/types/admissionregistration-v1.ts";
import type { FieldSchema } from "#pkg/api/index.ts";
import {
  applyConfigurationType,
  misplacedLiterals,
  unmergeable,
  unwritable,
  type Value,
} from "#pkg/apimachinery/cel/index.ts";
import { applyJsonPatch, isRecord, type KubeObject, StatusError, TestFailedError } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { refusal } from "../attributes.ts";
import type { ReinvokingPlugin } from "../chain.ts";
import type { Equivalents } from "../equivalents.ts";
import { normalize } from "../normalize.ts";
import { decodePatched } from "../patched.ts";
import { isExempt, type MatchedResource } from "../rules.ts";
import type { Versioned } from "../webhook/review.ts";
import { CompiledConditions } from "./conditions.ts";
import { AdmissionExpression, type Scope } from "./environment.ts";
import { activation, bindingConcerns, paramKindProblem, paramsOf, type PolicyDeps } from "./evaluation.ts";
import { ResourceMatcher, versionedFor } from "./matching.ts";
import { mergeApplied } from "./merge.ts";
import { type BoundPolicy, PolicyRegistry, type PreparedBinding } from "./registry.ts";
import { PolicyVariables } from "./variables.ts";

interface CompiledPolicy {
  readonly policy: Policy;
  readonly matcher: ResourceMatcher;
  readonly conditions: CompiledConditions;
  readonly variables: PolicyVariables;
  readonly mutations: readonly CompiledMutation[];
}

/** What a mutation's expression has to evaluate to. */
export const MUTATION_TYPES: Readonly<Record<string, string>> = {
  ApplyConfiguration: "Object",
  JSONPatch: "list(JSONPatch)",
};

export function expressionOf({ applyConfiguration, jsonPatch }: Mutation): string {
  return applyConfiguration?.expression ?? jsonPatch?.expression ?? "";
}

interface CompiledMutation {
  readonly patchType: Mutation["patchType"];
  readonly expression: AdmissionExpression;
}

function compilePolicy(policy: Policy): CompiledPolicy {
  const { spec } = policy;
  const scope: Scope = { params: spec.paramKind !== undefined, authorizer: true };
  const variables = new PolicyVariables(spec.variables ?? [], scope);
  const full: Scope = { ...scope, variables: variables.types, objectType: applyConfigurationType };
  return {
    policy,
    matcher: new ResourceMatcher(spec.matchConstraints ?? {}),
    conditions: new CompiledConditions(spec.matchConditions ?? [], scope),
    variables,
    mutations: (spec.mutations ?? []).map((mutation): CompiledMutation => ({
      patchType: mutation.patchType,
      expression: new AdmissionExpression(expressionOf(mutation), full, MUTATION_TYPES[mutation.patchType]!),
    })),
  };
}

/** What kept a policy from doing its work. */
interface Failure {
  readonly message: string;
  readonly reason: "Invalid" | undefined;
  readonly failsOpen: boolean;
}

interface Progress {
  /** Policies with reinvocationPolicy IfNeeded applied so far. */
  readonly invoked: Set<string>;
  output: KubeObject | undefined;
  changed: boolean;
}

/** MutatingAdmissionPolicy (KEP-3962): expressions produce apply configurations or JSON patches. */
export class MutatingAdmissionPolicy implements AdmissionPlugin, ReinvokingPlugin {
  readonly name = "MutatingAdmissionPolicy";
  readonly #registry: PolicyRegistry<Policy, Binding, CompiledPolicy>;
  readonly #deps: PolicyDeps;
  readonly #progress = new WeakMap<AdmissionAttributes, Progress>();

  constructor(policies: ObjectSource<Policy>, bindings: ObjectSource<Binding>, deps: PolicyDeps) {
    this.#registry = new PolicyRegistry(policies, bindings, compilePolicy);
    this.#deps = deps;
  }

  handles(attributes: AdmissionAttributes): boolean {
    const { operation } = attributes;
    return (
      this.#registry.policies.length > 0 && (operation === "CREATE" || operation === "UPDATE") && !isExempt(attributes)
    );
  }

  admit(attributes: AdmissionAttributes): void | Promise<void> {
    const { namespaces, equivalents } = this.#deps;
    const relevant = this.#registry.policies.filter(
      ({ compiled }) => compiled.matcher.match(attributes, namespaces, equivalents) !== undefined,
    );
    return relevant.length === 0 ? undefined : this.#run(relevant, attributes);
  }

  needsAnotherPass(attributes: AdmissionAttributes): boolean {
    return this.#progress.get(attributes)?.changed === true;
  }

  async #run(
    policies: readonly BoundPolicy<CompiledPolicy, Binding>[],
    attributes: AdmissionAttributes,
  ): Promise<void> {
    const before = this.#progress.get(attributes);
    const progress: Progress = { invoked: before?.invoked ?? new Set(), output: undefined, changed: false };
    this.#progress.set(attributes, progress);
    const failures: Failure[] = [];
    const changedSince = before !== undefined && !isDeepStrictEqual(attributes.object, before.output);
    for (const policy of policies) {
      if (before !== undefined && !((before.changed || changedSince) && before.invoked.has(policy.name))) continue;
      if (!this.#isUsable(policy, failures)) continue;
      for (const binding of policy.bindings) {
        if (!bindingConcerns(this.#deps, binding.matcher, attributes)) continue;
        if (await this.#apply(policy, binding, attributes, failures)) progress.changed = true;
      }
      if (policy.compiled.policy.spec.reinvocationPolicy === "IfNeeded") progress.invoked.add(policy.name);
    }
    const refusing = failures.filter(({ failsOpen }) => !failsOpen);
    if (refusing.length > 0) throw denial(attributes, refusing);
    progress.output = structuredClone(attributes.object);
  }

  #isUsable({ name, compiled }: BoundPolicy<CompiledPolicy, Binding>, failures: Failure[]): boolean {
    const { paramKind, failurePolicy } = compiled.policy.spec;
    const problem = paramKindProblem(this.#deps, paramKind);
    if (problem === undefined) return true;
    const message = `policy ${JSON.stringify(name)} denied request: ${problem}`;
    failures.push({ message, reason: undefined, failsOpen: failurePolicy === "Ignore" });
    return false;
  }

  /** Applies all mutations of a policy for one binding, past those that fail. True when the object changed. */
  async #apply(
    { name, compiled }: BoundPolicy<CompiledPolicy, Binding>,
    binding: PreparedBinding<Binding>,
    attributes: AdmissionAttributes,
    failures: Failure[],
  ): Promise<boolean> {
    const { spec } = compiled.policy;
    const { equivalents, namespaces } = this.#deps;
    const before = attributes.object;
    const failed = (error: unknown, reason: "Invalid" | undefined): void => {
      if (error instanceof StatusError) throw error;
      const whose = `policy '${name}' with binding '${binding.object.metadata.name}'`;
      const message = `${whose} denied request: ${errorMessage(error)}`;
      failures.push({ message, reason, failsOpen: spec.failurePolicy === "Ignore" });
    };
    let params: Awaited<ReturnType<typeof paramsOf>>;
    try {
      params = await paramsOf(this.#deps, spec.paramKind, binding.paramRef, attributes.namespace);
    } catch (error) {
      failed(error, undefined);
      return false;
    }
    const matched = compiled.matcher.match(attributes, namespaces, equivalents);
    if (matched === undefined) return false; // an earlier mutation took it out of the policy's reach
    for (const own of params) {
      try {
        const versioned = await versionedFor(matched, attributes, equivalents);
        if (!compiled.conditions.hold(activation(this.#deps, attributes, versioned, own))) continue;
      } catch (error) {
        failed(error, "Invalid");
        continue;
      }
      for (const mutation of compiled.mutations) {
        try {
          await this.#mutate(compiled, mutation, matched, attributes, own);
        } catch (error) {
          failed(error, "Invalid");
        }
      }
    }
    return !isDeepStrictEqual(before, attributes.object);
  }

  /** One mutation; it sees what the ones before it made. */
  async #mutate(
    { variables }: CompiledPolicy,
    mutation: CompiledMutation,
    matched: MatchedResource,
    attributes: AdmissionAttributes,
    params: Readonly<KubeObject> | undefined,
  ): Promise<void> {
    const { equivalents } = this.#deps;
    const versioned = await versionedFor(matched, attributes, equivalents);
    const scope = variables.scope(activation(this.#deps, attributes, versioned, params));
    const result = scope.result(mutation.expression);
    const asPatch = mutation.patchType === "JSONPatch";
    const misplaced = misplacedLiterals(result.raw, asPatch ? undefined : "Object");
    if (misplaced.length > 0) throw new Error(`type mismatch: ${misplaced.join("\n")}`);
    const mutated = asPatch
      ? patched(versioned, result, matched, equivalents)
      : merged(versioned, matched.definition.schema, result);
    const own =
      matched.definition === attributes.resource
        ? mutated
        : await equivalents.convert(mutated, matched.definition, attributes.resource);
    normalize(attributes, own);
    attributes.object = own;
  }
}

/** The 403 with everything that failed; the first failure is its message. */
function denial(attributes: AdmissionAttributes, failures: readonly Failure[]): StatusError {
  const [first] = failures;
  const causes = failures.map(({ message }) => ({ message }));
  const { status } = refusal(attributes, "admission request denied by policy", causes);
  return new StatusError({ ...status, message: first!.message, ...(first!.reason && { reason: first!.reason }) });
}

/** Operations go through protobuf's form of JSON upstream, which writes integers that a double cannot hold as text. */
function longAsText(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(longAsText);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, longAsText(child)]));
}

/** What an expression came to: as the engine has it, and as JSON. */
interface Result {
  readonly raw: Value;
  readonly value: unknown;
}

function patched(
  { object }: Versioned,
  { raw, value }: Result,
  { definition }: MatchedResource,
  equivalents: Equivalents,
): KubeObject {
  const why = unwritable(raw);
  if (why !== undefined)
    throw new Error(`JSONPath valueExpression evaluated to a type that could not marshal to JSON: ${why}`);
  let result: unknown;
  try {
    result = applyJsonPatch(object!, longAsText(value));
  } catch (error) {
    if (error instanceof TestFailedError) return object as KubeObject; // the patch is not meant for this object
    throw new Error(`JSON Patch: ${errorMessage(error)}`, { cause: error });
  }
  return decodePatched(object!, result, definition, equivalents);
}

function merged({ object }: Versioned, schema: FieldSchema, { raw, value }: Result): KubeObject {
  const { apiVersion, kind } = object!;
  try {
    const why = unmergeable(raw);
    if (why !== undefined) throw new Error(`failed to convert patch object to typed object: ${why}`);
    return mergeApplied(schema, structuredClone(object!), { ...(value as object), apiVersion, kind }) as KubeObject;
  } catch (error) {
    throw new Error(`error applying patch: ${errorMessage(error)}`, { cause: error });
  }
}
