import { CompactedError, FutureRevisionError, StoreFailedError } from "#pkg/storage/index.ts";
import { isStatusError, qualifiedResource, SelectorError, StatusError, type Subject } from "#pkg/apimachinery/index.ts";
import { alreadyExists, conflict, expired, internalError, notFound } from "#pkg/apimachinery/index.ts";
import { KeyExistsError, KeyNotFoundError, RevisionConflictError } from "#pkg/storage/cacher/index.ts";
import { errorMessage } from "#pkg/util/index.ts";

/** Turns whatever storage throws about one object into the API's error; others pass unchanged. */
export function storageError(error: unknown, subject: Subject, name: string): unknown {
  if (error instanceof KeyExistsError) return alreadyExists(subject, name);
  if (error instanceof KeyNotFoundError) return notFound(subject, name);
  if (error instanceof RevisionConflictError) {
    if (error.current === undefined) return notFound(subject, name);
    return conflict(subject, name, MODIFIED);
  }
  if (error instanceof CompactedError) return expired("The resourceVersion for the provided list is too old.");
  if (error instanceof FutureRevisionError) return resourceVersionTooLarge(error);
  if (error instanceof StoreFailedError) {
    return new StatusError({ status: "Failure", code: 500, message: error.message }, { cause: error });
  }
  return error;
}

export const MODIFIED = "the object has been modified; please apply your changes to the latest version and try again";

/** 504 with the cause clients recognise; they retry after a second. */
export function resourceVersionTooLarge(error: FutureRevisionError, requested?: string): StatusError {
  const which = requested === undefined ? "" : `: ${requested}, current: ${error.currentRevision}`;
  return new StatusError({
    status: "Failure",
    reason: "Timeout",
    code: 504,
    message: `Timeout: Too large resource version${which}`,
    details: {
      causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
      retryAfterSeconds: 1,
    },
  });
}

/** 405 for a verb that a known resource does not have. */
export const methodNotAllowed = (): StatusError =>
  new StatusError({
    status: "Failure",
    reason: "MethodNotAllowed",
    code: 405,
    message: "the server does not allow this method on the requested resource",
    details: {},
  });

/** 405 of what knows the resource and its verbs itself. */
export const verbNotSupported = (subject: Subject, verb: string): StatusError =>
  new StatusError({
    status: "Failure",
    reason: "MethodNotAllowed",
    code: 405,
    message: `${verb} is not supported on resources of kind "${qualifiedResource(subject)}"`,
    details: { ...(subject.group === "" ? {} : { group: subject.group }), kind: subject.resource },
  });

/** Any exception as the error a client gets; what is not an API error becomes a 500 that names it. */
export function asStatusError(error: unknown): StatusError {
  if (isStatusError(error)) return error;
  if (error instanceof SelectorError) {
    return new StatusError({ status: "Failure", reason: "BadRequest", code: 400, message: error.message });
  }
  const known = storageError(error, { group: "", resource: "" }, "");
  if (isStatusError(known)) return known;
  const wrapped = internalError(errorMessage(error));
  return Object.assign(new StatusError(wrapped.status, { cause: error }));
}
