import type { Comprehension, Expr, Macro } from "./ast.ts";
import { CelCompileError } from "./errors.ts";

const ONE_VARIABLE: Readonly<Record<string, Macro>> = {
  all: "all",
  exists: "exists",
  exists_one: "existsOne",
  filter: "filter",
};
const TWO_VARIABLES: Readonly<Record<string, Macro>> = {
  all: "all",
  exists: "exists",
  existsOne: "existsOne",
  exists_one: "existsOne",
};
const TRANSFORMS = new Set(["transformList", "transformMap", "transformMapEntry"]);

/** The node of a call, which is a macro where its name and number of arguments say so. */
export function expandCall(
  source: string,
  name: string,
  target: Expr | undefined,
  args: readonly Expr[],
  at: number,
): Expr {
  const expanded =
    target === undefined ? expandGlobal(source, name, args, at) : expandMember(source, name, target, args, at);
  return expanded ?? { kind: "call", at, name, target, args };
}

function expandGlobal(source: string, name: string, args: readonly Expr[], at: number): Expr | undefined {
  if (name !== "has" || args.length !== 1) return undefined;
  const [arg] = args;
  if (arg?.kind !== "select" || arg.optional)
    throw new CelCompileError(source, [{ offset: at, message: "invalid argument to has() macro" }]);
  return { kind: "test", at, operand: arg.operand, field: arg.field };
}

function variable(source: string, expr: Expr): string {
  if (expr.kind === "ident" && !expr.name.startsWith(".")) return expr.name;
  throw new CelCompileError(source, [{ offset: expr.at, message: "argument must be a simple name" }]);
}

function expandMember(source: string, name: string, target: Expr, args: readonly Expr[], at: number): Expr | undefined {
  const [first, second, third, fourth] = args;
  if ((name === "optMap" || name === "optFlatMap") && args.length === 2) {
    return { kind: "optMap", at, flat: name === "optFlatMap", name: variable(source, first!), target, body: second! };
  }
  const comprehension = (
    macro: Macro,
    variables: Comprehension["variables"],
    filter: Expr | undefined,
    transform: Expr | undefined,
  ): Expr => {
    if (variables[0] === variables[1]) {
      throw new CelCompileError(source, [{ offset: second!.at, message: `duplicate variable name: ${variables[0]}` }]);
    }
    return { kind: "comprehension", at, macro, range: target, variables, filter, transform };
  };
  if (args.length === 2 && Object.hasOwn(ONE_VARIABLE, name)) {
    return comprehension(ONE_VARIABLE[name]!, [variable(source, first!)], second, undefined);
  }
  if (name === "map" && args.length === 2) return comprehension("map", [variable(source, first!)], undefined, second);
  if (name === "map" && args.length === 3) return comprehension("map", [variable(source, first!)], second, third);
  if (args.length === 3 && Object.hasOwn(TWO_VARIABLES, name)) {
    return comprehension(TWO_VARIABLES[name]!, [variable(source, first!), variable(source, second!)], third, undefined);
  }
  if (TRANSFORMS.has(name) && (args.length === 3 || args.length === 4)) {
    const variables = [variable(source, first!), variable(source, second!)] as const;
    return args.length === 3
      ? comprehension(name as Macro, variables, undefined, third)
      : comprehension(name as Macro, variables, third, fourth);
  }
  if (name === "sortBy" && args.length === 2)
    return comprehension("sortBy", [variable(source, first!)], undefined, second);
  return undefined;
}
