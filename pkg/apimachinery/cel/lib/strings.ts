import { type CostRule, reading } from "../costs.ts";
import { CelError } from "../errors.ts";
import { declare, type LinearCost, type Overload, type SizeEstimates } from "../functions.ts";
import { atMost, type Range } from "../ranges.ts";
import { formatText } from "../format.ts";
import { ArrayList, type CelList } from "../values.ts";

/** Positions count code points. */
const points = (text: string): string[] => [...text];

function index(position: bigint, length: number): number {
  if (position < 0n || position > BigInt(length)) throw new CelError(`index out of range: ${position}`);
  return Number(position);
}
function substring(text: string, start: bigint, end?: bigint): string {
  const characters = points(text);
  const from = index(start, characters.length);
  const to = end === undefined ? characters.length : index(end, characters.length);
  if (from > to) throw new CelError(`invalid substring range. start: ${from}, end: ${to}`);
  return characters.slice(from, to).join("");
}
function indexOf(text: string, part: string, from: bigint): bigint {
  const characters = points(text);
  if (part === "") return from;
  if (from > BigInt(characters.length)) return -1n;
  const start = index(from, characters.length);
  const wanted = points(part);
  for (let i = start; i + wanted.length <= characters.length; i++) {
    if (wanted.every((character, j) => characters[i + j] === character)) return BigInt(i);
  }
  return -1n;
}
function lastIndexOf(text: string, part: string, from?: bigint): bigint {
  const characters = points(text);
  if (part === "") return from ?? BigInt(characters.length);
  if (from !== undefined && from >= BigInt(characters.length)) return -1n;
  const wanted = points(part);
  const last = characters.length - wanted.length;
  const start = from === undefined ? last : Math.min(index(from, characters.length), last);
  for (let i = start; i >= 0; i--) {
    if (wanted.every((character, j) => characters[i + j] === character)) return BigInt(i);
  }
  return -1n;
}
function charAt(text: string, position: bigint): string {
  const characters = points(text);
  return characters[index(position, characters.length)] ?? "";
}
function replace(text: string, from: string, to: string, limit: bigint): string {
  if (limit < 0n)
    return from === "" ? points(text).reduce((all, c) => all + c + to, to) : text.replaceAll(from, () => to);
  let rest = text;
  let done = "";
  for (let i = 0n; i < limit; i++) {
    if (from === "") {
      done += to;
      const [first = ""] = rest;
      done += first;
      rest = rest.slice(first.length);
      if (first === "") break;
      continue;
    }
    const at = rest.indexOf(from);
    if (at < 0) break;
    done += rest.slice(0, at) + to;
    rest = rest.slice(at + from.length);
  }
  return done + rest;
}
function split(text: string, separator: string, limit: bigint): ArrayList {
  if (limit === 0n) return new ArrayList([]);
  const parts = separator === "" ? points(text) : text.split(separator);
  if (limit < 0n || BigInt(parts.length) <= limit) return new ArrayList(parts);
  const kept = parts.slice(0, Number(limit) - 1);
  return new ArrayList([...kept, parts.slice(Number(limit) - 1).join(separator)]);
}
function join(list: CelList, separator: string): string {
  return Array.from({ length: list.length }, (_, i) => list.at(i) as string).join(separator);
}
const ascii = (text: string, pattern: RegExp, shift: number): string =>
  text.replaceAll(pattern, (character) => String.fromCharCode(character.charCodeAt(0) + shift));
const QUOTES: Readonly<Record<string, string>> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};
const quote = (text: string): string =>
  `"${Array.from(text.toWellFormed(), (character) => QUOTES[character] ?? character).join("")}"`;
