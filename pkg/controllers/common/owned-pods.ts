import { type AnyObject, controllerOf, keyOf, keyString } from "#pkg/apimachinery/index.ts";
import type { EventHandler, Expectations, Lister } from "#pkg/client/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { KeyQueue } from "./loop.ts";
import { isPodReady } from "./pods.ts";

/** How a kind that owns pods hears of them. */
export interface OwnedPodsOptions<T extends AnyObject> {
  readonly kind: string;
  readonly owners: Lister<T>;
  readonly queue: KeyQueue;
  readonly expectations: Expectations;
  /** Would the owner adopt this orphan? */
  selects(owner: T, pod: Pod): boolean;
  minReadySeconds?(owner: T): number;
}

/** What expectations call a pod: its key, because a deletion is expected before its event can name a uid. */
export function podId(pod: Pod): string {
  return keyString(keyOf(pod));
}

/** Turns pod events into keys of their owners and settles expectations. */
export function ownedPodsHandler<T extends AnyObject>(options: OwnedPodsOptions<T>): EventHandler<Pod> {
  const { kind, owners, queue, expectations } = options;
  const ownerOf = (pod: Pod): T | undefined => {
    const reference = controllerOf(pod);
    if (reference === undefined || reference.kind !== kind) return undefined;
    const owner = owners.get({ namespace: pod.metadata.namespace ?? "", name: reference.name });
    return owner?.metadata.uid === reference.uid ? owner : undefined;
  };
  const addOwner = (owner: T) => queue.add(keyString(keyOf(owner)));
  const addMatching = (pod: Pod) => {
    for (const owner of owners.list(pod.metadata.namespace)) if (options.selects(owner, pod)) addOwner(owner);
  };

  const onDelete = (pod: Pod) => {
    const owner = ownerOf(pod);
    if (owner === undefined) return;
    expectations.deletionObserved(keyString(keyOf(owner)), podId(pod));
    addOwner(owner);
  };
  return {
    onAdd(pod) {
      if (pod.metadata.deletionTimestamp !== undefined) {
        onDelete(pod);
        return;
      }
      const owner = ownerOf(pod);
      if (owner !== undefined) {
        expectations.creationObserved(keyString(keyOf(owner)));
        addOwner(owner);
      } else if (controllerOf(pod) === undefined) addMatching(pod);
    },
    onUpdate(pod, old) {
      if (pod.metadata.resourceVersion === old.metadata.resourceVersion) return;
      const labelsChanged = !sameLabels(pod.metadata.labels, old.metadata.labels);
      if (pod.metadata.deletionTimestamp !== undefined) {
        onDelete(pod);
        if (labelsChanged) onDelete(old);
        return;
      }
      const formerOwner = controllerOf(old)?.uid === controllerOf(pod)?.uid ? undefined : ownerOf(old);
      if (formerOwner !== undefined) addOwner(formerOwner);
      const owner = ownerOf(pod);
      if (owner !== undefined) {
        addOwner(owner);
        const minReadySeconds = options.minReadySeconds?.(owner) ?? 0;
        if (minReadySeconds > 0 && isPodReady(pod) && !isPodReady(old))
          // One second more, because times on the wire are rounded down to seconds.
          queue.addAfter(keyString(keyOf(owner)), (minReadySeconds + 1) * 1000);
      } else if (controllerOf(pod) === undefined && (labelsChanged || controllerOf(old) !== undefined))
        addMatching(pod);
    },
    onDelete,
  };
}

/** Are the labels the same, absent ones being none? */
export function sameLabels(a: Record<string, string> | undefined, b: Record<string, string> | undefined): boolean {
  if (a === b) return true;
  const left = Object.entries(a ?? {});
  return left.length === Object.keys(b ?? {}).length && left.every(([key, value]) => b?.[key] === value);
}
