import type { FieldError } from "#pkg/apimachinery/index.ts";
import {
  badRequest,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  type FieldSelector,
  invalid,
  isPrintable,
  parseFieldSelector,
  parseLabelSelector,
  type Selector,
  SelectorError,
} from "#pkg/apimachinery/index.ts";
import { isTrue } from "../http/target.ts";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

/** Options every write shares. */
export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string;
  readonly fieldValidation: FieldValidation;
  /** As the client gave it; "" when it left that to the server. */
  readonly statedFieldValidation: FieldValidation | "";
  /** Server-side apply: take fields from other managers. */
  readonly force: boolean;
}

const FIELD_VALIDATIONS = ["Ignore", "Strict", "Warn"];
const MAX_FIELD_MANAGER_BYTES = 128;

/**
 * Reads the query of a write. `kind` (CreateOptions, UpdateOptions, PatchOptions) names the options in errors; `patch`
 * says of a patch of which type it is.
 * @throws StatusError 422
 */
export function parseWriteOptions(kind: string, query: URLSearchParams, patch?: string): WriteOptions {
  if (query.size === 0 && patch !== "apply") return PLAIN_WRITE;
  const errors: FieldError[] = [];
  const fieldManager = query.get("fieldManager") ?? "";
  if (patch === "apply") {
    if (fieldManager === "") errors.push(fieldRequired("fieldManager", "is required for apply patch"));
  } else if (patch !== undefined && query.has("force")) {
    errors.push(fieldForbidden("force", "may not be specified for non-apply patch"));
  }
  if (Buffer.byteLength(fieldManager) > MAX_FIELD_MANAGER_BYTES) {
    const detail = `may not be more than ${MAX_FIELD_MANAGER_BYTES} bytes`;
    errors.push({ type: "FieldValueTooLong", field: "fieldManager", message: `Too long: ${detail}` });
  }
  let at = 0;
  for (const character of fieldManager) {
    if (!isPrintable(character)) {
      const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
      errors.push(fieldInvalid("fieldManager", fieldManager, `invalid character U+${code} (at position ${at})`));
    }
    at += Buffer.byteLength(character);
  }
  const dryRun = parseDryRun(query.getAll("dryRun"), errors);
  const fieldValidation = query.get("fieldValidation") ?? "";
  if (fieldValidation !== "" && !FIELD_VALIDATIONS.includes(fieldValidation)) {
    errors.push(fieldNotSupported("fieldValidation", fieldValidation, ["", ...FIELD_VALIDATIONS]));
  }
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind }, "", errors);
  return {
    dryRun,
    fieldManager,
    fieldValidation: fieldValidation === "" ? "Warn" : (fieldValidation as FieldValidation),
    statedFieldValidation: fieldValidation as FieldValidation | "",
    force: query.has("force") && isTrue(query.get("force")),
  };
}

const PLAIN_WRITE: WriteOptions = Object.freeze({
  dryRun: false,
  fieldManager: "",
  fieldValidation: "Warn",
  statedFieldValidation: "",
  force: false,
});

export function parseDryRun(values: readonly string[], errors: FieldError[]): boolean {
  if (values.some((value) => value !== "All")) errors.push(fieldNotSupported("dryRun", values, ["All"]));
  return values.length > 0;
}

export interface ListOptions {
  readonly labelSelector: Selector | undefined;
  readonly fieldSelector: FieldSelector | undefined;
  /** "" when not given. */
  readonly resourceVersion: string;
  readonly resourceVersionMatch: "" | "Exact" | "NotOlderThan";
  readonly limit: number;
  readonly continue: string;
  readonly timeoutSeconds: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
}

const PLAIN_LIST: ListOptions = Object.freeze({
  labelSelector: undefined,
  fieldSelector: undefined,
  resourceVersion: "",
  resourceVersionMatch: "",
  limit: 0,
  continue: "",
  timeoutSeconds: undefined,
  allowWatchBookmarks: false,
  sendInitialEvents: undefined,
});

