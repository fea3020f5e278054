import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import { printEvent } from "../core/print.ts";
import type { Event as CoreEvent } from "../types/core-v1.ts";
import type { Event } from "../types/events-v1.ts";
import { validateCoreEvent, validateEvent, validateEventUpdate } from "./validation.ts";

/** Names of the same field in the core and in the events.k8s.io view of an event. */
const RENAMED: readonly (readonly [core: string, events: string])[] = [
  ["involvedObject", "regarding"],
  ["message", "note"],
  ["reportingComponent", "reportingController"],
  ["source", "deprecatedSource"],
  ["firstTimestamp", "deprecatedFirstTimestamp"],
  ["lastTimestamp", "deprecatedLastTimestamp"],
  ["count", "deprecatedCount"],
];
const toEvents = new Map(RENAMED);
const toCore = new Map(RENAMED.map(([core, events]) => [events, core]));

function rename(object: Readonly<KubeObject>, names: ReadonlyMap<string, string>, apiVersion: string): KubeObject {
  const renamed: KubeObject = { apiVersion, kind: "Event", metadata: object.metadata };
  for (const [field, value] of Object.entries(object)) {
    if (field !== "apiVersion" && field !== "kind") renamed[names.get(field) ?? field] = value;
  }
  return renamed;
}

/** The stored form (core/v1) of an events.k8s.io event. */
function eventToCore(event: Readonly<Event>): CoreEvent {
  return rename(event as unknown as KubeObject, toCore, "v1") as unknown as CoreEvent;
}
function eventFromCore(event: Readonly<KubeObject>): Event {
  return rename(event, toEvents, "events.k8s.io/v1") as unknown as Event;
}

const TTL_SECONDS = 3600;

export const coreEvent = defineResource<CoreEvent>({
  group: "",
  version: "v1",
  kind: "Event",
  printRow: printEvent,
  strategy: {
    ttlSeconds: TTL_SECONDS,
    allowCreateOnUpdate: true,
    validate: validateCoreEvent,
    validateUpdate: validateCoreEvent,
  },
});

export const event = defineResource<Event>({
  group: "events.k8s.io",
  version: "v1",
  kind: "Event",
  printRow: (event, now) => printEvent(eventToCore(event), now),
  strategy: {
    ttlSeconds: TTL_SECONDS,
    allowCreateOnUpdate: true,
    validate: (event) => validateEvent(eventToCore(event)),
    validateUpdate: (event, old) => validateEventUpdate(eventToCore(event), eventToCore(old)),
  },
  toStorage: (event) => eventToCore(event) as unknown as KubeObject,
  fromStorage: eventFromCore,
});
