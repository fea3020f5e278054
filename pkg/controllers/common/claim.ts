import {
  ignoreNotFound,
  type AnyObject,
  controllerOf,
  isInvalid,
  isNotFound,
  labelSelectorAsSelector,
  type OwnerReference,
  Selector,
} from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";

/** What an owner does with the objects it could claim. */
export interface ClaimPlan<T> {
  readonly keep: T[];
  readonly adopt: T[];
  readonly release: T[];
}

/**
 * Sorts candidates: those controlled by `owner` and selected are kept, no longer selected ones released, selected
 * orphans adopted. An owner or an orphan that is being deleted adopts nothing; a deleted owner releases nothing.
 */
export function planClaims<T extends AnyObject>(
  owner: AnyObject,
  candidates: readonly T[],
  matches: (object: T) => boolean,
): ClaimPlan<T> {
  const plan: ClaimPlan<T> = { keep: [], adopt: [], release: [] };
  const ownerDeleted = owner.metadata.deletionTimestamp !== undefined;
  for (const object of candidates) {
    if (object.metadata.namespace !== owner.metadata.namespace) continue;
    const controller = controllerOf(object);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches(object)) plan.keep.push(object);
      else if (!ownerDeleted) plan.release.push(object);
    } else if (!ownerDeleted && object.metadata.deletionTimestamp === undefined && matches(object)) {
      plan.adopt.push(object);
    }
  }
  return plan;
}

/** A selector that cannot be read selects nothing, so that a bad object harms nobody else's pods. */
export function safeSelector(selector: LabelSelector | undefined): Selector {
  try {
    return labelSelectorAsSelector(selector);
  } catch {
    return new Selector([], true);
  }
}

/** What a selector selects, as `planClaims` asks for it. */
export function selects(selector: Selector): (object: AnyObject) => boolean {
  return (object) => selector.matches(object.metadata.labels);
}

/** Who adopts and releases, on whose behalf. */
export interface ClaimDeps<T extends AnyObject> {
  readonly client: Client;
  readonly resource: ResourceRef<T>;
  readonly reference: OwnerReference;
  /** Reads the owner from the server: adoption on a stale cache could give objects to an owner that is gone. */
  freshOwner(): Promise<AnyObject>;
  /** Finalizers that adopted objects get, and released ones lose. */
  readonly finalizers?: readonly string[];
  readonly signal: AbortSignal;
}

/** Carries out a claim plan; returns the objects that are the owner's afterwards, or throws the first failure. */
export async function claim<T extends AnyObject>(plan: ClaimPlan<T>, deps: ClaimDeps<T>): Promise<T[]> {
  const owned = [...plan.keep];
  let failure: unknown;
  for (const object of plan.release) {
    try {
      await release(object, deps);
    } catch (error) {
      failure ??= error;
    }
  }
  if (plan.adopt.length > 0) {
    await checkOwner(deps);
    for (const object of plan.adopt) {
      try {
        const adopted = await adopt(object, deps);
        if (adopted !== undefined) owned.push(adopted);
      } catch (error) {
        failure ??= error;
      }
    }
  }
  if (failure !== undefined) throw failure;
  return owned;
}

async function checkOwner<T extends AnyObject>({ freshOwner, reference }: ClaimDeps<T>): Promise<void> {
  const fresh = await freshOwner();
  if (fresh.metadata.uid !== reference.uid)
    throw new Error(
      `original ${reference.kind} ${reference.name} is gone: got uid ${fresh.metadata.uid}, wanted ${reference.uid}`,
    );
  if (fresh.metadata.deletionTimestamp !== undefined)
    throw new Error(`${reference.kind} ${reference.name} has just been deleted at ${fresh.metadata.deletionTimestamp}`);
}

function keyFor(object: AnyObject): { namespace: string; name: string } {
  return { namespace: object.metadata.namespace ?? "", name: object.metadata.name ?? "" };
}

async function adopt<T extends AnyObject>(object: T, deps: ClaimDeps<T>): Promise<T | undefined> {
  const { client, resource, reference, finalizers, signal } = deps;
  const patch = {
    metadata: {
      uid: object.metadata.uid,
      ownerReferences: [reference],
      ...(finalizers === undefined ? {} : { finalizers }),
    },
  };
  return ignoreNotFound(client.patch(resource, keyFor(object), "strategic", patch, { signal }));
}

/** Takes the owner's reference (and its finalizers) off the object. */
async function release<T extends AnyObject>(object: T, deps: Omit<ClaimDeps<T>, "freshOwner">): Promise<void> {
  const { client, resource, reference, finalizers, signal } = deps;
  const patch = {
    metadata: {
      uid: object.metadata.uid,
      ownerReferences: [{ $patch: "delete", uid: reference.uid }],
      ...(finalizers === undefined ? {} : { "$deleteFromPrimitiveList/finalizers": finalizers }),
    },
  };
  try {
    await client.patch(resource, keyFor(object), "strategic", patch, { signal });
  } catch (error) {
    // Gone, or already without the reference: either way it is not ours any more.
    if (isNotFound(error) || isInvalid(error)) return;
    throw error;
  }
}
