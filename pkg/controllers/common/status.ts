import { deepEqual } from "#pkg/apimachinery/index.ts";

/** Equality of statuses: a count of zero, an empty list and an empty map equal an absent one, as a server may write either. */
export function sameStatus(a: object | undefined, b: object | undefined): boolean {
  return deepEqual(withoutEmpty(a), withoutEmpty(b));
}

function withoutEmpty(status: object = {}): object {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => !isEmpty(value)));
}

function isEmpty(value: unknown): boolean {
  return value === 0 || (typeof value === "object" && value !== null && Object.keys(value).length === 0);
}
