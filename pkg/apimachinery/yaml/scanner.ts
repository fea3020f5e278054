import { DecodeError } from "../json.ts";

export type TokenType =
  | "stream end"
  | "directive"
  | "document start"
  | "document end"
  | "block sequence"
  | "block mapping"
  | "block end"
  | "["
  | "]"
  | "{"
  | "}"
  | ","
  | "-"
  | "?"
  | ":"
  | "alias"
  | "anchor"
  | "tag"
  | "scalar";

export interface Token {
  readonly type: TokenType;
  /** Counted from 0. */
  readonly line: number;
  /** Name of an alias or anchor, value of a scalar, suffix of a tag, words of a directive. */
  readonly text: string;
  /** Of a tag: what its prefix is looked up by; "" for a tag that is written out. */
  readonly handle?: string;
  /** A scalar without quotes, whose type follows from what it looks like. */
  readonly plain?: boolean;
}

/** Where an implicit key may have begun: a ":" behind it makes it one. */
interface PossibleKey {
  /** Nothing else can stand there. */
  readonly required: boolean;
  /** Number of its first token. */
  readonly token: number;
  readonly position: number;
  readonly line: number;
  readonly column: number;
}

/** An implicit key is on one line and no longer than that. */
const MAX_KEY_LENGTH = 1024;

const WORD = /[\w-]+/y;
const URI = /[\w\-;/?:@&=+$,.!~*'()[\]%]+/y;
const SPACES_AND_TABS = /[ \t]*/y;
const REST_OF_LINE = /[^\n\r\u0085\u2028\u2029]*/y;
/** What a plain scalar goes on with up to the next blank; a ":" is part of it when something follows. */
const PLAIN = /[^ \t\n\r\u0085\u2028\u2029:]*(?::(?![ \t\n\r\u0085\u2028\u2029]|$)[^ \t\n\r\u0085\u2028\u2029:]*)*/y;
const PLAIN_IN_FLOW =
  /[^ \t\n\r\u0085\u2028\u2029:,?[\]{}]*(?::(?![ \t\n\r\u0085\u2028\u2029]|$)[^ \t\n\r\u0085\u2028\u2029:,?[\]{}]*)*/y;
const QUOTED = /[^ \t\n\r\u0085\u2028\u2029"\\]*/y;
const SINGLE_QUOTED = /[^ \t\n\r\u0085\u2028\u2029']*(?:''[^ \t\n\r\u0085\u2028\u2029']*)*/y;
const NO_PLAIN_START = new Set("-?:,[]{}#&*!|>'\"%@`");

const ESCAPES: Readonly<Record<string, string>> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  t: "\t",
  "\t": "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  e: "\x1b",
  " ": " ",
  '"': '"',
  "'": "'",
  "\\": "\\",
  N: "\u0085",
  _: "\u00a0",
  L: "\u2028",
  P: "\u2029",
};
const ESCAPE_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/**
 * Cuts a YAML 1.1 text into tokens, no further than they are asked for. What it refuses, and on which line, is what
 * libyaml and its descendants refuse there, in their words.
 */
export class Scanner {
  readonly #text: string;
  #at = 0;
  #line = 0;
  #lineStart = 0;
  readonly #tokens: Token[] = [];
  #taken = 0;
  /** Column of the innermost block collection, and of those around it. */
  #indent = -1;
  readonly #indents: number[] = [];
  #keyAllowed = true;
  /** For the block context and every flow collection that is open. */
  readonly #keys: (PossibleKey | undefined)[] = [undefined];

