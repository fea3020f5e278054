/**
 * The pure machinery under the API: objects and their names, Status errors, selectors, quantities, JSON and YAML,
 * patches, name syntax. Nothing here knows a kind, does I/O, or reads a clock; no function changes its arguments.
 */
export {
  type AnyObject,
  apiVersionOf,
  controllerOf,
  type GroupVersion,
  type KubeObject,
  keyOf,
  keyString,
  type ManagedFieldsEntry,
  type ObjectKey,
  type ObjectMeta,
  type OwnerReference,
  parseApiVersion,
  parseKey,
} from "./object.ts";
export {
  alreadyExists,
  badRequest,
  conflict,
  expired,
  type FieldError,
  forbidden,
  internalError,
  invalid,
  isAlreadyExists,
  isConflict,
  isExpired,
  isForbidden,
  isInvalid,
  ignoreAlreadyExists,
  ignoreNotFound,
  isNotFound,
  isStatusError,
  notAcceptable,
  notFound,
  pathNotFound,
  qualifiedResource,
  REASON_CODES,
  requestEntityTooLarge,
  serviceUnavailable,
  StatusError,
  type StatusReason,
  type Subject,
  timeout,
  tooManyRequests,
  unauthorized,
  unsupportedMediaType,
} from "./errors.ts";
export {
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  goJson,
  fieldNotFound,
  fieldNotSupported,
  fieldOmitted,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  fieldTypeInvalid,
  goQuote,
  isPrintable,
  IMMUTABLE_DETAIL,
} from "./field-errors.ts";
export type { FieldSchema } from "./schema.ts";
export type { UserInfo } from "./user.ts";
export { deepCopy, deepEqual, isRecord } from "./deep.ts";
export { KnownMembers, type Recognised } from "./known-members.ts";
export { changed, findOnce, isShared, share, unshared } from "./shared.ts";
export {
  type Labels,
  labelSelectorAsSelector,
  Requirement,
  Selector,
  SelectorError,
  selectorFromSet,
  type SelectorOperator,
} from "./labels.ts";
export { parseLabelSelector } from "./label-parser.ts";
export { type FieldRequirement, FieldSelector, parseFieldSelector } from "./field-selector.ts";
export { canonicalQuantity, parseQuantity, Quantity, QuantityError, type QuantityFormat } from "./quantity.ts";
export { intOrPercent } from "./int-or-percent.ts";
export {
  assertFinite,
  type Decoded,
  DecodeError,
  decodeJson,
  endOfObject,
  fieldsInTextOrder,
  fractionsOf,
  isTopLevel,
  jsonKind,
  markFractions,
  parseJson,
} from "./json.ts";
export { type DecodedYaml, decodeYaml } from "./yaml/decode.ts";
export { encodeYaml } from "./yaml/encode.ts";
export { applyJsonPatch, type JsonPatchOperation, TestFailedError } from "./patch/json-patch.ts";
export { applyMergePatch } from "./patch/merge-patch.ts";
export { applyStrategicMergePatch } from "./patch/strategic.ts";
export { PatchError } from "./patch/patch-error.ts";
export {
  isCIdentifier,
  isConfigMapKey,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isDns1123SubdomainWithUnderscore,
  isEnvVarName,
  isHttpHeaderName,
  isQualifiedName,
  isValidLabelValue,
  isValidPathSegmentName,
  isValidPercent,
  isValidPortName,
  isValidPortNumber,
  isWildcardDns1123Subdomain,
  validateAnnotations,
  validateLabels,
} from "./validation.ts";
export { formatAddress, parseAddress } from "./cel/lib/ip-address.ts";
