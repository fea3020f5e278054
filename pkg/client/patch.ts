import { deepEqual, isRecord, keyOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Client, RequestOptions } from "./contract.ts";

/**
 * The JSON merge patch (RFC 7386) that turns `from` into `to`, or undefined when they are equal. Lists are replaced
 * whole, so a patch that touches one should be guarded by `resourceVersion`.
 */
export function mergePatch(from: unknown, to: unknown): unknown {
  if (deepEqual(from, to)) return undefined;
  if (!isRecord(from) || !isRecord(to)) return to;
  const patch: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(to)) {
    if (value === undefined) continue;
    const change = name in from ? mergePatch(from[name], value) : value;
    if (change !== undefined) patch[name] = change;
  }
  for (const [name, value] of Object.entries(from)) {
    if (value !== undefined && to[name] === undefined) patch[name] = null;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** Patches what differs between two states of an object; returns the current object without asking when nothing does. */
export async function patchDifference<T extends AnyObject>(
  client: Client,
  resource: ResourceRef<T>,
  from: T,
  to: T,
  options: RequestOptions & {
    readonly subresource?: string;
    /** Fail with Conflict if `from` is no longer current. */ readonly guarded?: boolean;
  } = {},
): Promise<T> {
  const difference = mergePatch(from, to);
  if (difference === undefined) return from;
  const { guarded, ...rest } = options;
  const guard = guarded === true ? { metadata: { resourceVersion: from.metadata.resourceVersion } } : {};
  const merged = isRecord(difference) ? { ...difference, ...guardedMetadata(difference, guard) } : difference;
  return client.patch(resource, keyOf(from), "merge", merged, rest);
}

function guardedMetadata(difference: Record<string, unknown>, guard: { metadata?: object }): object {
  if (guard.metadata === undefined) return {};
  const metadata = isRecord(difference["metadata"]) ? difference["metadata"] : {};
  return { metadata: { ...metadata, ...guard.metadata } };
}
