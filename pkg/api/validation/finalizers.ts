/** Finalizers, which every kind's metadata and a namespace's spec have. */
import { isQualifiedName } from "#pkg/apimachinery/index.ts";
import { allInvalid, type FieldError, invalid } from "./rules.ts";

/** On an owner that is being deleted: it goes when its dependents have gone. */
export const FOREGROUND_FINALIZER = "foregroundDeletion";
/** On an owner that is being deleted: it goes when its dependents have forgotten it. */
export const ORPHAN_FINALIZER = "orphan";

/** Those of Kubernetes' own that bear no domain; "kubernetes" is for namespaces. */
const STANDARD: ReadonlySet<string> = new Set(["kubernetes", ORPHAN_FINALIZER, FOREGROUND_FINALIZER]);

/** Whether a name says whose it is: one of Kubernetes' own, or one with a domain. */
export function hasKnownOwner(finalizer: string): boolean {
  return finalizer.includes("/") || STANDARD.has(finalizer);
}

export function validateFinalizerName(finalizer: string, path: string): FieldError[] {
  return allInvalid(path, finalizer, isQualifiedName(finalizer));
}

export function validateFinalizerOwner(finalizer: string, path: string): FieldError[] {
  if (hasKnownOwner(finalizer)) return [];
  return [invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified")];
}
