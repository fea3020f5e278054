import { childrenOf, type Expr } from "./ast.ts";
import type { Checked } from "./checker.ts";
import { CelCompileError, CelError, inOrder, type Issue } from "./errors.ts";
import { acceptsOf, replaceClauses } from "./format.ts";
import { compilePattern } from "./regex.ts";
import { parseDuration, parseTimestamp } from "./time.ts";
import { type CelType, nominalType, sameType, showType } from "./types.ts";

/** Functions whose literal argument can be judged before anything is evaluated. */
const JUDGES: Readonly<Record<string, (text: string) => unknown>> = {
  matches: compilePattern,
  duration: parseDuration,
  timestamp: (text) => parseTimestamp(text, true),
};

/** Refuses literal patterns, durations and timestamps that are none, and formats that do not fit. @throws CelCompileError */
export function checkLiterals(source: string, expr: Expr, checked: Checked): void {
  const issues: Issue[] = [];
  visit(expr, checked, issues);
  if (issues.length > 0) throw new CelCompileError(source, inOrder(issues));
}

/** @param mixed lists may hold whatever is to be shown: inside of format(). */
function visit(expr: Expr, checked: Checked, issues: Issue[], mixed = false): void {
  const isFormat = expr.kind === "call" && expr.name === "format";
  for (const child of childrenOf(expr)) visit(child, checked, issues, mixed || (isFormat && child !== expr.target));
  if (expr.kind === "list" && !mixed) oneType(expr.items, checked, issues);
  if (expr.kind === "map" && !mixed) {
    oneType(
      expr.entries.map(({ key }) => ({ value: key, optional: false })),
      checked,
      issues,
    );
    oneType(expr.entries, checked, issues);
  }
  if (expr.kind !== "call") return;
  if (expr.name === "format") checkFormat(expr, checked, issues);
  const judge = Object.hasOwn(JUDGES, expr.name) ? JUDGES[expr.name] : undefined;
  const literal = expr.args.at(-1);
  if (judge === undefined || literal?.kind !== "const" || literal.value.type !== "string") return;
  try {
    judge(literal.value.value);
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    issues.push({ offset: literal.at, message: `invalid ${expr.name} argument` });
  }
}

/** Elements of a literal have the type of the first one. */
function oneType(
  items: readonly { readonly value: Expr; readonly optional: boolean }[],
  checked: Checked,
  issues: Issue[],
): void {
  let first: CelType | undefined;
  for (const { value, optional } of items) {
    const given = checked.types.get(value)!;
    const type = optional && given.kind === "optional" ? given.element : given;
    first ??= type;
    if (!sameType(first, type)) {
      issues.push({
        offset: value.at,
        message: `expected type '${showType(first)}' but found '${showType(type)}'`,
      });
    }
  }
}

/** A literal pattern with a literal list. */
function checkFormat({ target, args, at }: Expr & { kind: "call" }, checked: Checked, issues: Issue[]): void {
  const [list] = args;
  if (target?.kind !== "const" || target.value.type !== "string" || list?.kind !== "list") return;
  const values = list.items.map(({ value }) => value);
  let used = 0;
  let offset = at;
  try {
    replaceClauses(target.value.value, values.length, ({ verb }, position) => {
      used++;
      const bad = misfit(verb, values[position]!, checked);
      if (bad === undefined) return "";
      offset = bad.at;
      const type = nominalType(checked.types.get(bad)!);
      throw new CelError(`error during formatting: ${acceptsOf(verb).otherwise}, was given ${type}`);
    });
  } catch (error) {
    if (!(error instanceof CelError)) throw error;
    issues.push({ offset, message: error.message });
    return;
  }
  if (values.length <= used) return;
  const message = `too many arguments supplied to string.format (expected ${used}, got ${values.length})`;
  issues.push({ offset: at, message });
}

/** The first part of an argument that a clause does not take. */
function misfit(verb: string, value: Expr, checked: Checked): Expr | undefined {
  const kind = checked.types.get(value)!.kind;
  if (kind !== "dyn" && kind !== "param" && !acceptsOf(verb).kinds.includes(kind)) return value;
  if (verb !== "s" || (value.kind !== "list" && value.kind !== "map")) return undefined;
  for (const child of childrenOf(value)) {
    const bad = misfit(verb, child, checked);
    if (bad !== undefined) return bad;
  }
  return undefined;
}
