import { isForbidden } from "#pkg/apimachinery/index.ts";

/** The namespace is going away: creating in it will never work again. */
export function isNamespaceTerminating(error: unknown): boolean {
  return isForbidden(error) && (error.details?.causes ?? []).some(({ reason }) => reason === "NamespaceTerminating");
}
