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
export { CelCompileError, CelProgramError, type Issue } from "./errors.ts";
export { CRD_COST_LIMIT, type CostEstimate, RULE_COST_LIMIT } from "./cost.ts";
export { maxOccurrences } from "./places.ts";
export {
  BOOL,
  type CelType,
  DYN,
  INT,
  isTyped,
  listOf,
  mapOf,
  optionalOf,
  showType,
  STRING,
  structType,
  TIMESTAMP,
  typeOfSchema,
} from "./types.ts";
export { type CelStruct, optionalValue, type Value } from "./values.ts";
export { applyConfigurationType, misplacedLiterals, unmergeable, unwritable } from "./apply-types.ts";
export {
  type AuthorizationAnswer,
  type AuthorizationCheck,
  AUTHORIZER_TYPE,
  authorizerValue,
  type AuthorizeFunction,
  requestResourceValue,
  RESOURCE_CHECK_TYPE,
} from "./lib/authorizer.ts";
export { mutationFunctions } from "./lib/index.ts";
export type { FunctionTable } from "./functions.ts";
