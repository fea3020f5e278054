/**
 * Field management: who set which field of an object (metadata.managedFields), and server-side apply on top of it.
 * Sets of fields stay in their wire form (FieldsV1) throughout, so that an ordinary write costs one comparison of the
 * object with its predecessor and touches only the entries whose fields changed.
 */
export { applyObject, type ApplyRequest, type ApplyResult } from "./apply.ts";
export { updateManagedFields, type UpdateRequest } from "./update.ts";
export { assertTyped, TypedObjectError } from "./field-set.ts";
export { writeEntries } from "./managers.ts";
export { managerFromUserAgent } from "./manager-name.ts";
export type { Fields } from "./fields.ts";
