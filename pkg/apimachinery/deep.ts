/** Sets a member as JSON.parse does: a key named __proto__ is data, never the prototype. */
export function setMember(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  } else object[key] = value;
}

/** A plain JSON object: neither null, nor an array, nor a scalar. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A copy that shares nothing with `value`, which must be JSON data (members that are `undefined` stay so). */
export function deepCopy<T>(value: T): T {
  return copy(value) as T;
}

function copy(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) {
    const length = value.length;
    const array: unknown[] = [];
    for (let i = 0; i < length; i++) {
      const item: unknown = value[i];
      array.push(typeof item === "object" && item !== null ? copy(item) : item);
    }
    return array;
  }
  const source = value as Record<string, unknown>;
  const object: Record<string, unknown> = {};
  for (const key in source) {
    const member = source[key];
    const copied = typeof member === "object" && member !== null ? copy(member) : member;
    if (key === "__proto__") setMember(object, key, copied);
    else object[key] = copied;
  }
  return object;
}

/**
 * Equality of JSON data. The order of members does not matter, and a member that is `undefined` equals an absent one,
 * because neither is written.
 */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a !== a && b !== b;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let i = 0; i < a.length; i++) {
      if (a[i] !== b[i] && !deepEqual(a[i], b[i])) return false;
    }
    return true;
  }
  if (Array.isArray(b)) return false;
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  let members = 0;
  for (const key in left) {
    members++;
    const value = left[key];
    const other = right[key];
    if (other !== value && !deepEqual(value, other)) return false;
  }
  for (const _ in right) members--;
  return members === 0 || countDefined(left) === countDefined(right);
}

function countDefined(object: Record<string, unknown>): number {
  let count = 0;
  for (const key in object) if (object[key] !== undefined) count++;
  return count;
}