  constructor(text: string) {
    this.#text = text;
  }
  /** @throws DecodeError */
  peek(): Token {
    // A token that may turn out to begin a key has to wait for what follows it.
    while (this.#tokens.length === 0 || this.#mayBeKey(this.#tokenKey(this.#taken))) this.#fetch();
    return this.#tokens[0]!;
  }
  /** @throws DecodeError */
  take(): Token {
    const token = this.peek();
    this.#tokens.shift();
    this.#taken++;
    return token;
  }

  get #column(): number {
    return this.#at - this.#lineStart;
  }
  get #inFlow(): boolean {
    return this.#keys.length > 1;
  }
  #fail(problem: string): never {
    throw new DecodeError(`yaml: ${this.#line === 0 ? "" : `line ${this.#line + 1}: `}${problem}`);
  }
  #isBreak(at = this.#at): boolean {
    const code = this.#text.charCodeAt(at);
    return code === 0x0a || code === 0x0d || code === 0x85 || code === 0x2028 || code === 0x2029;
  }
  #isBlank(at = this.#at): boolean {
    const code = this.#text.charCodeAt(at);
    return code === 0x20 || code === 0x09;
  }
  /** A blank, a line break or the end. */
  #isGap(at = this.#at): boolean {
    return at >= this.#text.length || this.#isBlank(at) || this.#isBreak(at);
  }
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [""];
    this.#at += found.length;
    return found;
  }
  /** Reads a line break, as it counts in scalars. */
  #break(): string {
    const character = this.#text[this.#at];
    if (character === undefined) return "";
    this.#at += character === "\r" && this.#text[this.#at + 1] === "\n" ? 2 : 1;
    this.#line++;
    this.#lineStart = this.#at;
    return character >= "\u2028" ? character : "\n";
  }
  #comment(): void {
    if (this.#text[this.#at] === "#") this.#match(REST_OF_LINE);
  }
  #atMarker(marker: string): boolean {
    return this.#column === 0 && this.#text.startsWith(marker, this.#at) && this.#isGap(this.#at + 3);
  }

  #push(type: TokenType, text = "", line = this.#line): void {
    this.#tokens.push({ type, text, line });
  }
  #tokenKey(token: number): PossibleKey | undefined {
    for (let at = this.#keys.length - 1; at >= 0; at--) {
      const key = this.#keys[at];
      if (key !== undefined && key.token === token) return key;
    }
    return undefined;
  }
  /** Whether it can still become a key; forgets it if not. */
  #mayBeKey(key: PossibleKey | undefined): boolean {
    if (key === undefined) return false;
    if (key.line === this.#line && key.position + MAX_KEY_LENGTH >= this.#at) return true;
    if (key.required) this.#fail("could not find expected ':'");
    this.#keys[this.#keys.indexOf(key)] = undefined;
    return false;
  }
  #dropKey(): void {
    if (this.#keys.at(-1)?.required === true) this.#fail("could not find expected ':'");
    this.#keys[this.#keys.length - 1] = undefined;
  }
  #noteKey(): void {
    if (!this.#keyAllowed) return;
    this.#dropKey();
    this.#keys[this.#keys.length - 1] = {
      required: !this.#inFlow && this.#indent === this.#column,
      token: this.#taken + this.#tokens.length,
      position: this.#at,
      line: this.#line,
      column: this.#column,
    };
  }
  #openBlock(type: "block sequence" | "block mapping", column: number, line: number, before?: number): void {
    if (this.#inFlow || this.#indent >= column) return;
    this.#indents.push(this.#indent);
    this.#indent = column;
    const place = before === undefined ? this.#tokens.length : before - this.#taken;
    this.#tokens.splice(place, 0, { type, text: "", line });
  }
  #closeBlocks(column: number): void {
    if (this.#inFlow) return;
    while (this.#indent > column) {
      this.#push("block end");
      this.#indent = this.#indents.pop()!;
    }
  }

  #skipToToken(): void {
    for (;;) {
      // Tabs are no indentation.
      while (this.#text[this.#at] === " " || (this.#text[this.#at] === "\t" && (this.#inFlow || !this.#keyAllowed))) {
        this.#at++;
      }
      this.#comment();
      if (!this.#isBreak()) return;
      this.#break();
      if (!this.#inFlow) this.#keyAllowed = true;
    }
  }
  #fetch(): void {
    this.#skipToToken();
    this.#closeBlocks(this.#column);
    const character = this.#text[this.#at];
    if (character === undefined) return this.#streamEnd();
    if (this.#column === 0 && character === "%") return this.#directive();
    if (this.#atMarker("---")) return this.#marker("document start");
    if (this.#atMarker("...")) return this.#marker("document end");
    const separate = this.#isGap(this.#at + 1);
    switch (character) {
      case "[":
      case "{":
        this.#noteKey();
        this.#keys.push(undefined);
        return this.#indicator(character, true);
      case "]":
      case "}":
        this.#dropKey();
        if (this.#inFlow) this.#keys.pop();
        return this.#indicator(character, false);
      case ",":
        this.#dropKey();
        return this.#indicator(character, true);
      case "-":
        if (separate) return this.#entry();
        break;
      case "?":
        if (separate || this.#inFlow) return this.#explicitKey();
        break;
      case ":":
        if (separate || this.#inFlow) return this.#value();
        break;
      case "*":
        return this.#name("alias");
      case "&":
        return this.#name("anchor");
      case "!":
        return this.#tag();
      case "|":
      case ">":
        if (!this.#inFlow) return this.#blockScalar(character === "|");
        break;
      case "'":
      case '"':
        return this.#quoted(character);
      default:
    }
    if (!this.#startsPlain(character)) this.#fail("found character that cannot start any token");
    this.#plain();
  }
  #startsPlain(character: string): boolean {
    if (character === "-") return !this.#isBlank(this.#at + 1);
    if (character === "?" || character === ":") return !this.#inFlow && !this.#isGap(this.#at + 1);
    return !this.#isGap() && !NO_PLAIN_START.has(character);
  }
  #indicator(character: "[" | "]" | "{" | "}" | "," | "-" | "?" | ":", keyMayFollow: boolean): void {
    this.#keyAllowed = keyMayFollow;
    this.#push(character);
    this.#at++;
  }
  #outside(): void {
    this.#closeBlocks(-1);
    this.#dropKey();
    this.#keyAllowed = false;
  }
  #streamEnd(): void {
    if (this.#column > 0) {
      this.#line++;
      this.#lineStart = this.#at;
    }
    this.#outside();
    this.#push("stream end");
  }
  #marker(type: "document start" | "document end"): void {
    this.#outside();
    this.#push(type);
    this.#at += 3;
  }
  #directive(): void {
    this.#outside();
    const line = this.#line;
    this.#at++;
    const name = this.#match(WORD);
    if (name === "") this.#fail("could not find expected directive name");
    if (!this.#isGap()) this.#fail("found unexpected non-alphabetical character");
    this.#match(SPACES_AND_TABS);
    if (name === "YAML") this.#push("directive", `YAML ${this.#version()}`, line);
    else if (name === "TAG") this.#push("directive", `TAG ${this.#tagPrefix()}`, line);
    else this.#fail("found unknown directive name");
    this.#match(SPACES_AND_TABS);
    this.#comment();
    if (this.#at < this.#text.length && !this.#isBreak()) this.#fail("did not find expected comment or line break");
  }
  #version(): string {
    const number = (): string => {
      const digits = this.#match(/[0-9]*/y);
      if (digits.length > 2) this.#fail("found extremely long version number");
      if (digits === "") this.#fail("did not find expected version number");
      return digits;
    };
    const major = number();
    if (this.#text[this.#at] !== ".") this.#fail("did not find expected digit or '.' character");
    this.#at++;
    return `${Number(major)}.${Number(number())}`;
  }
  #tagPrefix(): string {
    const handle = this.#tagHandle();
    if (handle !== "!" && (!handle.endsWith("!") || handle.length === 1)) this.#fail("did not find expected '!'");
    if (!this.#isBlank()) this.#fail("did not find expected whitespace");
    this.#match(SPACES_AND_TABS);
    const prefix = this.#uri();
    if (prefix === "") this.#fail("did not find expected tag URI");
    if (!this.#isGap()) this.#fail("did not find expected whitespace or line break");
    return `${handle} ${prefix}`;
  }

  #entry(): void {
    if (!this.#inFlow) {
      if (!this.#keyAllowed) this.#fail("block sequence entries are not allowed in this context");
      this.#openBlock("block sequence", this.#column, this.#line);
    }
    this.#dropKey();
    this.#indicator("-", true);
  }
  #explicitKey(): void {
    if (!this.#inFlow) {
      if (!this.#keyAllowed) this.#fail("mapping keys are not allowed in this context");
      this.#openBlock("block mapping", this.#column, this.#line);
    }
    this.#dropKey();
    this.#indicator("?", !this.#inFlow);
  }
  #value(): void {
    const key = this.#keys.at(-1);
    if (key !== undefined && this.#mayBeKey(key)) {
      this.#tokens.splice(key.token - this.#taken, 0, { type: "?", text: "", line: key.line });
      this.#openBlock("block mapping", key.column, key.line, key.token);
      this.#keys[this.#keys.length - 1] = undefined;
      return this.#indicator(":", false);
    }
    if (!this.#inFlow) {
      if (!this.#keyAllowed) this.#fail("mapping values are not allowed in this context");
      this.#openBlock("block mapping", this.#column, this.#line);
    }
    this.#indicator(":", !this.#inFlow);
  }
  #name(type: "alias" | "anchor"): void {
    this.#noteKey();
    this.#keyAllowed = false;
    this.#at++;
    const name = this.#match(WORD);
    if (name === "" || !(this.#isGap() || "?:,]}%@`".includes(this.#text[this.#at]!))) {
      this.#fail("did not find expected alphabetic or numeric character");
    }
    this.#push(type, name);
  }

  #tag(): void {
    this.#noteKey();
    this.#keyAllowed = false;
    let handle = "";
    let suffix: string;
    if (this.#text[this.#at + 1] === "<") {
      this.#at += 2;
      suffix = this.#uri();
      if (suffix === "") this.#fail("did not find expected tag URI");
      if (this.#text[this.#at] !== ">") this.#fail("did not find the expected '>'");
      this.#at++;
    } else {
      handle = this.#tagHandle();
      const named = handle.length > 1 && handle.endsWith("!");
      suffix = named ? this.#uri() : handle.slice(1) + this.#uri();
      if (named && suffix === "") this.#fail("did not find expected tag URI");
      if (!named) [handle, suffix] = suffix === "" ? ["", "!"] : ["!", suffix];
    }
    if (!this.#isGap()) this.#fail("did not find expected whitespace or line break");
    this.#tokens.push({ type: "tag", text: suffix, line: this.#line, handle });
  }
  #tagHandle(): string {
    if (this.#text[this.#at] !== "!") this.#fail("did not find expected '!'");
    return this.#match(/![\w-]*!?/y);
  }
  #uri(): string {
    const uri = this.#match(URI);
    if (/%(?![0-9a-fA-F]{2})/.test(uri)) this.#fail("did not find URI escaped octet");
    try {
      return decodeURIComponent(uri);
    } catch {
      this.#fail("found an incorrect leading UTF-8 octet");
    }
  }

  #blockScalar(literal: boolean): void {
    this.#dropKey();
    this.#keyAllowed = true;
    const line = this.#line;
    this.#at++;
    const header = this.#match(/[+-][0-9]?|[0-9][+-]?/y);
    if (header.includes("0")) this.#fail("found an indentation indicator equal to 0");
    const chomp = /[+-]/.exec(header)?.[0];
    const increment = Number(/[0-9]/.exec(header)?.[0] ?? 0);
    this.#match(SPACES_AND_TABS);
    this.#comment();
    if (this.#at < this.#text.length && !this.#isBreak()) this.#fail("did not find expected comment or line break");
    this.#break();
    let text = "";
    let lineBreak = "";
    let afterMore = false;
    let [emptyLines, indent] = this.#emptyLines(increment > 0 ? Math.max(this.#indent, 0) + increment : 0);
    while (this.#column === indent && this.#at < this.#text.length) {
      // Lines that are indented further, and those beside them, are not folded.
      const more = this.#isBlank();
      if (literal || afterMore || more || lineBreak !== "\n") text += lineBreak;
      else if (emptyLines === "") text += " ";
      text += emptyLines;
      afterMore = more;
      text += this.#match(REST_OF_LINE);
      lineBreak = this.#break();
      [emptyLines] = this.#emptyLines(indent);
    }
    if (chomp !== "-") text += lineBreak;
    if (chomp === "+") text += emptyLines;
    this.#push("scalar", text, line);
  }
  /** Line breaks up to the next line of a block scalar, and how far it is indented: 0 leaves that to its first line. */
  #emptyLines(given: number): [breaks: string, indent: number] {
    let breaks = "";
    let deepest = 0;
    for (;;) {
      while ((given === 0 || this.#column < given) && this.#text[this.#at] === " ") this.#at++;
      deepest = Math.max(deepest, this.#column);
      if ((given === 0 || this.#column < given) && this.#text[this.#at] === "\t") {
        this.#fail("found a tab character where an indentation space is expected");
      }
      if (!this.#isBreak()) break;
      breaks += this.#break();
    }
    return [breaks, given === 0 ? Math.max(deepest, this.#indent + 1, 1) : given];
  }

  /** Blanks and line breaks inside of a scalar as they count there: one break is a space, further ones stay. */
  #fold(inIndent: (column: number) => void, onNewLine: boolean): { text: string; broken: boolean } {
    let blanks = "";
    let first = "";
    let further = "";
    let broken = onNewLine;
    while (this.#at < this.#text.length) {
      if (this.#isBlank()) {
        if (broken) inIndent(this.#column);
        else blanks += this.#text[this.#at];
        this.#at++;
      } else if (this.#isBreak()) {
        if (broken) further += this.#break();
        else first = this.#break();
        broken = true;
      } else break;
    }
    if (!broken) return { text: blanks, broken };
    if (first === "\n") return { text: further === "" ? " " : further, broken };
    return { text: first + further, broken };
  }
  #quoted(quote: string): void {
    this.#noteKey();
    this.#keyAllowed = false;
    const line = this.#line;
    this.#at++;
    let text = "";
    for (;;) {
      if (this.#atMarker("---") || this.#atMarker("...")) this.#fail("found unexpected document indicator");
      if (this.#at >= this.#text.length) this.#fail("found unexpected end of stream");
      let escapedBreak = false;
      if (quote === "'") text += this.#match(SINGLE_QUOTED).replaceAll("''", "'");
      else {
        text += this.#match(QUOTED);
        while (this.#text[this.#at] === "\\" && !escapedBreak) {
          if (this.#isBreak(this.#at + 1)) {
            this.#at++;
            this.#break();
            escapedBreak = true;
          } else text += this.#escape() + this.#match(QUOTED);
        }
      }
      if (this.#text[this.#at] === quote) break;
      text += this.#fold(() => undefined, escapedBreak).text;
    }
    this.#at++;
    this.#push("scalar", text, line);
  }
  #escape(): string {
    const kind = this.#text[this.#at + 1] ?? "";
    const digits = ESCAPE_DIGITS[kind];
    if (digits === undefined) {
      const plain = ESCAPES[kind];
      if (plain === undefined) this.#fail("found unknown escape character");
      this.#at += 2;
      return plain;
    }
    const code = this.#text.slice(this.#at + 2, this.#at + 2 + digits);
    if (code.length < digits || !/^[0-9a-fA-F]*$/.test(code)) this.#fail("did not find expected hexdecimal number");
    const value = Number.parseInt(code, 16);
    if ((value >= 0xd800 && value <= 0xdfff) || value > 0x10_ff_ff) {
      this.#fail("found invalid Unicode character escape code");
    }
    this.#at += 2 + digits;
    return String.fromCodePoint(value);
  }
  #plain(): void {
    this.#noteKey();
    this.#keyAllowed = false;
    const line = this.#line;
    const indent = this.#indent + 1;
    const pattern = this.#inFlow ? PLAIN_IN_FLOW : PLAIN;
    const inIndent = (column: number): void => {
      if (column < indent && this.#text[this.#at] === "\t")
        this.#fail("found a tab character that violates indentation");
    };
    let text = "";
    let gap = { text: "", broken: false };
    while (!this.#atMarker("---") && !this.#atMarker("...") && this.#text[this.#at] !== "#") {
      const part = this.#match(pattern);
      if (part !== "") {
        text += gap.text + part;
        gap = { text: "", broken: false };
      }
      if (!this.#isBlank() && !this.#isBreak()) break;
      gap = this.#fold(inIndent, false);
      if (!this.#inFlow && this.#column < indent) break;
    }
    this.#tokens.push({ type: "scalar", text, line, plain: true });
    if (gap.broken) this.#keyAllowed = true;
  }
}
