import { keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { endpoints, endpointSlices, services } from "#pkg/api/refs.ts";
import type { Endpoints, Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { isNamespaceTerminating } from "../common/errors.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import { serviceSelector } from "../common/services.ts";
import { SERVICE_INDEX, serviceKeys } from "../endpointslice/endpointslice.ts";
import { MANAGED_BY_LABEL } from "../endpointslice/plan.ts";
import { SliceWriter } from "../endpointslice/writer.ts";
import { isMirrored, MIRRORED_BY, planMirror } from "./plan.ts";

/** Mirrors Endpoints of services without selectors into EndpointSlices. */
export function createEndpointSliceMirroringController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const writer = new SliceWriter(env);
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(informers.of(endpoints), enqueueSelf<Endpoints>(queue)),
      watching(informers.of(services), serviceHandler(queue)),
      watching(informers.index(endpointSlices, SERVICE_INDEX, serviceKeys), sliceHandler(queue, writer)),
    ],
    reconcile: (key, context) => reconcile(env, writer, key, context),
  });
}

function serviceHandler(queue: KeyQueue): EventHandler<Service> {
  const add = (service: Service) => queue.add(keyString(keyOf(service)));
  return { onAdd: add, onUpdate: add, onDelete: add };
}

function isOurs(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[MANAGED_BY_LABEL] === MIRRORED_BY;
}

function sliceHandler(queue: KeyQueue, writer: SliceWriter): EventHandler<EndpointSlice> {
  const each = (slice: EndpointSlice, act: (key: string) => void) => {
    if (isOurs(slice)) for (const key of serviceKeys(slice)) act(key);
  };
  return {
    onAdd: (slice) =>
      each(slice, (key) => {
        writer.added(key);
        queue.add(key);
      }),
    onUpdate: (slice) => each(slice, (key) => queue.add(key)),
    onDelete: (slice) =>
      each(slice, (key) => {
        writer.removed(key, slice);
        queue.add(key);
      }),
  };
}

async function reconcile(
  env: ControllerEnv,
  writer: SliceWriter,
  key: ObjectKey,
  { signal }: ReconcileContext,
): Promise<Result> {
  const { informers } = env;
  const id = keyString(key);
  const source = informers.of(endpoints).lister.get(key);
  const service = informers.of(services).lister.get(key);
  const existing = informers.of(endpointSlices).lister.byIndex(SERVICE_INDEX, id).filter(isOurs);
  const wait = writer.waits(id, existing);
  if (wait !== undefined) return wait;
  const mirrored =
    source !== undefined &&
    source.metadata.deletionTimestamp === undefined &&
    isMirrored(source) &&
    service !== undefined &&
    serviceSelector(service) === undefined;
  const plan = mirrored ? planMirror(source, existing) : { create: [], update: [], delete: existing };
  try {
    await writer.apply(id, plan, signal);
  } catch (error) {
    if (!isNamespaceTerminating(error)) throw error;
  }
  return DONE;
}
