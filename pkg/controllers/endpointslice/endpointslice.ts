/**
 * Keeps the EndpointSlices of each Service with a selector: addresses, readiness and zones of its pods, split into
 * objects of bounded size, which plan.ts changes as little as it can.
 */
import { keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { endpointSlices, nodes, services } from "#pkg/api/refs.ts";
import type { Node, Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { errorMessage, formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { servicePodsHandler } from "../common/service-pods.ts";
import { serviceSelector } from "../common/services.ts";
import { MANAGED_BY, MANAGED_BY_LABEL, planSlices, SERVICE_NAME_LABEL } from "./plan.ts";
import { SliceWriter } from "./writer.ts";

/** Index of slices by "namespace/service". */
export const SERVICE_INDEX = "controllers/service";
const ZONE_LABEL = "topology.kubernetes.io/zone";

/** Index function: the service that a slice belongs to. */
export function serviceKeys(slice: EndpointSlice): string[] {
  const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [`${slice.metadata.namespace}/${service}`];
}

/** endpointslice-controller. */
export function createEndpointSliceController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const writer = new SliceWriter(env);
  const serviceInformer = informers.of(services);
  const sliceInformer = informers.index(endpointSlices, SERVICE_INDEX, serviceKeys);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(serviceInformer, enqueueSelf<Service>(queue)),
      watching(
        informers.pods(),
        servicePodsHandler(serviceInformer.lister, (key) => queue.add(key)),
      ),
      watching(sliceInformer, sliceHandler(queue, writer)),
      watching(informers.of(nodes), nodeHandler(env, queue)),
    ],
    reconcile: (key, context) => reconcile(env, writer, key, context),
  });
}

function isOurs(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[MANAGED_BY_LABEL] === MANAGED_BY;
}

function sliceHandler(queue: KeyQueue, writer: SliceWriter): EventHandler<EndpointSlice> {
  const add = (slice: EndpointSlice) => {
    for (const key of serviceKeys(slice)) queue.add(key);
  };
  return {
    onAdd(slice) {
      if (!isOurs(slice)) return;
      for (const key of serviceKeys(slice)) writer.added(key);
      add(slice);
    },
    onUpdate(slice, old) {
      if (!isOurs(slice) && !isOurs(old)) return;
      add(slice);
      if (serviceKeys(slice)[0] !== serviceKeys(old)[0]) add(old);
    },
    onDelete(slice) {
      if (!isOurs(slice)) return;
      for (const key of serviceKeys(slice)) writer.removed(key, slice);
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
  writer: SliceWriter,
  key: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const { clock, informers, options, recorder } = env;
  const id = keyString(key);
  const service = informers.of(services).lister.get(key);
  if (service === undefined) {
    writer.forget(id);
    return DONE; // its slices are the garbage collector's
  }
  const selector = serviceSelector(service);
  if (selector === undefined || service.metadata.deletionTimestamp !== undefined) return DONE;
  const pods = informers
    .pods()
    .lister.list(key.namespace)
    .filter((pod) => selector.matches(pod.metadata.labels));
  const existing = informers.of(endpointSlices).lister.byIndex(SERVICE_INDEX, id).filter(isOurs);
  const wait = writer.waits(id, existing);
  if (wait !== undefined) return wait;
  const nodeOf = (name: string) => informers.of(nodes).lister.get({ namespace: "", name });
  const plan = planSlices(service, pods, nodeOf, existing, {
    maxEndpoints: options.maxEndpointsPerSlice,
    now: formatTime(clock.now()),
  });
  try {
    await writer.apply(id, plan, signal);
  } catch (error) {
    if (isNamespaceTerminating(error)) return DONE;
    const message = `Error updating Endpoint Slices for Service ${id}: ${errorMessage(error)}`;
    recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", message);
    throw error;
  }
  return DONE;
}
