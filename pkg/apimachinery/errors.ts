import type { Status, StatusCause, StatusDetails } from "#pkg/api/types/meta-v1.ts";

/**
 * Machine-readable reasons of a Status, with the HTTP code each one has.
 * Source: k8s.io/apimachinery meta/v1 StatusReason documentation.
 */
export const REASON_CODES = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Gone: 410,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
  ServerTimeout: 500,
} as const;
/** A reason by its name; servers may send ones that we do not know. */
export type StatusReason = keyof typeof REASON_CODES | "Unknown" | (string & {});

/** The one error type of the API, on the server as on clients: an exception that carries a `Status` failure. */
export class StatusError extends Error {
  readonly status: Status;

  constructor(status: Status, options?: { cause?: unknown }) {
    super(status.message ?? status.reason ?? "unknown error", options);
    this.name = "StatusError";
    this.status = { kind: "Status", apiVersion: "v1", metadata: {}, ...status };
  }
  get code(): number {
    return this.status.code ?? 500;
  }
  get reason(): StatusReason {
    return this.status.reason ?? "Unknown";
  }
  get details(): StatusDetails | undefined {
    return this.status.details;
  }
}

/** One field error, as a validation function returns it. `detail` follows upstream's wording. */
export interface FieldError {
  readonly type:
    | "FieldValueNotFound"
    | "FieldValueRequired"
    | "FieldValueDuplicate"
    | "FieldValueInvalid"
    | "FieldValueNotSupported"
    | "FieldValueForbidden"
    | "FieldValueTooLong"
    | "FieldValueTooMany"
    | "InternalError"
    | "FieldValueTypeInvalid";
  /** Dotted path with indices, e.g. `spec.containers[0].name`. */
  readonly field: string;
  /** Full text after the path, e.g. `Required value` or `Invalid value: "x": must be …`. */
  readonly message: string;
}

/** The resource an error speaks of: `group` and plural `resource` (or kind for Invalid). */
export interface Subject {
  readonly group: string;
  readonly resource: string;
}

function failure(reason: StatusReason, message: string, details?: StatusDetails, code?: number): StatusError {
  const known = REASON_CODES[reason as keyof typeof REASON_CODES];
  return new StatusError({ status: "Failure", message, reason, details, code: code ?? known ?? 500 });
}

/** "pods" or "deployments.apps". */
export function qualifiedResource({ group, resource }: Subject): string {
  return group === "" ? resource : `${resource}.${group}`;
}

function detailsOf({ group, resource }: Subject, name: string): StatusDetails {
  return { ...(name === "" ? {} : { name }), ...(group === "" ? {} : { group }), kind: resource };
}

/** The failures of the API by their reasons, with upstream's messages. `why` and `message` are told to the client. */
export const badRequest = (message: string): StatusError => failure("BadRequest", message);
export const unauthorized = (message = "Unauthorized"): StatusError => failure("Unauthorized", message);
export const expired = (message: string): StatusError => failure("Expired", message);
export const notAcceptable = (message: string): StatusError => failure("NotAcceptable", message);
export const unsupportedMediaType = (message: string, details?: StatusDetails): StatusError =>
  failure("UnsupportedMediaType", message, details);
export const requestEntityTooLarge = (message: string): StatusError => failure("RequestEntityTooLarge", message);
export const serviceUnavailable = (message: string): StatusError => failure("ServiceUnavailable", message);
export const timeout = (message: string, retryAfterSeconds = 0): StatusError =>
  failure("Timeout", `Timeout: ${message}`, { retryAfterSeconds });
export const internalError = (message: string): StatusError =>
  failure("InternalError", `Internal error occurred: ${message}`, { causes: [{ message }] });
export const tooManyRequests = (message: string, retryAfterSeconds = 1): StatusError =>
  failure("TooManyRequests", message, { retryAfterSeconds });
export const notFound = (subject: Subject, name: string): StatusError =>
  failure("NotFound", `${qualifiedResource(subject)} "${name}" not found`, detailsOf(subject, name));
export const alreadyExists = (subject: Subject, name: string): StatusError =>
  failure("AlreadyExists", `${qualifiedResource(subject)} "${name}" already exists`, detailsOf(subject, name));
export const conflict = (subject: Subject, name: string, why: string): StatusError =>
  failure(
    "Conflict",
    `Operation cannot be fulfilled on ${qualifiedResource(subject)} "${name}": ${why}`,
    detailsOf(subject, name),
  );
export const forbidden = (subject: Subject, name: string, why: string): StatusError =>
  failure(
    "Forbidden",
    name === ""
      ? `${qualifiedResource(subject)} is forbidden: ${why}`
      : `${qualifiedResource(subject)} "${name}" is forbidden: ${why}`,
    detailsOf(subject, name),
  );

/** Upstream's generic 404 for a path nothing is registered under. */
export const pathNotFound = (): StatusError =>
  failure("NotFound", "the server could not find the requested resource", {});

/** A 422 with one cause per field error. `subject.resource` is the *kind* here, as upstream has it. */
export function invalid(
  subject: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const causes: StatusCause[] = errors.map(({ type, field, message }) => ({ reason: type, message, field }));
  const lines = errors.map(({ field, message }) => (field === "" ? message : `${field}: ${message}`));
  const list = lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`;
  const qualified = subject.group === "" ? subject.kind : `${subject.kind}.${subject.group}`;
  return failure("Invalid", `${qualified} "${name}" is invalid: ${list}`, {
    ...(name === "" ? {} : { name }),
    ...(subject.group === "" ? {} : { group: subject.group }),
    kind: subject.kind,
    causes,
  });
}

/** Did an API server answer with a failure? (Where no answer came there is a ConnectionError.) */
export function isStatusError(error: unknown): error is StatusError {
  return error instanceof StatusError;
}
const hasReason =
  (...reasons: StatusReason[]) =>
  (error: unknown): error is StatusError =>
    error instanceof StatusError && reasons.includes(error.reason);

export const isNotFound = hasReason("NotFound");

/** What the request answers, or undefined when the object is not there (any more); other errors are thrown on. */
export async function ignoreNotFound<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (!isNotFound(error)) throw error;
    return undefined;
  }
}

export const isAlreadyExists = hasReason("AlreadyExists");

/** As `ignoreNotFound`, for what somebody else may have made in the meantime. */
export async function ignoreAlreadyExists<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    return undefined;
  }
}

export const isConflict = hasReason("Conflict");
export const isForbidden = hasReason("Forbidden");
export const isInvalid = hasReason("Invalid");
/** The resourceVersion asked for is too old: list again. */
export const isExpired = hasReason("Expired", "Gone");
