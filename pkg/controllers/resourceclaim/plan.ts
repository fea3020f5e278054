import { controllerOf } from "#pkg/apimachinery/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { ResourceClaim, ResourceClaimConsumerReference } from "#pkg/api/types/resource-v1.ts";
import { isPodTerminal } from "../common/pods.ts";

/** Annotation of a generated claim: the entry of the pod's spec.resourceClaims that it was made for. */
export const POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name";
/** Keeps an allocated claim until its devices have been given back. */
export const CLAIM_FINALIZER = "resource.kubernetes.io/delete-protection";

/** Will never use its claims (again): it is over, or it goes before any node has seen it. */
export function isPodDone(pod: Pod): boolean {
  if (isPodTerminal(pod)) return true;
  return pod.metadata.deletionTimestamp !== undefined && (pod.spec.nodeName ?? "") === "";
}

/** Was the claim made for this very pod, not for an earlier one of the same name? */
export function isForPod(pod: Pod, claim: ResourceClaim): boolean {
  const owner = controllerOf(claim);
  return owner?.kind === "Pod" && owner.uid === pod.metadata.uid;
}

/** Names of the claims that a pod uses, as far as they exist; by the entry of its spec. */
export function claimNames(pod: Pod): Map<string, string> {
  const statuses = new Map((pod.status?.resourceClaimStatuses ?? []).map((status) => [status.name, status]));
  const names = new Map<string, string>();
  for (const { name, resourceClaimName } of pod.spec.resourceClaims ?? []) {
    const used = resourceClaimName ?? statuses.get(name)?.resourceClaimName;
    if (used !== undefined) names.set(name, used);
  }
  return names;
}

/** What one entry of a pod's resource claims needs. */
export type ClaimStep =
  /** Make the claim from the template. */
  | { readonly type: "create"; readonly entry: string; readonly template: string }
  /** A claim was made earlier, and the pod does not say so yet. */
  | { readonly type: "found"; readonly entry: string; readonly claim: string }
  /** The name that the pod's status gives belongs to somebody else's claim. */
  | { readonly type: "foreign"; readonly claim: string };

/** What is missing of the claims that a pod asks for by template. `owned` are the claims whose controller it is. */
export function planPodClaims(
  pod: Pod,
  claimNamed: (name: string) => ResourceClaim | undefined,
  owned: readonly ResourceClaim[],
): ClaimStep[] {
  const steps: ClaimStep[] = [];
  const statuses = new Map((pod.status?.resourceClaimStatuses ?? []).map((status) => [status.name, status]));
  for (const { name: entry, resourceClaimTemplateName: template } of pod.spec.resourceClaims ?? []) {
    if (template === undefined) continue;
    const status = statuses.get(entry);
    // A status without a name says that this entry needs no claim.
    if (status !== undefined && status.resourceClaimName === undefined) continue;
    const known = status?.resourceClaimName === undefined ? undefined : claimNamed(status.resourceClaimName);
    if (known !== undefined) {
      if (!isForPod(pod, known)) steps.push({ type: "foreign", claim: known.metadata.name });
      continue;
    }
    const made = owned.find(
      ({ metadata }) => metadata.annotations?.[POD_CLAIM_NAME] === entry && metadata.deletionTimestamp === undefined,
    );
    if (made === undefined) steps.push({ type: "create", entry, template });
    else steps.push({ type: "found", entry, claim: made.metadata.name });
  }
  return steps;
}

/** Claims of a pod that was put on a node without the scheduler, which would have reserved them. */
export function claimsToReserve(pod: Pod, claimNamed: (name: string) => ResourceClaim | undefined): ResourceClaim[] {
  if ((pod.spec.nodeName ?? "") === "" || isPodDone(pod)) return [];
  return [...claimNames(pod).values()].flatMap((name) => {
    const claim = claimNamed(name);
    if (claim?.status?.allocation === undefined || claim.metadata.deletionTimestamp !== undefined) return [];
    return claim.status.reservedFor?.some(({ uid }) => uid === pod.metadata.uid) === true ? [] : [claim];
  });
}

/** What becomes of a claim when the pods that use it have changed. */
export interface ClaimPlan {
  /** Who still holds it; undefined when the list is right as it is. */
  readonly reservedFor: ResourceClaimConsumerReference[] | undefined;
  /** Nobody uses it any more: its devices are given back. */
  readonly deallocate: boolean;
  /** It was made for a pod that is done. */
  readonly delete: boolean;
}

/** What becomes of a claim, given which of its consumers still use it. */
export function planClaim(
  claim: ResourceClaim,
  inUse: (consumer: ResourceClaimConsumerReference) => boolean,
  ownerIsDone: boolean,
): ClaimPlan {
  const held = claim.status?.reservedFor ?? [];
  const kept = held.filter(inUse);
  const released = kept.length < held.length;
  const free = kept.length === 0;
  const isGoing = claim.metadata.deletionTimestamp !== undefined;
  return {
    reservedFor: released ? kept : undefined,
    deallocate: free && (released || isGoing) && (claim.metadata.finalizers ?? []).includes(CLAIM_FINALIZER),
    delete: free && ownerIsDone && !isGoing,
  };
}
