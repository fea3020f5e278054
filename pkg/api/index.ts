/**
 * What the API is: one declaration per kind, data plus small pure functions. Nothing here does I/O, keeps state, or knows
 * how objects are stored or served. `builtinResources` is what the API server registers; CustomResourceDefinitions
 * produce the same `ResourceDefinition` at run time.
 */
export { type CronSchedule, CronScheduleError, isTimeZone, parseCronSchedule } from "./batch/cron-schedule.ts";
export { type BuiltinOptions, builtinResources } from "./builtin.ts";
export { adoptAppArmorAnnotations } from "./core/app-armor.ts";
export { defaultPodSpec } from "./core/pod-defaults.ts";
export { groupOrder, groupVersions } from "./define.ts";
export { age } from "./printers/cells.ts";
export { scalePrinter } from "./printers/scale.ts";
export type {
  FieldSchema,
  Printer,
  PrinterColumn,
  TableRowCondition,
  RequestInfo,
  ResourceDefinition,
  MetadataField,
  Strategy,
  SubresourceDefinition,
  SubresourceKind,
  Verb,
} from "./resource.ts";
export type { ResourceRef } from "./resource-ref.ts";
export { embeddedObjects } from "./schema/embedded.ts";
export { cannotBeHandled, checkFields, type FieldCheck } from "./schema/check-fields.ts";
export {
  type Definition,
  definitionNameOf,
  definitions,
  type FieldMarkers,
  protobufMessageOf,
} from "./schema/definitions.ts";
export { doubtfulMembers } from "./schema/compile-fine.ts";
export { prune } from "./schema/prune.ts";
export { schemaOf } from "./schema/schema-of.ts";
export { rootSchema, structuralSchema } from "./schema/structural.ts";
export {
  FOREGROUND_FINALIZER,
  hasKnownOwner,
  ORPHAN_FINALIZER,
  validateFinalizerName,
  validateFinalizerOwner,
} from "./validation/finalizers.ts";
export { validateReviewVersions, validateWebhookService, validateWebhookUrl } from "./validation/webhook-client.ts";
