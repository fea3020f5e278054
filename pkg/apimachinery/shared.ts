/**
 * Values that many objects have in common, such as the spec of all pods made from one template: whatever is found out
 * about one (its defaults, its errors, its text) is found out once. They are frozen through and through: holders read
 * them and hand them on, and who wants another one takes a copy.
 */
import { deepCopy } from "./deep.ts";

/** What is known of each shared value, by what it is about. */
const findings = new WeakMap<object, Map<unknown, unknown>>();
/** Beyond it nothing more is kept: a value that has as many variants is not what its objects have in common. */
const MAX_FINDINGS = 64;

/**
 * Makes a value shared, and with it its members, which may become members of others. It must be JSON data that nobody
 * else holds any part of.
 */
export function share<T extends object>(value: T): T {
  freeze(value);
  findings.set(value, new Map());
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) findings.set(member as object, new Map());
  }
  return value;
}

function freeze(value: object): void {
  for (const member of Object.values(value)) if (typeof member === "object" && member !== null) freeze(member);
  Object.freeze(value);
}

/** Was the value frozen by `share`, so that what is found out about it once holds for good? */
export function isShared(value: unknown): boolean {
  return typeof value === "object" && value !== null && findings.has(value);
}

/** What `find` says about `value`. `about` names the question: the answer may depend on it and the value alone. */
export function findOnce<T>(value: object, about: unknown, find: () => T): T {
  const known = findings.get(value);
  if (known === undefined) return find();
  const found = known.get(about);
  if (found !== undefined) return found as T;
  const answer = find();
  if (known.size < MAX_FINDINGS) known.set(about, answer);
  return answer;
}

/** `value` to be written to: itself, or a copy when it is shared. */
export function unshared<T>(value: T): T {
  return isShared(value) ? deepCopy(value) : value;
}

/**
 * `value` after `change`, which happens in place; with a shared value it happens to a copy, once for all objects whose
 * value is to be changed alike: `about` names everything that `change` depends on.
 */
export function changed<T extends object>(value: T, about: string, change: (own: T) => void): T {
  const known = findings.get(value);
  const found = known?.get(about);
  if (found !== undefined) return found as T;
  const own = known === undefined ? value : deepCopy(value);
  change(own);
  if (known !== undefined && known.size < MAX_FINDINGS) known.set(about, share(own));
  return own;
}