/** What Unicode calls white space: not quite what JavaScript trims. */
const SPACE = new Set(
  "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000",
);
function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && SPACE.has(text[start]!)) start++;
  while (end > start && SPACE.has(text[end - 1]!)) end--;
  return text.slice(start, end);
}
const own = { traverses: [0] };
/** Estimates round up. */
const seeking: LinearCost = {
  rule: (sizes) => (sizes.estimated ? reading(sizes.of(0)) : Math.floor(sizes.of(0) / 10)),
};
const ownSize: LinearCost = { ...own, resultSize: (sizes) => sizes.of(0) };
/** Reads the text and writes the result. */
const rebuilding: CostRule = (sizes) => reading(2 * sizes.of(0));
const replacing: LinearCost = { rule: rebuilding, resultSize: replacedSize };
const splitting: LinearCost = {
  rule: rebuilding,
  resultSize: (sizes) => ({ min: 0, max: sizes.literal(2) ?? sizes.of(0).max }),
};
const quoting: LinearCost = {
  ...own,
  resultSize: (sizes) => ({ min: sizes.of(0).min + 2, max: atMost(sizes.of(0).max * 2 + 2) }),
};

/** From replacing as little as possible to replacing the shortest parts by the longest text everywhere. */
function replacedSize(sizes: SizeEstimates): Range {
  const [text, part, by] = [sizes.of(0), sizes.of(1), sizes.of(2)];
  const most =
    part.min === 0
      ? { count: atMost(text.max + 1), kept: text.max }
      : by.max <= part.min
        ? { count: 0, kept: text.max }
        : { count: Math.ceil(text.max / part.min), kept: 0 };
  const least =
    part.max === 0
      ? { count: text.min + 1, kept: text.min }
      : part.max <= by.min
        ? { count: 0, kept: text.min }
        : { count: Math.ceil(text.min / part.max), kept: 0 };
  return { min: atMost(least.count * by.min + least.kept), max: atMost(most.count * by.max + most.kept) };
}
/** With a separator between the texts, or without one. */
const joining =
  (separated: boolean): CostRule =>
  (sizes) => {
    const separators = separated ? sizes.of(1) * Math.max(0, sizes.of(0) - 1) : 0;
    const length = sizes.characters(0) + separators;
    return reading(sizes.estimated ? length : 2 * length);
  };

/** cel-go's ext.Strings, version 2. */
export const stringsLibrary: readonly Overload[] = [
  declare("charAt", "string.(int) -> string", charAt),
  declare("indexOf", "string.(string) -> int", (text: string, part: string) => indexOf(text, part, 0n), seeking),
  declare(
    "indexOf",
    "string.(string, int) -> int",
    (text: string, part: string, from: bigint) => indexOf(text, part, from),
    seeking,
  ),
  declare("lastIndexOf", "string.(string) -> int", (text: string, part: string) => lastIndexOf(text, part), seeking),
  declare(
    "lastIndexOf",
    "string.(string, int) -> int",
    (text: string, part: string, from: bigint) => lastIndexOf(text, part, from),
    seeking,
  ),
  declare("lowerAscii", "string.() -> string", (text: string) => ascii(text, /[A-Z]/g, 32), ownSize),
  declare("upperAscii", "string.() -> string", (text: string) => ascii(text, /[a-z]/g, -32), ownSize),
  declare("trim", "string.() -> string", (text: string) => trim(text), ownSize),
  declare(
    "replace",
    "string.(string, string) -> string",
    (text: string, from: string, to: string) => replace(text, from, to, -1n),
    replacing,
  ),
  declare("replace", "string.(string, string, int) -> string", replace, replacing),
  declare(
    "split",
    "string.(string) -> list<string>",
    (text: string, separator: string) => split(text, separator, -1n),
    splitting,
  ),
  declare("split", "string.(string, int) -> list<string>", split, splitting),
  declare("substring", "string.(int) -> string", (text: string, start: bigint) => substring(text, start), ownSize),
  declare("substring", "string.(int, int) -> string", substring, ownSize),
  declare("join", "list<string>.() -> string", (list: CelList) => join(list, ""), joining(false)),
  declare("join", "list<string>.(string) -> string", join, joining(true)),
  declare("strings.quote", "(string) -> string", quote, quoting),
  declare("format", "string.(list<dyn>) -> string", formatText, own),
];
