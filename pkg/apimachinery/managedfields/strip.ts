import { difference, type Fields, fieldsOfPaths, recursiveDifference } from "./fields.ts";

/** Fields that nobody manages: identity, and what the server alone sets. */
export const UNTRACKED_ROOT: ReadonlySet<string> = new Set(["apiVersion", "kind"]);
export const UNTRACKED_METADATA: ReadonlySet<string> = new Set([
  "name",
  "namespace",
  "creationTimestamp",
  "selfLink",
  "uid",
  "clusterName",
  "generation",
  "managedFields",
  "resourceVersion",
]);
const UNTRACKED = fieldsOfPaths([
  ...UNTRACKED_ROOT,
  "metadata",
  ...[...UNTRACKED_METADATA].map((name) => `metadata.${name}`),
]);

/** What takes part in nothing: changes there neither gain nor lose anybody a field. Endpoints pass the same array each time. */
const ofPaths = new WeakMap<readonly string[], Fields>();
function resetSet(resetFields: readonly string[]): Fields {
  let set = ofPaths.get(resetFields);
  if (set === undefined) {
    set = fieldsOfPaths(resetFields);
    ofPaths.set(resetFields, set);
  }
  return set;
}

/** `fields` without what the request may not write (`resetFields`, dotted paths). */
export function writableFields(fields: Fields, resetFields: readonly string[] | undefined): Fields {
  return resetFields === undefined || resetFields.length === 0
    ? fields
    : recursiveDifference(fields, resetSet(resetFields));
}

/** `fields` that somebody can own. */
export function trackedFields(fields: Fields, resetFields: readonly string[] | undefined): Fields {
  return writableFields(difference(fields, UNTRACKED), resetFields);
}
