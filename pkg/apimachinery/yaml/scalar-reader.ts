import { type Cursor, REST_OF_LINE, SPACES_AND_TABS } from "./cursor.ts";

/** What a plain scalar goes on with up to the next blank; a ":" is part of it when something follows. */
const PLAIN = /[^ \t\n\r\u0085\u2028\u2029:]*(?::(?![ \t\n\r\u0085\u2028\u2029]|$)[^ \t\n\r\u0085\u2028\u2029:]*)*/y;
const PLAIN_IN_FLOW =
  /[^ \t\n\r\u0085\u2028\u2029:,?[\]{}]*(?::(?![ \t\n\r\u0085\u2028\u2029]|$)[^ \t\n\r\u0085\u2028\u2029:,?[\]{}]*)*/y;
const QUOTED = /[^ \t\n\r\u0085\u2028\u2029"\\]*/y;
const SINGLE_QUOTED = /[^ \t\n\r\u0085\u2028\u2029']*(?:''[^ \t\n\r\u0085\u2028\u2029']*)*/y;

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
 * A literal or folded scalar, from its indicator on; `outer` is the column of the collection that it is in.
 * @throws DecodeError
 */
export function readBlockScalar(cursor: Cursor, literal: boolean, outer: number): string {
  cursor.at++;
  const header = cursor.match(/[+-][0-9]?|[0-9][+-]?/y);
  if (header.includes("0")) cursor.fail("found an indentation indicator equal to 0");
  const chomp = /[+-]/.exec(header)?.[0];
  const increment = Number(/[0-9]/.exec(header)?.[0] ?? 0);
  cursor.match(SPACES_AND_TABS);
  cursor.comment();
  if (!cursor.ended && !cursor.isBreak()) cursor.fail("did not find expected comment or line break");
  cursor.takeBreak();
  let text = "";
  let lineBreak = "";
  let afterMore = false;
  let [empty, indent] = emptyLines(cursor, increment > 0 ? Math.max(outer, 0) + increment : 0, outer);
  while (cursor.column === indent && !cursor.ended) {
    // Lines that are indented further, and those beside them, are not folded.
    const more = cursor.isBlank();
    if (literal || afterMore || more || lineBreak !== "\n") text += lineBreak;
    else if (empty === "") text += " ";
    text += empty;
    afterMore = more;
    text += cursor.match(REST_OF_LINE);
    lineBreak = cursor.takeBreak();
    [empty] = emptyLines(cursor, indent, outer);
  }
  if (chomp !== "-") text += lineBreak;
  if (chomp === "+") text += empty;
  return text;
}

/** Line breaks up to the next line of a block scalar, and how far it is indented: 0 leaves that to its first line. */
function emptyLines(cursor: Cursor, given: number, outer: number): [breaks: string, indent: number] {
  let breaks = "";
  let deepest = 0;
  for (;;) {
    while ((given === 0 || cursor.column < given) && cursor.text[cursor.at] === " ") cursor.at++;
    deepest = Math.max(deepest, cursor.column);
    if ((given === 0 || cursor.column < given) && cursor.text[cursor.at] === "\t") {
      cursor.fail("found a tab character where an indentation space is expected");
    }
    if (!cursor.isBreak()) break;
    breaks += cursor.takeBreak();
  }
  return [breaks, given === 0 ? Math.max(deepest, outer + 1, 1) : given];
}

/** Blanks and line breaks inside of a scalar as they count there: one break is a space, further ones stay. */
function fold(
  cursor: Cursor,
  inIndent: (column: number) => void,
  onNewLine: boolean,
): { text: string; broken: boolean } {
  let blanks = "";
  let first = "";
  let further = "";
  let broken = onNewLine;
  while (!cursor.ended) {
    if (cursor.isBlank()) {
      if (broken) inIndent(cursor.column);
      else blanks += cursor.text[cursor.at];
      cursor.at++;
    } else if (cursor.isBreak()) {
      if (broken) further += cursor.takeBreak();
      else first = cursor.takeBreak();
      broken = true;
    } else break;
  }
  if (!broken) return { text: blanks, broken };
  if (first === "\n") return { text: further === "" ? " " : further, broken };
  return { text: first + further, broken };
}

/** A scalar in quotes, from the first to the last of them. @throws DecodeError */
export function readQuoted(cursor: Cursor, quote: string): string {
  cursor.at++;
  let text = "";
  for (;;) {
    if (cursor.atMarker("---") || cursor.atMarker("...")) cursor.fail("found unexpected document indicator");
    if (cursor.ended) cursor.fail("found unexpected end of stream");
    let escapedBreak = false;
    if (quote === "'") text += cursor.match(SINGLE_QUOTED).replaceAll("''", "'");
    else {
      text += cursor.match(QUOTED);
      while (cursor.text[cursor.at] === "\\" && !escapedBreak) {
        if (cursor.isBreak(cursor.at + 1)) {
          cursor.at++;
          cursor.takeBreak();
          escapedBreak = true;
        } else text += readEscape(cursor) + cursor.match(QUOTED);
      }
    }
    if (cursor.text[cursor.at] === quote) break;
    text += fold(cursor, () => undefined, escapedBreak).text;
  }
  cursor.at++;
  return text;
}

function readEscape(cursor: Cursor): string {
  const kind = cursor.text[cursor.at + 1] ?? "";
  const digits = ESCAPE_DIGITS[kind];
  if (digits === undefined) {
    const plain = ESCAPES[kind];
    if (plain === undefined) cursor.fail("found unknown escape character");
    cursor.at += 2;
    return plain;
  }
  const code = cursor.text.slice(cursor.at + 2, cursor.at + 2 + digits);
  if (code.length < digits || !/^[0-9a-fA-F]*$/.test(code)) cursor.fail("did not find expected hexdecimal number");
  const value = Number.parseInt(code, 16);
  if ((value >= 0xd800 && value <= 0xdfff) || value > 0x10_ff_ff) {
    cursor.fail("found invalid Unicode character escape code");
  }
  cursor.at += 2 + digits;
  return String.fromCodePoint(value);
}

/**
 * A scalar without quotes whose further lines begin no further left than `indent`, and whether a line ended behind it.
 * @throws DecodeError
 */
export function readPlain(cursor: Cursor, inFlow: boolean, indent: number): { text: string; broken: boolean } {
  const pattern = inFlow ? PLAIN_IN_FLOW : PLAIN;
  const inIndent = (column: number): void => {
    if (column < indent && cursor.text[cursor.at] === "\t")
      cursor.fail("found a tab character that violates indentation");
  };
  let text = "";
  let gap = { text: "", broken: false };
  while (!cursor.atMarker("---") && !cursor.atMarker("...") && cursor.text[cursor.at] !== "#") {
    const part = cursor.match(pattern);
    if (part !== "") {
      text += gap.text + part;
      gap = { text: "", broken: false };
    }
    if (!cursor.isBlank() && !cursor.isBreak()) break;
    gap = fold(cursor, inIndent, false);
    if (!inFlow && cursor.column < indent) break;
  }
  return { text, broken: gap.broken };
}
