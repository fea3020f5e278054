import { childrenOf, type Expr } from "./ast.ts";
import { CelCompileError, CelError, type Issue } from "./errors.ts";
import { compilePattern } from "./regex.ts";
import { parseDuration, parseTimestamp } from "./time.ts";

/** Functions whose literal argument can be judged before anything is evaluated. */
const JUDGES: Readonly<Record<string, (text: string) => unknown>> = {
  matches: compilePattern,
  duration: parseDuration,
  timestamp: parseTimestamp,
};

/** Refuses literal patterns, durations and timestamps that are none. @throws CelCompileError */
export function checkLiterals(source: string, expr: Expr): void {
  const issues: Issue[] = [];
  visit(expr, issues);
  if (issues.length > 0) throw new CelCompileError(source, issues);
}

function visit(expr: Expr, issues: Issue[]): void {
  for (const child of childrenOf(expr)) visit(child, issues);
  if (expr.kind !== "call") return;
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
