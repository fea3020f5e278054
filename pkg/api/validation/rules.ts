/**
 * The words in which validation is written. Every function returns the errors it found, in upstream's order and
 * wording; paths are dotted texts such as `spec.containers[0].name`.
 */
import { isIP } from "node:net";
import {
  deepEqual,
  type FieldError,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  IMMUTABLE_DETAIL,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isQualifiedName,
  isValidPortName,
  isValidPortNumber,
  parseQuantity,
} from "#pkg/apimachinery/index.ts";

export {
  type FieldError,
  fieldDuplicate as duplicate,
  fieldForbidden as forbidden,
  fieldInvalid as invalid,
  fieldNotFound as missing,
  fieldNotSupported as notSupported,
  fieldRequired as required,
  fieldTooLong as tooLong,
  fieldTooMany as tooMany,
} from "#pkg/apimachinery/index.ts";

export const MAX_INT32 = 2 ** 31 - 1;

/** One error per message. */
export function allInvalid(path: string, value: unknown, messages: readonly string[]): FieldError[] {
  return messages.map((message) => fieldInvalid(path, value, message));
}

export function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

export function nonNegative(value: number | undefined, path: string): FieldError[] {
  return (value ?? 0) < 0 ? [fieldInvalid(path, value, "must be greater than or equal to 0")] : [];
}

export function inRange(value: number | undefined, low: number, high: number, path: string): FieldError[] {
  if (value === undefined || (value >= low && value <= high)) return [];
  return [fieldInvalid(path, value, `must be between ${low} and ${high}, inclusive`)];
}

/** A word out of a list; absence is an error of its own unless `optional`. */
export function oneOf(
  value: string | undefined,
  supported: readonly string[],
  path: string,
  optional = false,
): FieldError[] {
  if (value === undefined || value === "") return optional ? [] : [fieldRequired(path)];
  return supported.includes(value) ? [] : [fieldNotSupported(path, value, supported)];
}

/** A word out of a list, where upstream tells an empty word, which is none of the list, from an absent one. */
export function given(value: string | undefined, supported: readonly string[], path: string): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [fieldNotSupported(path, value, supported)];
}

export const dnsLabel = (value: string, path: string): FieldError[] => allInvalid(path, value, isDns1123Label(value));
export const dns1035Label = (value: string, path: string): FieldError[] =>
  allInvalid(path, value, isDns1035Label(value));
export const dnsSubdomain = (value: string, path: string): FieldError[] =>
  allInvalid(path, value, isDns1123Subdomain(value));
export const qualifiedName = (value: string, path: string): FieldError[] =>
  allInvalid(path, value, isQualifiedName(value));

export function requiredText(value: string | undefined, path: string, detail = ""): FieldError[] {
  return isEmpty(value) ? [fieldRequired(path, detail)] : [];
}

const PATH_FORMAT = "[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+";
const PATH = new RegExp(`^${PATH_FORMAT}$`);

