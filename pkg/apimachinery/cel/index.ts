/**
 * CEL with Kubernetes' libraries: expressions are compiled once against the types of their variables and evaluated many
 * times, counting what they cost. Evaluation is synchronous, bounded, and does not change what it is given.
 */
export {
  type CompileOptions,
  compileCel,
  type Evaluation,
  PER_CALL_COST_LIMIT,
  type Program,
  REQUEST_COST_BUDGET,
} from "./program.ts";
export { CelCompileError, CelCostError, CelError, CelProgramError, type Issue } from "./errors.ts";
export { CRD_COST_LIMIT, type CostEstimate, RULE_COST_LIMIT } from "./cost.ts";
export { maxOccurrences, maxSize } from "./places.ts";
export {
  BOOL,
  BYTES,
  type CelType,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  optionalOf,
  showType,
  STRING,
  structType,
  TIMESTAMP,
  typeOfSchema,
  UINT,
} from "./types.ts";
export { type CelStruct, Composite, fromJson, optionalValue, toJson, type Value } from "./values.ts";
export { isTyped } from "./types.ts";
export { escapeFieldName, unescapeFieldName } from "./names.ts";
export { applyConfigurationTypes } from "./apply-types.ts";
export {
  type AuthorizationAnswer,
  type AuthorizationCheck,
  AUTHORIZER_TYPE,
  authorizerValue,
  type AuthorizeFunction,
  requestResourceValue,
  RESOURCE_CHECK_TYPE,
} from "./lib/authorizer.ts";
export { functionTable, type FunctionTable } from "./functions.ts";
export { kubernetesFunctions } from "./lib/index.ts";
