import { Cursor, SPACES_AND_TABS } from "./cursor.ts";
import { readBlockScalar, readPlain, readQuoted } from "./scalar-reader.ts";

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
const NO_PLAIN_START = new Set("-?:,[]{}#&*!|>'\"%@`");

/**
 * Cuts a YAML 1.1 text into tokens, no further than they are asked for. What it refuses, and on which line, is what
 * libyaml and its descendants refuse there, in their words.
 */
export class Scanner {
  readonly #cursor: Cursor;
  readonly #tokens: Token[] = [];
  #taken = 0;
  /** Column of the innermost block collection, and of those around it. */
  #indent = -1;
  readonly #indents: number[] = [];
  #keyAllowed = true;
  /** For the block context and every flow collection that is open. */
  readonly #keys: (PossibleKey | undefined)[] = [undefined];

  constructor(text: string) {
    this.#cursor = new Cursor(text);
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

  get #inFlow(): boolean {
    return this.#keys.length > 1;
  }
  #push(type: TokenType, text = "", line = this.#cursor.line): void {
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
    if (key.line === this.#cursor.line && key.position + MAX_KEY_LENGTH >= this.#cursor.at) return true;
    if (key.required) this.#cursor.fail("could not find expected ':'");
    this.#keys[this.#keys.indexOf(key)] = undefined;
    return false;
  }
  #dropKey(): void {
    if (this.#keys.at(-1)?.required === true) this.#cursor.fail("could not find expected ':'");
    this.#keys[this.#keys.length - 1] = undefined;
  }
  #noteKey(): void {
    if (!this.#keyAllowed) return;
    this.#dropKey();
    this.#keys[this.#keys.length - 1] = {
      required: !this.#inFlow && this.#indent === this.#cursor.column,
      token: this.#taken + this.#tokens.length,
      position: this.#cursor.at,
      line: this.#cursor.line,
      column: this.#cursor.column,
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
      while (
        this.#cursor.text[this.#cursor.at] === " " ||
        (this.#cursor.text[this.#cursor.at] === "\t" && (this.#inFlow || !this.#keyAllowed))
      ) {
        this.#cursor.at++;
      }
      this.#cursor.comment();
      if (!this.#cursor.isBreak()) return;
      this.#cursor.takeBreak();
      if (!this.#inFlow) this.#keyAllowed = true;
    }
  }
  #fetch(): void {
    this.#skipToToken();
    this.#closeBlocks(this.#cursor.column);
    const character = this.#cursor.text[this.#cursor.at];
    if (character === undefined) return this.#streamEnd();
    if (this.#cursor.column === 0 && character === "%") return this.#directive();
    if (this.#cursor.atMarker("---")) return this.#marker("document start");
    if (this.#cursor.atMarker("...")) return this.#marker("document end");
    const separate = this.#cursor.isGap(this.#cursor.at + 1);
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
    if (!this.#startsPlain(character)) this.#cursor.fail("found character that cannot start any token");
    this.#plain();
  }
  #startsPlain(character: string): boolean {
    if (character === "-") return !this.#cursor.isBlank(this.#cursor.at + 1);
    if (character === "?" || character === ":") return !this.#inFlow && !this.#cursor.isGap(this.#cursor.at + 1);
    return !this.#cursor.isGap() && !NO_PLAIN_START.has(character);
  }
  #indicator(character: "[" | "]" | "{" | "}" | "," | "-" | "?" | ":", keyMayFollow: boolean): void {
    this.#keyAllowed = keyMayFollow;
    this.#push(character);
    this.#cursor.at++;
  }
  #outside(): void {
    this.#closeBlocks(-1);
    this.#dropKey();
    this.#keyAllowed = false;
  }
  #streamEnd(): void {
    if (this.#cursor.column > 0) {
      this.#cursor.line++;
      this.#cursor.lineStart = this.#cursor.at;
    }
    this.#outside();
    this.#push("stream end");
  }
  #marker(type: "document start" | "document end"): void {
    this.#outside();
    this.#push(type);
    this.#cursor.at += 3;
  }
  #directive(): void {
    this.#outside();
    const line = this.#cursor.line;
    this.#cursor.at++;
    const name = this.#cursor.match(WORD);
    if (name === "") this.#cursor.fail("could not find expected directive name");
    if (!this.#cursor.isGap()) this.#cursor.fail("found unexpected non-alphabetical character");
    this.#cursor.match(SPACES_AND_TABS);
    if (name === "YAML") this.#push("directive", `YAML ${this.#version()}`, line);
    else if (name === "TAG") this.#push("directive", `TAG ${this.#tagPrefix()}`, line);
    else this.#cursor.fail("found unknown directive name");
    this.#cursor.match(SPACES_AND_TABS);
    this.#cursor.comment();
    if (this.#cursor.at < this.#cursor.text.length && !this.#cursor.isBreak())
      this.#cursor.fail("did not find expected comment or line break");
  }
  #version(): string {
    const number = (): string => {
      const digits = this.#cursor.match(/[0-9]*/y);
      if (digits.length > 2) this.#cursor.fail("found extremely long version number");
      if (digits === "") this.#cursor.fail("did not find expected version number");
      return digits;
    };
    const major = number();
    if (this.#cursor.text[this.#cursor.at] !== ".") this.#cursor.fail("did not find expected digit or '.' character");
    this.#cursor.at++;
    return `${Number(major)}.${Number(number())}`;
  }
  #tagPrefix(): string {
    const handle = this.#tagHandle();
    if (handle !== "!" && (!handle.endsWith("!") || handle.length === 1))
      this.#cursor.fail("did not find expected '!'");
    if (!this.#cursor.isBlank()) this.#cursor.fail("did not find expected whitespace");
    this.#cursor.match(SPACES_AND_TABS);
    const prefix = this.#uri();
    if (prefix === "") this.#cursor.fail("did not find expected tag URI");
    if (!this.#cursor.isGap()) this.#cursor.fail("did not find expected whitespace or line break");
    return `${handle} ${prefix}`;
  }

  #entry(): void {
    if (!this.#inFlow) {
      if (!this.#keyAllowed) this.#cursor.fail("block sequence entries are not allowed in this context");
      this.#openBlock("block sequence", this.#cursor.column, this.#cursor.line);
    }
    this.#dropKey();
    this.#indicator("-", true);
  }
  #explicitKey(): void {
    if (!this.#inFlow) {
      if (!this.#keyAllowed) this.#cursor.fail("mapping keys are not allowed in this context");
      this.#openBlock("block mapping", this.#cursor.column, this.#cursor.line);
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
      if (!this.#keyAllowed) this.#cursor.fail("mapping values are not allowed in this context");
      this.#openBlock("block mapping", this.#cursor.column, this.#cursor.line);
    }
    this.#indicator(":", !this.#inFlow);
  }
  #name(type: "alias" | "anchor"): void {
    this.#noteKey();
    this.#keyAllowed = false;
    this.#cursor.at++;
    const name = this.#cursor.match(WORD);
    if (name === "" || !(this.#cursor.isGap() || "?:,]}%@`".includes(this.#cursor.text[this.#cursor.at]!))) {
      this.#cursor.fail("did not find expected alphabetic or numeric character");
    }
    this.#push(type, name);
  }

  #tag(): void {
    this.#noteKey();
    this.#keyAllowed = false;
    let handle = "";
    let suffix: string;
    if (this.#cursor.text[this.#cursor.at + 1] === "<") {
      this.#cursor.at += 2;
      suffix = this.#uri();
      if (suffix === "") this.#cursor.fail("did not find expected tag URI");
      if (this.#cursor.text[this.#cursor.at] !== ">") this.#cursor.fail("did not find the expected '>'");
      this.#cursor.at++;
    } else {
      handle = this.#tagHandle();
      const named = handle.length > 1 && handle.endsWith("!");
      suffix = named ? this.#uri() : handle.slice(1) + this.#uri();
      if (named && suffix === "") this.#cursor.fail("did not find expected tag URI");
      if (!named) [handle, suffix] = suffix === "" ? ["", "!"] : ["!", suffix];
    }
    if (!this.#cursor.isGap()) this.#cursor.fail("did not find expected whitespace or line break");
    this.#tokens.push({ type: "tag", text: suffix, line: this.#cursor.line, handle });
  }
  #tagHandle(): string {
    if (this.#cursor.text[this.#cursor.at] !== "!") this.#cursor.fail("did not find expected '!'");
    return this.#cursor.match(/![\w-]*!?/y);
  }
  #uri(): string {
    const uri = this.#cursor.match(URI);
    if (/%(?![0-9a-fA-F]{2})/.test(uri)) this.#cursor.fail("did not find URI escaped octet");
    try {
      return decodeURIComponent(uri);
    } catch {
      this.#cursor.fail("found an incorrect leading UTF-8 octet");
    }
  }

  #blockScalar(literal: boolean): void {
    this.#dropKey();
    this.#keyAllowed = true;
    const { line } = this.#cursor;
    this.#push("scalar", readBlockScalar(this.#cursor, literal, this.#indent), line);
  }
  #quoted(quote: string): void {
    this.#noteKey();
    this.#keyAllowed = false;
    const { line } = this.#cursor;
    this.#push("scalar", readQuoted(this.#cursor, quote), line);
  }
  #plain(): void {
    this.#noteKey();
    const { line } = this.#cursor;
    const { text, broken } = readPlain(this.#cursor, this.#inFlow, this.#indent + 1);
    this.#tokens.push({ type: "scalar", text, line, plain: true });
    this.#keyAllowed = broken;
  }
}
