import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { events } from "#pkg/api/refs.ts";
import type { Event } from "#pkg/api/types/core-v1.ts";
import { formatTime, growingLru } from "#pkg/util/index.ts";
import type { Draft, EventRecorder } from "../contract.ts";
import { EventCorrelator } from "./correlator.ts";
import { type EventRecord, EventWriter, type EventWriterOptions, referenceTo, truncate } from "./writer.ts";

export interface EventRecorderOptions extends EventWriterOptions {
  /** source.component, e.g. "kubelet". */
  readonly component: string;
  /** source.host: the node, for components that have one. */
  readonly host?: string;
}

const MAX_RECORDS = 4096;

/** Writes core/v1 Events in the background, equal ones counted up as upstream's recorder does. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new BackgroundRecorder(options);
}

class BackgroundRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #correlator: EventCorrelator;
  readonly #records = growingLru<string, EventRecord<Event>>(MAX_RECORDS);
  readonly #writer: EventWriter<Event>;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#correlator = new EventCorrelator(options.clock);
    this.#writer = new EventWriter(options, {
      resource: events,
      changes: ({ count, lastTimestamp, message }) => ({ count, lastTimestamp, message }),
    });
  }

  event(object: AnyObject, type: "Normal" | "Warning", reason: string, message: string, fieldPath?: string): void {
    const draft = this.#draft(object, type, reason, truncate(message), fieldPath);
    const correlated = this.#correlator.correlate(draft as Event);
    if (correlated.verdict === "drop") return;
    const known = this.#records.get(correlated.id);
    if (known !== undefined) {
      known.event = {
        ...known.event,
        count: (known.event.count ?? 1) + 1,
        lastTimestamp: draft.lastTimestamp,
        message: correlated.message,
      };
      this.#writer.enqueue(known);
      return;
    }
    const record: EventRecord<Event> = {
      event: { ...draft, message: correlated.message },
      created: false,
      dirty: false,
      queuedAt: 0,
    };
    this.#records.set(correlated.id, record);
    this.#writer.enqueue(record);
  }

  #draft(object: AnyObject, type: string, reason: string, message: string, fieldPath?: string): Draft<Event> {
    const { component, host, clock } = this.#options;
    const { name = "", namespace = "default" } = object.metadata;
    const timestamp = formatTime(clock.now());
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: this.#writer.nameFor(name), namespace },
      involvedObject: { ...referenceTo(object), ...(fieldPath === undefined ? {} : { fieldPath }) },
      reason,
      message,
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: timestamp,
      lastTimestamp: timestamp,
      count: 1,
      type,
      reportingComponent: component,
      reportingInstance: host ?? "",
    };
  }
}
