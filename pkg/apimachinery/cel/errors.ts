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

/** From left to right. */
export const inOrder = (issues: readonly Issue[]): Issue[] => issues.toSorted((a, b) => a.offset - b.offset);

/** An expression that type-checks, but has a constant part that cannot be evaluated. */
export class CelProgramError extends CelCompileError {
  constructor(message: string) {
    super("", []);
    this.name = "CelProgramError";
    this.message = message;
  }
}

/** Characters that take two columns in a terminal are marked with a wide dot. */
const isWide = (character: string): boolean => Buffer.byteLength(character) > 1;

function showIssue(source: string, { offset, message }: Issue): string {
  const before = source.slice(0, offset);
  const start = before.lastIndexOf("\n") + 1;
  const line = before.split("\n").length;
  const column = Array.from(source.slice(start, offset)).length;
  const end = source.indexOf("\n", start);
  const text = source.slice(start, end < 0 ? undefined : end).replaceAll("\t", " ");
  const dots = Array.from(source.slice(start, offset), (character) => (isWide(character) ? "．" : ".")).join("");
  const mark = isWide(String.fromCodePoint(source.codePointAt(offset) ?? 0)) ? "＾" : "^";
  return `ERROR: <input>:${line}:${column + 1}: ${message}\n | ${text}\n | ${dots}${mark}`;
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
