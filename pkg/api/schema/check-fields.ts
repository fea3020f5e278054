import type { FieldSchema } from "#pkg/apimachinery/index.ts";
import { compileChecker } from "./compile-check.ts";

export interface FieldCheck {
  /** Paths of fields the schema does not know, e.g. `spec.containers[0].foo`. */
  readonly unknown: readonly string[];
  /** What Go's decoder would refuse the object for, in its words; the first one is what upstream reports. */
  readonly errors: readonly string[];
}

const NOTHING_WRONG: FieldCheck = { unknown: [], errors: [] };

/** Compares an object's fields with its schema. Never changes the object. */
export function checkFields(schema: FieldSchema, object: unknown): FieldCheck {
  const state = { path: [], mapKeys: [], embedded: new Map(), unknown: [], errors: [], ended: false, struct: "" };
  compileChecker(schema)(object, state);
  return state.unknown.length === 0 && state.errors.length === 0 ? NOTHING_WRONG : state;
}

/** The 400 message for an object that does not decode as its kind. */
export function cannotBeHandled(kind: string, version: string, why: string): string {
  return `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${why}`;
}
