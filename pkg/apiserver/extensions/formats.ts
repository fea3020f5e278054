import { isIP } from "node:net";
import { RE2JS } from "re2js";
import { growingLru } from "#pkg/util/index.ts";

const DATE = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;
const DATE_TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const HOSTNAME = /^(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i;
const MAC = /^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$|^([0-9a-f]{4}\.){2}[0-9a-f]{4}$/i;
const EMAIL = /^[^\s@<>()[\]\\,;:"]+@[^\s@]+$/;
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
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

/** Formats that are checked; others mean nothing, as upstream has it. */
const CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  date: (text) => DATE.test(text) && !Number.isNaN(Date.parse(text)),
  "date-time": (text) => DATE_TIME.test(text) && !Number.isNaN(Date.parse(text)),
  duration: (text) => text === "0" || GO_DURATION.test(text) || hasSpelledDuration(text),
  byte: (text) => BASE64.test(text),
  uuid: (text) => UUID.test(text),
  uuid3: (text) => UUID.test(text),
  uuid4: (text) => UUID.test(text),
  uuid5: (text) => UUID.test(text),
  hostname: (text) => HOSTNAME.test(text),
  ipv4: (text) => isIP(text) === 4,
  ipv6: (text) => isIP(text) === 6,
  cidr: isCidr,
  mac: (text) => MAC.test(text),
  email: (text) => EMAIL.test(text),
  uri: isUri,
};

function isCidr(text: string): boolean {
  const [address = "", bits = "", ...rest] = text.split("/");
  const version = isIP(address);
  return version !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

function isUri(text: string): boolean {
  return text.startsWith("/") || URL.canParse(text);
}

/** Undefined when the format is not one that is checked. */
export function formatCheck(format: string): ((text: string) => boolean) | undefined {
  return Object.hasOwn(CHECKS, format) ? CHECKS[format] : undefined;
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
