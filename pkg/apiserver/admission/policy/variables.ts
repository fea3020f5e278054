import type { Variable } from "#pkg/api/types/admissionregistration-v1.ts";
import { type CelType, DYN, type Program, type Value } from "#pkg/apimachinery/cel/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { type Activation, type AdmissionExpression, BudgetError, compileAdmission, type Scope } from "./environment.ts";

/** The variables of a policy: compiled in order, each seeing those before it, evaluated when first needed. */
export class PolicyVariables {
  readonly types: ReadonlyMap<string, CelType>;
  readonly #programs = new Map<string, Program | Error>();

  constructor(variables: readonly Variable[], scope: Scope) {
    const types = new Map<string, CelType>();
    for (const { name, expression } of variables) {
      try {
        const program = compileAdmission(expression, { ...scope, variables: new Map(types) });
        this.#programs.set(name, program);
        types.set(name, program.resultType);
      } catch (error) {
        this.#programs.set(
          name,
          new Error(`composited variable ${JSON.stringify(name)} fails to compile: ${errorMessage(error)}`, {
            cause: error,
          }),
        );
        types.set(name, DYN);
      }
    }
    this.types = types;
  }

  /** Variables of one evaluation: each is computed at most once. */
  scope(activation: Activation): VariableScope {
    return new VariableScope(this.#programs, activation);
  }
}

const PREFIX = "variables.";

export class VariableScope {
  readonly #programs: ReadonlyMap<string, Program | Error>;
  readonly #activation: Activation;
  readonly #values = new Map<string, unknown>();

  constructor(programs: ReadonlyMap<string, Program | Error>, activation: Activation) {
    this.#programs = programs;
    this.#activation = activation;
  }

  /** Evaluates an expression that may use variables. @throws Error */
  evaluate(expression: AdmissionExpression): unknown {
    return this.result(expression).value;
  }
  /** The same, with the result as the engine has it. @throws Error */
  result(expression: AdmissionExpression): { readonly raw: Value; readonly value: unknown } {
    return expression.evaluate(this.#activation, (program) => this.#bindingsFor(program));
  }

  #bindingsFor({ references }: Program): Record<string, unknown> {
    const bindings: Record<string, unknown> = {};
    for (const reference of references) {
      if (reference.startsWith(PREFIX)) bindings[reference] = this.#value(reference.slice(PREFIX.length));
    }
    return bindings;
  }

  #value(name: string): unknown {
    if (this.#values.has(name)) return this.#values.get(name);
    const program = this.#programs.get(name);
    if (program === undefined || program instanceof Error) throw program ?? new Error(`no variable ${name}`);
    let raw: unknown;
    try {
      ({ raw } = this.#activation.evaluate(program, this.#bindingsFor(program)));
    } catch (error) {
      if (error instanceof BudgetError) throw error;
      throw new Error(`composited variable ${JSON.stringify(name)} fails to evaluate: ${errorMessage(error)}`, {
        cause: error,
      });
    }
    this.#values.set(name, raw);
    return raw;
  }
}
