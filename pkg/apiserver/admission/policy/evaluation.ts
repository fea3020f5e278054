import type { ParamKind, ParamRef } from "#pkg/api/types/admissionregistration-v1.ts";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import { type KubeObject, parseApiVersion } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, Authorizer } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import type { Equivalents } from "../equivalents.ts";
import type { Versioned } from "../webhook/review.ts";
import { type Activation, activationFor } from "./environment.ts";
import type { ParamFinder, ResourceMatcher } from "./matching.ts";

export interface PolicyDeps {
  readonly namespaces: ObjectSource<Namespace>;
  readonly equivalents: Equivalents;
  readonly authorizer: Authorizer;
  readonly params: ParamFinder;
}

/** A reason why a policy could not be applied to a request; its failurePolicy decides what that means. */
class PolicyError extends Error {}

/** Why a policy cannot be applied, whatever its bindings say: the kind of its parameters is not served. */
export function paramKindProblem(deps: PolicyDeps, paramKind: ParamKind | undefined): string | undefined {
  if (paramKind === undefined || deps.params.definitionOf(paramKind) !== undefined) return undefined;
  const { group, version } = parseApiVersion(paramKind.apiVersion ?? "");
  return `failed to configure policy: failed to find resource referenced by paramKind: '${group}/${version}, Kind=${paramKind.kind}'`;
}

/**
 * The parameters to evaluate a binding with: one undefined when the policy takes none, or the binding names none; empty
 * when the binding may be skipped. @throws PolicyError when there are none and there have to be.
 */
export async function paramsOf(
  deps: PolicyDeps,
  paramKind: ParamKind | undefined,
  paramRef: ParamRef | undefined,
  namespace: string,
): Promise<(Readonly<KubeObject> | undefined)[]> {
  if (paramKind === undefined || paramRef === undefined) return [undefined];
  const failed = (error: Error): PolicyError =>
    new PolicyError(`failed to configure binding: ${error.message}`, { cause: error });
  let found: Readonly<KubeObject>[];
  try {
    found = await deps.params.find(paramKind, paramRef, namespace);
  } catch (error) {
    throw failed(error as Error);
  }
  if (found.length === 0 && paramRef.parameterNotFoundAction === "Deny") {
    throw failed(new Error("no params found for policy binding with `Deny` parameterNotFoundAction"));
  }
  return found;
}

export function activation(
  deps: PolicyDeps,
  attributes: AdmissionAttributes,
  versioned: Versioned,
  params: Readonly<KubeObject> | undefined,
): Activation {
  const { namespace } = attributes;
  const found = namespace === "" ? undefined : deps.namespaces.get("", namespace);
  return activationFor(attributes, versioned, {
    authorizer: deps.authorizer,
    ...(found === undefined ? {} : { namespace: found }),
    ...(params === undefined ? {} : { params }),
  });
}

/** Does the binding narrow the policy away from this request? */
export function bindingConcerns(
  deps: PolicyDeps,
  matcher: ResourceMatcher | undefined,
  attributes: AdmissionAttributes,
): boolean {
  return matcher === undefined || matcher.match(attributes, deps.namespaces, deps.equivalents) !== undefined;
}
