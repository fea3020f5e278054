import type { MatchCondition } from "#pkg/api/types/admissionregistration-v1.ts";
import type { Program } from "#pkg/apimachinery/cel/index.ts";
import type { Authorizer } from "../../contract.ts";
import { joinErrors } from "../attributes.ts";
import type { ConditionCompiler, Conditions } from "../webhook/conditions.ts";
import { type Activation, activationFor, compileAdmission, type Scope } from "./environment.ts";

interface Compiled {
  readonly name: string;
  readonly program: Program | Error;
}

/** Match conditions compiled once. Those that do not compile fail whenever they are asked. */
export class CompiledConditions {
  readonly #conditions: readonly Compiled[];
  constructor(conditions: readonly MatchCondition[], scope: Scope) {
    this.#conditions = conditions.map(({ name, expression }) => {
      try {
        return { name, program: compileAdmission(expression, scope) };
      } catch (error) {
        return { name, program: error as Error };
      }
    });
  }

  /** True when all hold, false when one does not. @throws Error when none is false and some could not be evaluated. */
  hold(activation: Activation): boolean {
    const errors: string[] = [];
    for (const { name, program } of this.#conditions) {
      try {
        if (program instanceof Error) throw program;
        if (activation.evaluate(program).value !== true) return false;
      } catch (error) {
        errors.push(`match condition ${JSON.stringify(name)} failed to evaluate: ${(error as Error).message}`);
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
