/** Parses CEL text into expressions (cel-spec doc/langdef.md#syntax, with optionals and two-variable comprehensions). */
import { childrenOf, type Expr, type MapEntry, type StructEntry } from "./ast.ts";
import { CelCompileError } from "./errors.ts";
import { type Token, tokenize } from "./lexer.ts";
import { expandCall } from "./macros.ts";

/** Nesting beyond this is refused, as in cel-go. */
const MAX_DEPTH = 250;
const MAX_LENGTH = 100_000;
const RESERVED = new Set(
  "as break const continue else for function if import let loop package namespace return var void while".split(" "),
);
const ANY_OPERAND =
  "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/** Never names, not even of fields. */
const KEYWORDS = new Set(["true", "false", "null", "in"]);
const RELATIONS = new Set(["<", "<=", ">=", ">", "==", "!=", "in"]);

/** Depth of the tree that may come of a text whose nesting is within bounds, as long sums do. */
const MAX_TREE_DEPTH = 500;

export function parseCel(source: string): Expr {
  if (source.length > MAX_LENGTH) {
    throw new CelCompileError("", [
      { offset: 0, message: `expression code point size exceeds limit: size: ${source.length}, limit ${MAX_LENGTH}` },
    ]);
  }
  const expr = new Parser(source).parse();
  if (treeDepth(expr) > MAX_TREE_DEPTH) {
    throw new CelCompileError(source, [
      { offset: expr.at, message: `expression nesting exceeds limit: ${MAX_TREE_DEPTH}` },
    ]);
  }
  return expr;
}

function treeDepth(root: Expr): number {
  const pending: { expr: Expr; depth: number }[] = [{ expr: root, depth: 1 }];
  let deepest = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    deepest = Math.max(deepest, next.depth);
    if (deepest > MAX_TREE_DEPTH) break;
    for (const child of childrenOf(next.expr)) pending.push({ expr: child, depth: next.depth + 1 });
  }
  return deepest;
}

