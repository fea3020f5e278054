import { isNotFound, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  Expectations,
  type ReconcileContext,
  type Result,
} from "#pkg/client/index.ts";
import { endpointSlices, nodes, services } from "#pkg/api/refs.ts";
import type { Node, Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { errorMessage, isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { servicePodsHandler } from "../common/service-pods.ts";
import { serviceSelector } from "../common/services.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, planSlices, SERVICE_NAME_LABEL, type SlicePlan } from "./plan.ts";

/** Index of slices by "namespace/service". */
export const SERVICE_INDEX = "controllers/service";
const ZONE_LABEL = "topology.kubernetes.io/zone";

export function serviceKeys(slice: EndpointSlice): string[] {
  const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [`${slice.metadata.namespace}/${service}`];
}

export function createEndpointSliceController(env: ControllerEnv): Controller {
  const { clock, log, informers, name } = env;
  const queue = createQueue(clock);
  const expectations = new Expectations(clock);
  const serviceInformer = informers.of(services);
  const sliceInformer = informers.index(endpointSlices, SERVICE_INDEX, serviceKeys);
  return createLoop({
    name,
    workers: 5,
    clock,
    log,
    queue,
    sources: [
      watching(serviceInformer, enqueueSelf<Service>(queue)),
      watching(
        informers.pods(),
        servicePodsHandler(serviceInformer.lister, (key) => queue.add(key)),
      ),
      watching(sliceInformer, sliceHandler(queue, expectations)),
      watching(informers.of(nodes), nodeHandler(env, queue)),
    ],
    reconcile: (key, context) => reconcile(env, expectations, key, context),
  });
}

function isOurs(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY;
}

function sliceHandler(queue: KeyQueue, expectations: Expectations): EventHandler<EndpointSlice> {
  const add = (slice: EndpointSlice) => {
    for (const key of serviceKeys(slice)) queue.add(key);
  };
  return {
    onAdd(slice) {
      if (!isOurs(slice)) return;
      for (const key of serviceKeys(slice)) expectations.creationObserved(key);
      add(slice);
    },
    onUpdate(slice, old) {
      if (!isOurs(slice) && !isOurs(old)) return;
      add(slice);
      if (serviceKeys(slice)[0] !== serviceKeys(old)[0]) add(old);
    },
    onDelete(slice) {
      if (!isOurs(slice)) return;
      for (const key of serviceKeys(slice)) expectations.deletionObserved(key, slice.metadata.uid);
      add(slice);
    },
  };
}

/** A node that changes its zone changes what the slices of its pods' services say. */
function nodeHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<Node> {
  const addServices = () => {
    for (const service of informers.of(services).lister.list()) queue.add(keyString(keyOf(service)));
  };
  return {
    onAdd(node, initial) {
      if (!initial && node.metadata.labels?.[ZONE_LABEL] !== undefined) addServices();
    },
    onUpdate(node, old) {
      if (node.metadata.labels?.[ZONE_LABEL] !== old.metadata.labels?.[ZONE_LABEL]) addServices();
    },
  };
}

async function reconcile(
  env: ControllerEnv,
  expectations: Expectations,
  key: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const { clock, informers, options, recorder } = env;
  const id = keyString(key);
  const service = informers.of(services).lister.get(key);
  if (service === undefined) {
    expectations.forget(id);
    return DONE; // its slices are the garbage collector's
  }
  const selector = serviceSelector(service);
  if (selector === undefined || service.metadata.deletionTimestamp !== undefined) return DONE;
  // A cache that lacks our own last writes would lead to slices with the same endpoints twice.
  if (!expectations.satisfied(id)) return DONE;
  const pods = informers
    .pods()
    .lister.list(key.namespace)
    .filter((pod) => selector.matches(pod.metadata.labels));
  const existing = informers.of(endpointSlices).lister.byIndex(SERVICE_INDEX, id).filter(isOurs);
  const nodeOf = (name: string) => informers.of(nodes).lister.get({ namespace: "", name });
  const plan = planSlices(service, pods, nodeOf, existing, {
    maxEndpoints: options.maxEndpointsPerSlice,
    now: formatTime(clock.now()),
  });
  try {
    await applySlices(env, expectations, id, plan, signal);
  } catch (error) {
    if (isNamespaceTerminating(error)) return DONE;
    const message = `Error updating Endpoint Slices for Service ${id}: ${errorMessage(error)}`;
    recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message);
    throw error;
  }
  return DONE;
}

/** Creates first, so that an endpoint that moves between slices is never in none. */
export async function applySlices(
  { client }: Pick<ControllerEnv, "client">,
  expectations: Expectations,
  id: string,
  plan: SlicePlan,
  signal: AbortSignal,
): Promise<void> {
  for (const slice of plan.create) {
    expectations.expectCreations(id, 1);
    try {
      await client.create(endpointSlices, slice, { signal });
    } catch (error) {
      expectations.creationObserved(id);
      throw error;
    }
  }
  for (const slice of plan.update) await client.update(endpointSlices, slice, { signal });
  for (const slice of plan.delete) {
    expectations.expectDeletions(id, [slice.metadata.uid]);
    try {
      await client.delete(endpointSlices, keyOf(slice), { signal });
    } catch (error) {
      expectations.deletionObserved(id, slice.metadata.uid);
      if (!isNotFound(error)) throw error;
    }
  }
}
