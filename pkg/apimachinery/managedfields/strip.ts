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

/** `fields` without untracked ones, and without what the request may not write (`resetFields`, dotted paths). */
export function trackedFields(fields: Fields, resetFields: readonly string[] | undefined): Fields {
  const tracked = difference(fields, UNTRACKED);
  return resetFields === undefined || resetFields.length === 0
    ? tracked
    : recursiveDifference(tracked, fieldsOfPaths(resetFields));
}