class Parser {
  readonly #source: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(source: string) {
    this.#source = source;
    this.#tokens = tokenize(source);
  }

  parse(): Expr {
    const expr = this.#expr();
    if (this.#peek().kind !== "end") this.#unexpected("<EOF>");
    return expr;
  }

  #peek(): Token {
    return this.#tokens[this.#next]!;
  }
  #take(): Token {
    const token = this.#tokens[this.#next]!;
    if (token.kind !== "end") this.#next++;
    return token;
  }
  #at(symbol: string): boolean {
    const { kind, text } = this.#peek();
    return kind === "symbol" && text === symbol;
  }
  #accept(symbol: string): boolean {
    if (!this.#at(symbol)) return false;
    this.#next++;
    return true;
  }
  #expect(symbol: string): Token {
    if (!this.#at(symbol)) this.#unexpected(`'${symbol}'`);
    return this.#take();
  }
  #fail(at: number, message: string): never {
    throw new CelCompileError(this.#source, [{ offset: at, message }]);
  }
  #unexpected(expected: string, { at, text }: Token = this.#peek()): never {
    return this.#fail(at, `Syntax error: mismatched input '${text}' expecting ${expected}`);
  }

  #expr(): Expr {
    if (++this.#depth > MAX_DEPTH) this.#fail(this.#peek().at, `expression recursion limit exceeded: ${MAX_DEPTH}`);
    const condition = this.#or();
    const question = this.#peek();
    let expr = condition;
    if (this.#accept("?")) {
      const whenTrue = this.#or();
      this.#expect(":");
      expr = {
        kind: "call",
        at: question.at,
        name: "_?_:_",
        target: undefined,
        args: [condition, whenTrue, this.#expr()],
      };
    }
    this.#depth--;
    return expr;
  }

  #binary(name: string, operator: Token, left: Expr, right: Expr): Expr {
    return { kind: "call", at: operator.at, name, target: undefined, args: [left, right] };
  }
  /** Long chains become balanced trees, so that their depth stays small. */
  #logical(symbol: "||" | "&&", operand: () => Expr): Expr {
    const terms = [operand()];
    const operators: Token[] = [];
    while (this.#at(symbol)) {
      operators.push(this.#take());
      terms.push(operand());
    }
    const build = (from: number, to: number): Expr => {
      if (from === to) return terms[from]!;
      const middle = (from + to) >>> 1;
      return this.#binary(`_${symbol}_`, operators[middle]!, build(from, middle), build(middle + 1, to));
    };
    return build(0, terms.length - 1);
  }
  #or(): Expr {
    return this.#logical("||", () => this.#and());
  }
  #and(): Expr {
    return this.#logical("&&", () => this.#relation());
  }
  #relation(): Expr {
    let left = this.#sum();
    for (;;) {
      const { text, kind } = this.#peek();
      if (!RELATIONS.has(text) || (kind !== "symbol" && !(kind === "ident" && text === "in"))) return left;
      const operator = this.#take();
      left = this.#binary(text === "in" ? "@in" : `_${text}_`, operator, left, this.#sum());
    }
  }
  #sum(): Expr {
    let left = this.#product();
    while (this.#at("+") || this.#at("-")) {
      const operator = this.#take();
      left = this.#binary(`_${operator.text}_`, operator, left, this.#product());
    }
    return left;
  }
  #product(): Expr {
    let left = this.#unary();
    while (this.#at("*") || this.#at("/") || this.#at("%")) {
      const operator = this.#take();
      left = this.#binary(`_${operator.text}_`, operator, left, this.#unary());
    }
    return left;
  }
  /** Operators in a row cancel each other out by pairs. */
  #unary(): Expr {
    const operator = this.#peek();
    if (operator.kind !== "symbol" || (operator.text !== "!" && operator.text !== "-")) return this.#member();
    let count = 0;
    while (this.#accept(operator.text)) count++;
    const odd = count % 2 === 1;
    if (operator.text === "-" && odd) {
      const number = this.#peek();
      if (number.kind === "int" || number.kind === "double") {
        this.#take();
        return this.#postfix(this.#number(number, "-"));
      }
    }
    const arg = this.#member();
    if (!odd) return arg;
    return { kind: "call", at: operator.at, name: operator.text === "!" ? "!_" : "-_", target: undefined, args: [arg] };
  }

  #member(): Expr {
    return this.#postfix(this.#primary());
  }
  #postfix(operand: Expr): Expr {
    let expr = operand;
    for (let links = 0; ; links++) {
      if (links > MAX_DEPTH) this.#fail(this.#peek().at, `expression recursion limit exceeded: ${MAX_DEPTH}`);
      const token = this.#peek();
      if (this.#accept(".")) expr = this.#select(expr, token);
      else if (this.#accept("[")) {
        const optional = this.#accept("?");
        const index = this.#expr();
        this.#expect("]");
        expr = {
          kind: "call",
          at: token.at,
          name: optional ? "_[?_]" : "_[_]",
          target: undefined,
          args: [expr, index],
        };
      } else if (this.#at("{") && isTypeName(expr)) expr = this.#struct(expr);
      else return expr;
    }
  }
  #select(operand: Expr, dot: Token): Expr {
    const optional = this.#accept("?");
    const name = this.#take();
    if ((name.kind !== "ident" || KEYWORDS.has(name.text)) && name.kind !== "quoted-ident") {
      this.#unexpected("IDENTIFIER", name);
    }
    if (!optional && name.kind === "ident" && this.#at("(")) {
      const open = this.#take();
      return expandCall(this.#source, name.text, operand, this.#args(), open.at);
    }
    return { kind: "select", at: dot.at, operand, field: name.text, optional };
  }
  #args(): Expr[] {
    const args: Expr[] = [];
    if (this.#accept(")")) return args;
    do args.push(this.#expr());
    while (this.#accept(","));
    this.#expect(")");
    return args;
  }

  #primary(): Expr {
    const token = this.#take();
    switch (token.kind) {
      case "int":
      case "uint":
      case "double":
        return this.#number(token, "");
      case "string":
        return { kind: "const", at: token.at, value: { type: "string", value: token.text } };
      case "bytes":
        return { kind: "const", at: token.at, value: { type: "bytes", value: token.bytes! } };
      case "ident":
        return this.#identifier(token, token.text);
      case "symbol":
        return this.#bracketed(token);
      default:
        return this.#unexpected(ANY_OPERAND, token);
    }
  }
  #identifier(token: Token, name: string): Expr {
    const { at, text } = token;
    if (text === "true" || text === "false")
      return { kind: "const", at, value: { type: "bool", value: text === "true" } };
    if (text === "null") return { kind: "const", at, value: { type: "null", value: null } };
    if (text === "in") {
      this.#unexpected("IDENTIFIER", token);
    }
    if (RESERVED.has(text)) this.#fail(at, `reserved identifier: ${text}`);
    if (!this.#at("(")) return { kind: "ident", at, name };
    const open = this.#take();
    return expandCall(this.#source, name, undefined, this.#args(), open.at);
  }
  #bracketed(token: Token): Expr {
    switch (token.text) {
      case "(": {
        const expr = this.#expr();
        this.#expect(")");
        return expr;
      }
      case ".": {
        const name = this.#take();
        if (name.kind === "ident") return this.#identifier(name, `.${name.text}`);
        return this.#unexpected("IDENTIFIER", name);
      }
      case "[": {
        const items: { value: Expr; optional: boolean }[] = [];
        while (!this.#at("]")) {
          const optional = this.#accept("?");
          items.push({ value: this.#expr(), optional });
          if (!this.#accept(",")) break;
        }
        this.#expect("]");
        return { kind: "list", at: token.at, items };
      }
      case "{":
        return { kind: "map", at: token.at, entries: this.#mapEntries() };
      default:
        return this.#unexpected(ANY_OPERAND, token);
    }
  }
  #mapEntries(): MapEntry[] {
    const entries: MapEntry[] = [];
    while (!this.#at("}")) {
      const optional = this.#accept("?");
      const key = this.#expr();
      this.#expect(":");
      entries.push({ key, value: this.#expr(), optional });
      if (!this.#accept(",")) break;
    }
    this.#expect("}");
    return entries;
  }
  #struct(type: Expr): Expr {
    const open = this.#take();
    const fields: StructEntry[] = [];
    while (!this.#at("}")) {
      const optional = this.#accept("?");
      const name = this.#take();
      if (name.kind !== "ident" && name.kind !== "quoted-ident") {
        this.#unexpected("IDENTIFIER", name);
      }
      this.#expect(":");
      fields.push({ at: name.at, name: name.text, value: this.#expr(), optional });
      if (!this.#accept(",")) break;
    }
    this.#expect("}");
    return { kind: "struct", at: open.at, name: typeName(type)!, fields };
  }

  #number({ kind, at, text }: Token, sign: "-" | ""): Expr {
    if (kind === "double" && !Number.isFinite(Number(text))) this.#fail(at, "invalid double literal");
    if (kind === "double") return { kind: "const", at, value: { type: "double", value: Number(sign + text) } };
    const value = sign === "-" ? -BigInt(text) : BigInt(text);
    if (kind === "uint") {
      if (value >= 2n ** 64n) this.#fail(at, "invalid uint literal");
      return { kind: "const", at, value: { type: "uint", value } };
    }
    if (value >= 2n ** 63n || value < -(2n ** 63n)) this.#fail(at, "invalid int literal");
    return { kind: "const", at, value: { type: "int", value } };
  }
}

/** `a.b.C` of plain selections, the possible name of a message type. */
export function typeName(expr: Expr): string | undefined {
  if (expr.kind === "ident") return expr.name;
  if (expr.kind !== "select" || expr.optional) return undefined;
  const operand = typeName(expr.operand);
  return operand === undefined ? undefined : `${operand}.${expr.field}`;
}
const isTypeName = (expr: Expr): boolean => typeName(expr) !== undefined;
