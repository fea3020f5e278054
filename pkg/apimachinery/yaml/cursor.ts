import { DecodeError } from "../json.ts";

export const SPACES_AND_TABS = /[ \t]*/y;
export const REST_OF_LINE = /[^\n\r\u0085\u2028\u2029]*/y;

/** A place in a YAML text that moves on, and what can be asked of it. */
export class Cursor {
  readonly text: string;
  at = 0;
  /** Counted from 0. */
  line = 0;
  lineStart = 0;

  constructor(text: string) {
    this.text = text;
  }
  get column(): number {
    return this.at - this.lineStart;
  }
  get ended(): boolean {
    return this.at >= this.text.length;
  }
  /** @throws DecodeError in libyaml's form */
  fail(problem: string): never {
    throw new DecodeError(`yaml: ${this.line === 0 ? "" : `line ${this.line + 1}: `}${problem}`);
  }
  isBreak(at = this.at): boolean {
    const code = this.text.charCodeAt(at);
    return code === 0x0a || code === 0x0d || code === 0x85 || code === 0x2028 || code === 0x2029;
  }
  isBlank(at = this.at): boolean {
    const code = this.text.charCodeAt(at);
    return code === 0x20 || code === 0x09;
  }
  /** A blank, a line break or the end. */
  isGap(at = this.at): boolean {
    return at >= this.text.length || this.isBlank(at) || this.isBreak(at);
  }
  match(pattern: RegExp): string {
    pattern.lastIndex = this.at;
    const [found] = pattern.exec(this.text) ?? [""];
    this.at += found.length;
    return found;
  }
  /** Reads a line break, as it counts in scalars. */
  takeBreak(): string {
    const character = this.text[this.at];
    if (character === undefined) return "";
    this.at += character === "\r" && this.text[this.at + 1] === "\n" ? 2 : 1;
    this.line++;
    this.lineStart = this.at;
    return character >= "\u2028" ? character : "\n";
  }
  comment(): void {
    if (this.text[this.at] === "#") this.match(REST_OF_LINE);
  }
  atMarker(marker: string): boolean {
    return this.column === 0 && this.text.startsWith(marker, this.at) && this.isGap(this.at + 3);
  }
}
