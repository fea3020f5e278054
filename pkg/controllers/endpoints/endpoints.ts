/**
 * Keeps the Endpoints object of each Service with a selector: the old form of what EndpointSlices say, in one object.
 */
import { isAlreadyExists, ignoreNotFound, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { endpoints, services } from "#pkg/api/refs.ts";
import type { Endpoints, Service } from "#pkg/api/types/core-v1.ts";
import { errorMessage, formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { servicePodsHandler } from "../common/service-pods.ts";
import { serviceSelector } from "../common/services.ts";
import { WriteBarrier } from "../common/write-barrier.ts";
import { planEndpoints } from "./plan.ts";

/** endpoints-controller. */
export function createEndpointsController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const serviceInformer = informers.of(services);
  /** Services seen to go: their Endpoints go too, whoever made them. */
  const gone = new Set<string>();
  const barrier = new WriteBarrier();
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(serviceInformer, {
        ...enqueueSelf<Service>(queue),
        onDelete(service) {
          gone.add(keyString(keyOf(service)));
          queue.add(keyString(keyOf(service)));
        },
      }),
      watching(
        informers.pods(),
        servicePodsHandler(serviceInformer.lister, (key) => queue.add(key)),
      ),
      watching(informers.of(endpoints), repairHandler(queue)),
    ],
    reconcile: (key, context) => reconcile(env, { gone, barrier }, key, context),
  });
}

/** Edits and deletions by others bring the object back to what it should be. */
function repairHandler(queue: KeyQueue): EventHandler<Endpoints> {
  const add = (object: Endpoints) => queue.add(keyString(keyOf(object)));
  return { onAdd: add, onUpdate: add, onDelete: add };
}

async function reconcile(
  env: ControllerEnv,
  { gone, barrier }: { readonly gone: Set<string>; readonly barrier: WriteBarrier },
  key: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const { client, clock, informers, recorder } = env;
  const service = informers.of(services).lister.get(key);
  const current = informers.of(endpoints).lister.get(key);
  if (service === undefined || service.metadata.deletionTimestamp !== undefined) {
    // An Endpoints object that never had a service is its maker's own affair.
    const remove = gone.has(keyString(key)) || (current !== undefined && isOurs(current));
    if (current !== undefined && remove) await removeEndpoints(env, key, signal);
    gone.delete(keyString(key));
    return DONE;
  }
  const selector = serviceSelector(service);
  if (selector === undefined) return DONE;
  // Written over an older version our own last write would be refused; the cache will show it.
  if (current !== undefined && !barrier.isCurrent(current)) return DONE;
  const selected = informers
    .pods()
    .lister.list(key.namespace)
    .filter((pod) => selector.matches(pod.metadata.labels));
  const plan = planEndpoints(service, selected, current, formatTime(clock.now()));
  if (plan.action === "none") return DONE;
  try {
    if (plan.action === "create") await client.create(endpoints, plan.endpoints, { signal });
    else barrier.wrote(await client.update(endpoints, plan.endpoints as Endpoints, { signal }));
  } catch (error) {
    if (isNamespaceTerminating(error)) return DONE;
    if (plan.action === "create" && isAlreadyExists(error)) throw error; // the cache will show it
    const [reason, verb] =
      plan.action === "create" ? ["FailedToCreateEndpoint", "create"] : ["FailedToUpdateEndpoint", "update"];
    const text = `Failed to ${verb} endpoint for service ${keyString(key)}: ${errorMessage(error)}`;
    recorder.event(service, "Warning", reason!, text);
    throw error;
  }
  return DONE;
}

function isOurs(current: Endpoints): boolean {
  return current.metadata.labels?.["endpoints.kubernetes.io/managed-by"] === "endpoint-controller";
}

async function removeEndpoints({ client }: ControllerEnv, key: ObjectKey, signal: AbortSignal): Promise<void> {
  await ignoreNotFound(client.delete(endpoints, key, { signal }));
}
