import { isIP } from "node:net";
import { RE2JS } from "re2js";
import { growingLru } from "#pkg/util/index.ts";

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/;
const TIME = /^(\d{2}):(\d{2}):(\d{2})(.\d+)?(z|[+-]\d{2}:\d{2})$/;
/** The digits that tell versions apart are in the third and fourth group. */
const uuid = (third = "", fourth = ""): RegExp => {
  const group = (first: string): string => (first === "" ? "[0-9a-f]{4}" : `${first}[0-9a-f]{3}`);
  return new RegExp(`^[0-9a-f]{8}-?[0-9a-f]{4}-?${group(third)}-?${group(fourth)}-?[0-9a-f]{12}$`, "i");
};
const UUIDS = { uuid: uuid(), uuid3: uuid("3"), uuid4: uuid("4", "[89ab]"), uuid5: uuid("5", "[89ab]") };
/** A word with at most one hyphen, behind its first letter; or labels that end in a word of letters alone. */
const HOSTNAME =
  /^(?:[a-z0-9\p{S}\p{L}]-?[a-z0-9\p{S}\p{L}]{0,62}|(?:[a-z0-9\p{S}\p{L}](?:[a-z0-9\p{S}\p{L}-]{0,61}[a-z0-9\p{S}\p{L}])?\.)+[a-z\p{L}]{2,63})$/iu;
const CARD =
  /^(?:4\d{12}(?:\d{3})?|5[1-5]\d{14}|6(?:011|5\d\d)\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|(?:2131|1800|35\d{3})\d{11})$/;
const COLOR_PART = String.raw`\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*`;
const RGB = new RegExp(`^rgb\\(${COLOR_PART},${COLOR_PART},${COLOR_PART}\\)$`);
const SHORT_NAME = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?$/;
const LONG_NAME = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
const MAX_HOSTNAME = 255;
const MAX_SHORT_NAME = 63;
const MAX_LONG_NAME = 253;
/** 6, 8 or 20 bytes: each after a colon or hyphen, or two after every dot. */
const MAC =
  /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}(?:(?:\1[0-9a-f]{2}){2}|(?:\1[0-9a-f]{2}){14})?$|^[0-9a-f]{4}(?:\.[0-9a-f]{4}){2}(?:\.[0-9a-f]{4}|(?:\.[0-9a-f]{4}){7})?$/i;
/** A mailbox of RFC 5322: an address alone, or after the name of whom it is. */
const EMAIL = ((): RegExp => {
  const atom = String.raw`[^\s@<>()[\]\\,;:".\p{C}]+`;
  const dotted = String.raw`${atom}(?:\.${atom})*`;
  const quoted = String.raw`"(?:[^"\\\r\n]|\\.)*"`;
  const address = String.raw`(?:${dotted}|${quoted})@(?:${dotted}|\[[^\s[\]\\]+\])`;
  return new RegExp(String.raw`^(?:${address}|(?:(?:${dotted}|${quoted})\s*)*<${address}>)$`, "u");
})();
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/;
const GO_DURATION = /^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*$/;

const SPELLED_DURATION = /\d+\s*([A-Za-zµ]+)/g;
const SHORT_UNITS = new Set(["ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"]);
const LONG_UNITS = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];

/** "3 days", "1 hour and 5 seconds": as long as any part of it is a duration. */
function hasSpelledDuration(text: string): boolean {
  return Array.from(text.matchAll(SPELLED_DURATION), ([, unit]) => unit!.toLowerCase()).some(
    (unit) => SHORT_UNITS.has(unit) || LONG_UNITS.some((long) => unit.startsWith(long)),
  );
}

function isDate(text: string): boolean {
  const [, year, month, day] = (DATE.exec(text) ?? []).map(Number);
  if (year === undefined || month! < 1 || month! > 12 || day! < 1) return false;
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  return day! <= [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month! - 1]!;
}
function isDateTime(text: string): boolean {
  const [date = "", time = ""] = text.toLowerCase().split("t");
  const [, hours, minutes, seconds] = (TIME.exec(time) ?? []).map(Number);
  return isDate(date) && hours !== undefined && hours <= 23 && minutes! <= 59 && seconds! <= 59;
}

