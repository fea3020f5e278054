import { difference, type Fields, fieldsOfPaths, recursiveDifference } from "./fields.ts";

/** Fields that nobody manages: identity, and what the server alone sets. */
const UNTRACKED = fieldsOfPaths([
  "apiVersion",
  "kind",
  "metadata",
  "metadata.name",
  "metadata.namespace",
  "metadata.creationTimestamp",
  "metadata.selfLink",
  "metadata.uid",
  "metadata.clusterName",
  "metadata.generation",
  "metadata.managedFields",
  "metadata.resourceVersion",
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
