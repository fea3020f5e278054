import type { MatchCondition } from "#pkg/api/types/admissionregistration-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { Authorizer } from "../../contract.ts";
import { joinErrors } from "../attributes.ts";
import type { ConditionCompiler, Conditions } from "../webhook/conditions.ts";
import { type Activation, activationFor, AdmissionExpression, BudgetError, type Scope } from "./environment.ts";

/** Match conditions compiled once. Those that do not compile fail whenever they are asked. */
export class CompiledConditions {
  readonly #conditions: readonly AdmissionExpression[];
  constructor(conditions: readonly MatchCondition[], scope: Scope) {
    this.#conditions = conditions.map(({ expression }) => new AdmissionExpression(expression, scope, "bool"));
  }

  /** True when all hold, false when one does not. @throws Error when none is false and some could not be evaluated. */
  hold(activation: Activation): boolean {
    const errors: string[] = [];
    if (this.#conditions.length === 0) return true;
    const seen = activation.forConditions();
    for (const condition of this.#conditions) {
      try {
        if (condition.evaluate(seen).value !== true) return false;
      } catch (error) {
        if (error instanceof BudgetError) throw error;
        errors.push(errorMessage(error));
      }
    }
    if (errors.length > 0) throw new Error(joinErrors(errors));
    return true;
  }
}

/** Compiles webhooks' matchConditions. */
export function webhookConditions(authorizer: Authorizer): ConditionCompiler {
  return (conditions): Conditions => {
    const compiled = new CompiledConditions(conditions, { authorizer: true });
    return {
      matches: async (_review, attributes, versioned) =>
        compiled.hold(activationFor(attributes, versioned, { authorizer })),
    };
  };
}
