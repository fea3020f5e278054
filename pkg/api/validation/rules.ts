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

/** A port by number or by name. */
export function portNumberOrName(port: number | string | undefined, path: string): FieldError[] {
  if (typeof port === "string") return allInvalid(path, port, isValidPortName(port));
  return allInvalid(path, port ?? 0, isValidPortNumber(port ?? 0));
}

export function immutable(value: unknown, old: unknown, path: string): FieldError[] {
  return deepEqual(orEmpty(value), orEmpty(old)) ? [] : [fieldInvalid(path, value ?? null, IMMUTABLE_DETAIL)];
}

/** Upstream cannot tell an empty list, map or text from an absent one. */
function orEmpty(value: unknown): unknown {
  if (value === undefined || value === null || value === "") return null;
  if (Array.isArray(value)) return value.length === 0 ? null : value;
  return typeof value === "object" && Object.keys(value).length === 0 ? null : value;
}

/** Equal as upstream's semantic comparison sees it: quantities aside, absent and empty are the same. */
export function sameValue(a: unknown, b: unknown): boolean {
  return deepEqual(orEmpty(a), orEmpty(b));
}

/** IPv4 or IPv6 text; leading zeros and IPv4 dressed as IPv6 mean different things to different readers. */
export function validIp(value: string, path: string): FieldError[] {
  if (/^::ffff:/i.test(value) && isIP(value) === 6) {
    return [fieldInvalid(path, value, "must not be an IPv4-mapped IPv6 address")];
  }
  return isIP(value) === 0 || value.includes("%")
    ? [fieldInvalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
    : [];
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
  return isCidr(value)
    ? []
    : [fieldInvalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")];
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