/** Luhn's sum. */
function isCard(text: string): boolean {
  const digits = text.replaceAll(/\D+/g, "");
  if (!CARD.test(digits)) return false;
  const sum = Array.from(digits, Number)
    .reverse()
    .reduce((total, digit, index) => total + (index % 2 === 0 ? digit : digit * 2 - (digit > 4 ? 9 : 0)), 0);
  return sum % 10 === 0;
}
function isIsbn10(text: string): boolean {
  const code = text.replaceAll(/[\s-]+/g, "");
  if (!/^\d{9}[\dX]$/.test(code)) return false;
  return (
    Array.from(code).reduce((sum, each, index) => sum + (index + 1) * (each === "X" ? 10 : Number(each)), 0) % 11 === 0
  );
}
function isIsbn13(text: string): boolean {
  const code = text.replaceAll(/[\s-]+/g, "");
  if (!/^\d{13}$/.test(code)) return false;
  return Array.from(code, Number).reduce((sum, digit, index) => sum + digit * (index % 2 === 0 ? 1 : 3), 0) % 10 === 0;
}

/** Formats of strings that are checked, by their names without hyphens. */
const CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  bsonobjectid: (text) => /^[0-9a-f]{24}$/i.test(text),
  byte: (text) => BASE64.test(text),
  cidr: isCidr,
  creditcard: isCard,
  date: isDate,
  datetime: isDateTime,
  duration: (text) => text === "0" || GO_DURATION.test(text) || hasSpelledDuration(text),
  email: (text) => EMAIL.test(text),
  hexcolor: (text) => /^#?(?:[0-9a-f]{3}|[0-9a-f]{6})$/i.test(text),
  hostname: (text) => HOSTNAME.test(text) && Buffer.byteLength(text) <= MAX_HOSTNAME,
  ipv4: (text) => text.includes(".") && ipVersion(text) !== 0,
  ipv6: (text) => text.includes(":") && ipVersion(text) !== 0,
  isbn: (text) => isIsbn10(text) || isIsbn13(text),
  isbn10: isIsbn10,
  isbn13: isIsbn13,
  k8slongname: (text) => text.length <= MAX_LONG_NAME && LONG_NAME.test(text),
  k8sshortname: (text) => text.length <= MAX_SHORT_NAME && SHORT_NAME.test(text),
  mac: (text) => MAC.test(text),
  password: () => true,
  rgbcolor: (text) => RGB.test(text),
  ssn: (text) => text.length === 11 && /^\d{3}[- ]?\d{2}[- ]?\d{4}$/.test(text),
  uri: isUri,
  uuid: (text) => UUIDS.uuid.test(text),
  uuid3: (text) => UUIDS.uuid3.test(text),
  uuid4: (text) => UUIDS.uuid4.test(text),
  uuid5: (text) => UUIDS.uuid5.test(text),
};
/** Formats of numbers say what they are, and are not checked. */
const NUMBER_FORMATS: Readonly<Record<string, readonly string[]>> = {
  integer: ["int32", "int64"],
  number: ["float", "double"],
};

/** Does a format mean anything for values of a type (none: strings)? */
export function isKnownFormat(format: string, type: unknown): boolean {
  if (type === undefined || type === "" || type === "string") return formatCheck(format) !== undefined;
  return NUMBER_FORMATS[String(type)]?.includes(format) ?? false;
}

/** Parts of IPv4 addresses may begin with zeros, as they might in old objects; zones are no part of an address. */
function ipVersion(text: string): number {
  return text.includes("%") ? 0 : isIP(text.replaceAll(/(?<=^|[.:])0+(?=\d+\.)|(?<=\.)0+(?=\d)/g, ""));
}

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...rest] = text.split("/");
  const version = ipVersion(address);
  return version !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

function isUri(text: string): boolean {
  return text.startsWith("/") || URL.canParse(text);
}

/** Undefined when the format is not one that is checked. */
export function formatCheck(format: string): ((text: string) => boolean) | undefined {
  const name = format.replaceAll("-", "");
  return Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined;
}

/** Definitions use the same few patterns again and again, and a compiled one takes kilobytes. */
const patterns = growingLru<string, (text: string) => boolean>(1000);

/** A matcher that finds the pattern anywhere, in time linear to the text, as Go's regexp does. @throws on bad syntax */
export function compilePattern(pattern: string): (text: string) => boolean {
  let matches = patterns.get(pattern);
  if (matches === undefined) {
    const compiled = RE2JS.compile(pattern);
    matches = (text) => compiled.matcher(text).find();
    patterns.set(pattern, matches);
  }
  return matches;
}
