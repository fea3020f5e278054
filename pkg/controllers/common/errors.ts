import { isForbidden, isStatusError } from "#pkg/apimachinery/index.ts";

/** The namespace is going away: creating in it will never work again. */
export function isNamespaceTerminating(error: unknown): boolean {
  return isForbidden(error) && (error.details?.causes ?? []).some(({ reason }) => reason === "NamespaceTerminating");
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The server said no, as opposed to not having answered. */
export function isRefusal(error: unknown): boolean {
  return isStatusError(error) && error.code >= 400 && error.code < 500;
}
