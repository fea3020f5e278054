/** Where in an expression something is: an offset in UTF-16 units. */
export interface Issue {
  readonly offset: number;
  readonly message: string;
}

/** An expression that does not parse or type-check. The message shows each issue with its line, as cel-go prints it. */
export class CelCompileError extends Error {
  readonly issues: readonly Issue[];
  constructor(source: string, issues: readonly Issue[]) {
    super(issues.map((issue) => showIssue(source, issue)).join("\n"));
    this.name = "CelCompileError";
    this.issues = issues;
  }
}

function showIssue(source: string, { offset, message }: Issue): string {
  const before = source.slice(0, offset);
  const start = before.lastIndexOf("\n") + 1;
  const line = before.split("\n").length;
  const column = Array.from(source.slice(start, offset)).length;
  const end = source.indexOf("\n", start);
  const text = source.slice(start, end < 0 ? undefined : end).replaceAll("\t", " ");
  return `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${text}\n | ${".".repeat(column)}^`;
}

/** A failure of evaluation that logical operators may absorb: no such key, division by zero, no such overload… */
export class CelError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CelError";
  }
}

/** The expression used up what it may cost; nothing absorbs it. */
export class CelCostError extends Error {
  constructor() {
    super("operation cancelled: actual cost limit exceeded");
    this.name = "CelCostError";
  }
}

export const noSuchOverload = (): CelError => new CelError("no such overload");
