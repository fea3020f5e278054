import { CelCompileError, type Issue } from "./errors.ts";

export type TokenKind = "ident" | "quoted-ident" | "int" | "uint" | "double" | "string" | "bytes" | "symbol" | "end";
export interface Token {
  readonly kind: TokenKind;
  readonly at: number;
  /** Source text; for strings the decoded text, for bytes see `bytes`. */
  readonly text: string;
  readonly bytes?: Uint8Array;
}

const SYMBOLS = [
  "&&",
  "||",
  "==",
  "!=",
  "<=",
  ">=",
  "<",
  ">",
  "!",
  "?",
  ":",
  ".",
  ",",
  "(",
  ")",
  "[",
  "]",
  "{",
  "}",
  "+",
  "-",
  "*",
  "/",
  "%",
];
const SPACE = /(?:[ \t\r\n\f]|\/\/[^\n]*)*/y;
const NUMBER =
  /0[xX][0-9a-fA-F]+[uU]?|(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)|[0-9]+[uU]?/y;
const IDENT = /[_a-zA-Z][_a-zA-Z0-9]*/y;
const STRING_START = /(?:[rR][bB]|[bB][rR]|[rR]|[bB])?(?:"""|'''|"|')/y;
const QUOTED_IDENT = /`[a-zA-Z0-9_.\-/ ]+`/y;

function match(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

export function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  let at = 0;
  for (;;) {
    at += match(SPACE, source, at)!.length;
    if (at >= source.length) break;
    const token = next(source, at);
    tokens.push(token.token);
    at = token.end;
  }
  tokens.push({ kind: "end", at: source.length, text: "<EOF>" });
  return tokens;
}

function fail(source: string, issue: Issue): never {
  throw new CelCompileError(source, [issue]);
}

function next(source: string, at: number): { token: Token; end: number } {
  const string = match(STRING_START, source, at);
  if (string !== undefined) return readString(source, at, string);
  const number = match(NUMBER, source, at);
  if (number !== undefined) {
    const end = at + number.length;
    if (/[uU]$/.test(number)) return { token: { kind: "uint", at, text: number.slice(0, -1) }, end };
    const kind = /^0[xX]/.test(number) || /^[0-9]+$/.test(number) ? "int" : "double";
    return { token: { kind, at, text: number }, end };
  }
  const ident = match(IDENT, source, at);
  if (ident !== undefined) return { token: { kind: "ident", at, text: ident }, end: at + ident.length };
  const quoted = match(QUOTED_IDENT, source, at);
  if (quoted !== undefined)
    return { token: { kind: "quoted-ident", at, text: quoted.slice(1, -1) }, end: at + quoted.length };
  const symbol = SYMBOLS.find((candidate) => source.startsWith(candidate, at));
  if (symbol !== undefined) return { token: { kind: "symbol", at, text: symbol }, end: at + symbol.length };
  return fail(source, {
    offset: at,
    message: `Syntax error: token recognition error at: '${source.slice(at, at + 1)}'`,
  });
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "?": "?",
  '"': '"',
  "'": "'",
  "`": "`",
};
const ESCAPE =
  /\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|([abfnrtv\\?"'`]))/y;

function readString(source: string, at: number, start: string): { token: Token; end: number } {
  const quoteLength = start.endsWith('"""') || start.endsWith("'''") ? 3 : 1;
  const quote = start.slice(-quoteLength);
  const prefix = start.slice(0, -quoteLength).toLowerCase();
  const isBytes = prefix.includes("b");
  const isRaw = prefix.includes("r");
  let position = at + start.length;
  let text = "";
  const bytes: number[] = [];
  const add = (piece: string): void => {
    if (isBytes) bytes.push(...Buffer.from(piece, "utf8"));
    else text += piece;
  };
  for (;;) {
    if (position >= source.length || (quoteLength === 1 && /[\n\r]/.test(source[position]!))) {
      fail(source, { offset: at, message: `Syntax error: token recognition error at: '${source.slice(at, at + 20)}'` });
    }
    if (source.startsWith(quote, position)) break;
    if (source[position] !== "\\" || isRaw) {
      const character = String.fromCodePoint(source.codePointAt(position)!);
      add(character);
      position += character.length;
      continue;
    }
    const escape = match(ESCAPE, source, position);
    if (escape === undefined)
      fail(source, { offset: at, message: "Syntax error: invalid escape sequence in string literal" });
    position += escape.length;
    const kind = escape[1]!;
    const code = /[0-3]/.test(kind) ? Number.parseInt(escape.slice(1), 8) : Number.parseInt(escape.slice(2), 16);
    if (ESCAPES[kind] !== undefined && escape.length === 2) add(ESCAPES[kind]);
    else if (isBytes) {
      if (kind === "u" || kind === "U")
        fail(source, { offset: at, message: "Syntax error: unicode escape in bytes literal" });
      bytes.push(code);
    } else if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
      fail(source, { offset: at, message: "Syntax error: invalid unicode code point" });
    } else add(String.fromCodePoint(code));
  }
  const end = position + quoteLength;
  if (isBytes) return { token: { kind: "bytes", at, text: "", bytes: Uint8Array.from(bytes) }, end };
  return { token: { kind: "string", at, text }, end };
}
