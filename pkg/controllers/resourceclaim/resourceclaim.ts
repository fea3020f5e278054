/**
 * Resource claims of pods (KEP-4381): makes them from templates, reserves them for pods that were bound without the
 * scheduler, and gives them up when the pods that used them are done.
 */
import { controllerOf, ignoreNotFound, isNotFound, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { pods, resourceClaims, resourceClaimTemplates } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { ResourceClaim, ResourceClaimConsumerReference, ResourceClaimStatus } from "#pkg/api/types/resource-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { controllerRef } from "../common/pod-template.ts";
import { OWNER_INDEX } from "../common/shared-informers.ts";
import {
  CLAIM_FINALIZER,
  claimNames,
  claimsToReserve,
  isForPod,
  isPodDone,
  planClaim,
  planPodClaims,
  POD_CLAIM_NAME,
} from "./plan.ts";

const WORKERS = 50;
const FIELD_MANAGER = "ResourceClaimController";
/** Pods by the claims they use. */
const CLAIM_INDEX = "controllers/claim";
/** Room for the suffix of a generated name. */
const MAX_BASE_NAME = 57;

/** resourceclaim-controller. */
export function createResourceClaimController(env: ControllerEnv): Controller {
  const { clock, log, informers, name } = env;
  const podQueue = createQueue(clock);
  const claimQueue = createQueue(clock);
  const podInformer = informers.pods();
  informers.index(pods, CLAIM_INDEX, (pod) =>
    [...claimNames(pod).values()].map((claim) => `${pod.metadata.namespace}/${claim}`),
  );
  const claims = informers.owned(resourceClaims);
  const addClaims = (pod: Pod) => {
    for (const claim of claimNames(pod).values()) claimQueue.add(`${pod.metadata.namespace}/${claim}`);
    for (const claim of claims.lister.byIndex(OWNER_INDEX, pod.metadata.uid)) claimQueue.add(keyString(keyOf(claim)));
  };
  const see = (pod: Pod) => {
    if ((pod.spec.resourceClaims ?? []).length === 0) return;
    if (isPodDone(pod)) addClaims(pod);
    else podQueue.add(keyString(keyOf(pod)));
  };
  const seeClaim = (claim: ResourceClaim) => {
    const id = keyString(keyOf(claim));
    claimQueue.add(id);
    const owner = controllerOf(claim);
    if (owner?.kind === "Pod") podQueue.add(`${claim.metadata.namespace}/${owner.name}`);
    // An allocation may be what a pod that is already on its node has waited for.
    for (const pod of podInformer.lister.byIndex(CLAIM_INDEX, id)) podQueue.add(keyString(keyOf(pod)));
  };
  const reconciler = new ClaimReconciler(env);
  const common = { name, workers: WORKERS, clock, log };
  const podLoop = createLoop(env, {
    ...common,
    queue: podQueue,
    queueName: "resource_claim_pods",
    sources: [
      watching(podInformer, { onAdd: see, onUpdate: see, onDelete: addClaims }),
      watching(informers.of(resourceClaimTemplates)),
    ],
    reconcile: (key, context) => reconciler.reconcilePod(key, context),
  });
  const claimLoop = createLoop(env, {
    ...common,
    queue: claimQueue,
    sources: [watching(podInformer), watching(claims, { onAdd: seeClaim, onUpdate: seeClaim, onDelete: seeClaim })],
    reconcile: (key, context) => reconciler.reconcileClaim(key, context),
  });
  return { name, run: (signal) => Promise.all([podLoop.run(signal), claimLoop.run(signal)]).then(() => undefined) };
}

class ClaimReconciler {
  readonly #env: ControllerEnv;

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcilePod(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers, client } = this.#env;
    const pod = informers.pods().lister.get(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || isPodDone(pod)) return DONE;
    const claims = informers.owned(resourceClaims).lister;
    const claimNamed = (name: string) => claims.get({ namespace: key.namespace, name });
    const steps = planPodClaims(pod, claimNamed, claims.byIndex(OWNER_INDEX, pod.metadata.uid));
    const names = new Map<string, string>();
    for (const step of steps) {
      if (step.type === "foreign")
        throw new Error(
          `ResourceClaim ${key.namespace}/${step.claim} was not created for pod ${keyString(key)} (pod is not owner)`,
        );
      const claim = step.type === "found" ? step.claim : await this.#create(pod, step.entry, step.template, signal);
      if (claim !== undefined) names.set(step.entry, claim);
    }
    if (names.size > 0) await this.#writePodStatus(pod, names, signal);
    for (const claim of claimsToReserve(pod, claimNamed)) {
      const reference = { resource: "pods", name: pod.metadata.name, uid: pod.metadata.uid };
      const reservedFor = [...(claim.status?.reservedFor ?? []), reference];
      await client.updateStatus(resourceClaims, { ...claim, status: { ...claim.status, reservedFor } }, { signal });
    }
    return DONE;
  }

  async #create(pod: Pod, entry: string, templateName: string, signal: AbortSignal): Promise<string | undefined> {
    const { client, informers, recorder } = this.#env;
    const namespace = pod.metadata.namespace ?? "";
    const fail = (why: string) =>
      recorder.event(pod, "Warning", "FailedResourceClaimCreation", `PodResourceClaim ${entry}: ${why}`);
    const template = informers.of(resourceClaimTemplates).lister.get({ namespace, name: templateName });
    if (template === undefined) {
      const why = `resource claim template ${JSON.stringify(templateName)}: resourceclaimtemplate.resource.k8s.io ${JSON.stringify(templateName)} not found`;
      fail(why);
      throw new Error(why); // tried again with backoff: the template may come
    }
    const { metadata = {}, spec } = template.spec;
    try {
      const claim = await client.create(
        resourceClaims,
        {
          apiVersion: "resource.k8s.io/v1",
          kind: "ResourceClaim",
          metadata: {
            namespace,
            generateName: `${`${pod.metadata.name}-${entry}`.slice(0, MAX_BASE_NAME)}-`,
            ...(metadata.labels === undefined ? {} : { labels: { ...metadata.labels } }),
            annotations: { ...metadata.annotations, [POD_CLAIM_NAME]: entry },
            ownerReferences: [controllerRef(pod, { apiVersion: "v1", kind: "Pod" })],
          },
          spec,
        },
        { signal },
      );
      return claim.metadata.name;
    } catch (error) {
      if (isNamespaceTerminating(error)) return undefined;
      fail(errorMessage(error));
      throw error;
    }
  }

  async #writePodStatus(pod: Pod, names: ReadonlyMap<string, string>, signal: AbortSignal): Promise<void> {
    const statuses = [
      ...(pod.status?.resourceClaimStatuses ?? []).filter(({ name }) => !names.has(name)),
      ...[...names].map(([name, resourceClaimName]) => ({ name, resourceClaimName })),
    ];
    const { name, namespace, uid } = pod.metadata;
    const patch = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, uid },
      status: { resourceClaimStatuses: statuses },
    };
    const options = { subresource: "status", fieldManager: FIELD_MANAGER, force: true, signal };
    await ignoreNotFound(this.#env.client.patch(pods, keyOf(pod), "apply", patch, options));
  }

  async reconcileClaim(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, informers } = this.#env;
    const claim = informers.owned(resourceClaims).lister.get(key);
    if (claim === undefined) return DONE;
    const inUse = new Map<string, boolean>();
    for (const consumer of claim.status?.reservedFor ?? [])
      inUse.set(consumer.uid, await this.#isInUse(key.namespace, consumer, signal));
    const plan = planClaim(claim, ({ uid }) => inUse.get(uid) !== false, this.#ownerIsDone(claim));
    try {
      let current = claim;
      if (plan.reservedFor !== undefined || plan.deallocate) {
        const { allocation, reservedFor = [], ...rest } = claim.status ?? {};
        const left = plan.reservedFor ?? reservedFor;
        const status: ResourceClaimStatus = {
          ...rest,
          ...(allocation === undefined || plan.deallocate ? {} : { allocation }),
          ...(left.length === 0 ? {} : { reservedFor: left }),
        };
        if (plan.deallocate) delete status.devices;
        current = await client.updateStatus(resourceClaims, { ...claim, status }, { signal });
      }
      if (plan.deallocate) {
        const finalizers = (current.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CLAIM_FINALIZER);
        await client.update(resourceClaims, { ...current, metadata: { ...current.metadata, finalizers } }, { signal });
      }
      if (plan.delete) await client.delete(resourceClaims, key, { preconditions: { uid: claim.metadata.uid }, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    return DONE;
  }

  /** Only the server can say that a pod which the cache does not show is not there. */
  async #isInUse(
    namespace: string,
    { apiGroup = "", resource, name, uid }: ResourceClaimConsumerReference,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (apiGroup !== "" || resource !== "pods") return true; // not ours to judge
    const { informers, client } = this.#env;
    const cached = informers.pods().lister.get({ namespace, name });
    if (cached?.metadata.uid === uid) return !isPodDone(cached);
    const pod = await ignoreNotFound(client.get(pods, { namespace, name }, { signal }));
    return pod?.metadata.uid === uid && !isPodDone(pod);
  }

  /** False too while the owner is not in the cache: then the garbage collector sees to the claim. */
  #ownerIsDone(claim: ResourceClaim): boolean {
    const owner = controllerOf(claim);
    if (owner?.kind !== "Pod") return false;
    const pod = this.#env.informers.pods().lister.get({ namespace: claim.metadata.namespace ?? "", name: owner.name });
    return pod !== undefined && isForPod(pod, claim) && isPodDone(pod);
  }
}