/** "acme.io/foo": a domain and a path below it. */
export function domainPrefixedPath(value: string, path: string): FieldError[] {
  if (value === "") return [fieldRequired(path)];
  const slash = value.indexOf("/");
  const [domain, rest] = [value.slice(0, slash), value.slice(slash + 1)];
  if (slash <= 0 || rest === "") {
    return [fieldInvalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')];
  }
  const errors = dnsSubdomain(domain, path);
  if (PATH.test(rest)) return errors;
  return [...errors, fieldInvalid(path, rest, `Invalid path (regex used for validation is '${PATH_FORMAT}')`)];
}

/** A port by number or by name. */
export function portNumberOrName(port: number | string | undefined, path: string): FieldError[] {
  if (typeof port === "string") return allInvalid(path, port, isValidPortName(port));
  return allInvalid(path, port ?? 0, isValidPortNumber(port ?? 0));
}

export function immutable(value: unknown, old: unknown, path: string): FieldError[] {
  return deepEqual(orEmpty(value), orEmpty(old)) ? [] : [fieldInvalid(path, value ?? null, IMMUTABLE_DETAIL)];
}

/** Upstream cannot tell an empty list or text from an absent one. */
function orEmpty(value: unknown): unknown {
  if (value === undefined || value === null || value === "") return null;
  return Array.isArray(value) && value.length === 0 ? null : value;
}

/**
 * Equal as upstream's semantic comparison sees it. Deeper down, what is empty and stands for nothing was left out when the
 * object was read, and quantities were written in one way; an empty object that is left is one that somebody wrote.
 */
export function sameValue(a: unknown, b: unknown): boolean {
  return deepEqual(orEmpty(a), orEmpty(b));
}

/** Octets with zeros before them: some read them as octal. */
const PADDED_OCTET = /(?<![0-9])0+(?=[0-9])/g;
const isMapped = (address: string): boolean => /^::ffff:/i.test(address) && isIP(address) === 6;

/** An address as lenient readers take it. */
function lenientIp(value: string): string {
  const text = value.includes(".") ? value.replaceAll(PADDED_OCTET, "") : value;
  return isIP(text) === 0 || text.includes("%") ? "" : text;
}

/** IPv4 or IPv6 text; leading zeros and IPv4 dressed as IPv6 mean different things to different readers. */
export function validIp(value: string, path: string): FieldError[] {
  const address = lenientIp(value);
  if (address === "") {
    return [fieldInvalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")];
  }
  if (address !== value) return [fieldInvalid(path, value, "must not have leading 0s")];
  return isMapped(value) ? [fieldInvalid(path, value, "must not be an IPv4-mapped IPv6 address")] : [];
}

export function ipFamily(value: string): 4 | 6 | 0 {
  return isIP(value) as 4 | 6 | 0;
}

export function isCidr(value: string): boolean {
  const slash = value.indexOf("/");
  if (slash < 0) return false;
  const family = isIP(value.slice(0, slash));
  const bits = value.slice(slash + 1);
  return family !== 0 && /^(?:0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

export function validCidr(value: string, path: string): FieldError[] {
  const slash = value.indexOf("/");
  const bits = value.slice(slash + 1);
  const lenient = slash < 0 ? "" : `${lenientIp(value.slice(0, slash))}/${bits.replace(/^0+(?=[0-9])/, "")}`;
  if (!isCidr(lenient)) {
    return [fieldInvalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")];
  }
  if (lenient !== value) return [fieldInvalid(path, value, "must not have leading 0s in IP or prefix length")];
  if (isMapped(value.slice(0, slash))) {
    return [fieldInvalid(path, value, "must not have an IPv4-mapped IPv6 address")];
  }
  return hasHostBits(value.slice(0, slash), Number(bits))
    ? [fieldInvalid(path, value, "must not have bits set beyond the prefix length")]
    : [];
}

/** Is the address more than the network it names? */
function hasHostBits(address: string, bits: number): boolean {
  const bytes = addressBytes(address);
  return bytes.some((byte, index) => (byte & (0xff >> Math.min(8, Math.max(0, bits - index * 8)))) !== 0);
}

function addressBytes(address: string): number[] {
  if (isIP(address) === 4) return address.split(".").map(Number);
  const [, quad] = /:([0-9.]+\.[0-9.]+)$/.exec(address) ?? [];
  const octets = quad?.split(".").map(Number);
  const hex = (a: number, b: number): string => ((a << 8) | b).toString(16);
  const plain =
    octets === undefined
      ? address
      : `${address.slice(0, -quad!.length)}${hex(octets[0]!, octets[1]!)}:${hex(octets[2]!, octets[3]!)}`;
  const [head = "", tail] = plain.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail ?? "")];
  const middle = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...middle, ...after].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

/** Addresses that mean this machine, or a group of machines, to whoever reads them. */
export function nonSpecialIp(ip: string, path: string): FieldError[] {
  const address = lenientIp(ip);
  if (address === "") return [fieldInvalid(path, ip, "must be a valid IP address")];
  const bytes = addressBytes(address);
  const four = bytes.length === 4;
  const starts = (...first: number[]): boolean => first.every((byte, index) => bytes[index] === byte);
  const only = (last: number): boolean => bytes.every((byte, i) => byte === (i === bytes.length - 1 ? last : 0));
  const errors: FieldError[] = [];
  const bad = (why: string) => errors.push(fieldInvalid(path, ip, why));
  if (only(0)) bad(`may not be unspecified (${ip})`);
  if (four ? starts(127) : only(1)) bad("may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (four ? starts(169, 254) : starts(0xfe) && (bytes[1]! & 0xc0) === 0x80) {
    bad("may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  }
  if (four ? starts(224, 0, 0) : starts(0xff) && (bytes[1]! & 0x0f) === 2) {
    bad("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
  }
  return errors;
}

/** A path that stays below where it starts. */
export function localPath(value: string, path: string): FieldError[] {
  if (value.startsWith("/")) return [fieldInvalid(path, value, "must be a relative path")];
  return noBacksteps(value, path);
}

export function noBacksteps(value: string, path: string): FieldError[] {
  return value.split("/").includes("..") ? [fieldInvalid(path, value, "must not contain '..'")] : [];
}

/** A name a process may have: UIDs and GIDs are signed 32-bit numbers. */
export function validId(value: number | undefined, path: string): FieldError[] {
  return inRange(value, 0, MAX_INT32, path);
}

export function nonNegativeQuantity(value: string | number, path: string): FieldError[] {
  const quantity = parseQuantity(value);
  return quantity.sign < 0 ? [fieldInvalid(path, quantity.toString(), "must be greater than or equal to 0")] : [];
}

/** A map as Go shows it: its keys in order. */
export function shownMap(map: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> | null {
  return map === undefined ? null : Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Errors of every element of a list, each with its own path. */
export function each<T>(
  items: readonly T[] | null | undefined,
  path: string,
  check: (item: T, path: string, index: number) => FieldError[],
): FieldError[] {
  if (items === undefined || items === null) return [];
  const errors: FieldError[] = [];
  for (let index = 0; index < items.length; index++) {
    const found = check(items[index]!, `${path}[${index}]`, index);
    if (found.length > 0) errors.push(...found);
  }
  return errors;
}