/** @throws StatusError 400 for selectors that do not parse, 422 for options that do not go together. */
export function parseListOptions(query: URLSearchParams, watch: boolean): ListOptions {
  if (query.size === 0) return PLAIN_LIST;
  const labelSelector = parseSelector(query.get("labelSelector"), parseLabelSelector);
  const fieldSelector = parseSelector(query.get("fieldSelector"), parseFieldSelector);
  const sendInitialEvents = query.get("sendInitialEvents");
  const options: ListOptions = {
    labelSelector: labelSelector?.empty === true ? undefined : labelSelector,
    fieldSelector: fieldSelector?.empty === true ? undefined : fieldSelector,
    resourceVersion: query.get("resourceVersion") ?? "",
    resourceVersionMatch: (query.get("resourceVersionMatch") ?? "") as ListOptions["resourceVersionMatch"],
    timeoutSeconds: parseInteger(query.get("timeoutSeconds")),
    limit: parseInteger(query.get("limit")) ?? 0,
    continue: query.get("continue") ?? "",
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: sendInitialEvents === null ? undefined : isTrue(sendInitialEvents),
  };
  const errors = watch ? watchOptionErrors(options) : listOptionErrors(options);
  if (errors.length > 0) throw invalid({ group: "meta.k8s.io", kind: "ListOptions" }, "", errors);
  return options;
}

function parseSelector<T>(text: string | null, parse: (text: string) => T): T | undefined {
  if (text === null || text === "") return undefined;
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

/** A parameter that is an integer of 64 bits. @throws StatusError 400 */
export function parseInteger(text: string | null): number | undefined {
  if (text === null) return undefined;
  const why = !/^[+-]?\d+$/.test(text)
    ? "invalid syntax"
    : Math.abs(Number(text)) >= 2 ** 63
      ? "value out of range"
      : undefined;
  if (why !== undefined) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`);
  return Number(text);
}

const MATCH = "resourceVersionMatch";

function watchOptionErrors(options: ListOptions): FieldError[] {
  const match: string = options.resourceVersionMatch;
  const errors: FieldError[] = [];
  const forbid = (why: string): unknown => errors.push(fieldForbidden(MATCH, why));
  const initial = options.sendInitialEvents !== undefined;
  const supported = match === "NotOlderThan";
  if (initial && !supported) forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
  // A watch that begins with what there is has both by itself.
  const byDefault = !initial && match === "" && (options.resourceVersion === "" || options.resourceVersion === "0");
  if (match === "" && !byDefault) return errors;
  if (!initial && !byDefault)
    forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
  if (!supported && !byDefault) errors.push(fieldNotSupported(MATCH, match, ["NotOlderThan"]));
  if (options.continue !== "") forbid("resourceVersionMatch is forbidden when continue is provided");
  return errors;
}

function listOptionErrors(options: ListOptions): FieldError[] {
  const match: string = options.resourceVersionMatch;
  const errors: FieldError[] = [];
  if (match !== "") {
    if (options.resourceVersion === "") {
      errors.push(fieldForbidden(MATCH, "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if (options.continue !== "") {
      errors.push(fieldForbidden(MATCH, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if (match !== "Exact" && match !== "NotOlderThan") {
      errors.push(fieldNotSupported(MATCH, match, ["Exact", "NotOlderThan", ""]));
    }
    if (match === "Exact" && options.resourceVersion === "0") {
      errors.push(fieldForbidden(MATCH, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
    }
  }
  if (options.sendInitialEvents !== undefined) {
    errors.push(fieldForbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
  }
  return errors;
}

/**
 * A resourceVersion of a request as a revision; `what` begins the refusal of one that is none.
 * @throws StatusError 400
 */
export function parseRevision(resourceVersion: string, what = ""): number {
  const problem = whyNoRevision(resourceVersion);
  if (problem === undefined) return Number(resourceVersion);
  const error = fieldInvalid("resourceVersion", resourceVersion, problem);
  throw badRequest(`${what}${error.field}: ${error.message}`);
}

/** Why a resourceVersion is none, in upstream's words (which come with a 500 there). */
export function whyNoRevision(resourceVersion: string): string | undefined {
  if (/^\d+$/.test(resourceVersion) && Number.isSafeInteger(Number(resourceVersion))) return undefined;
  return `strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`;
}
