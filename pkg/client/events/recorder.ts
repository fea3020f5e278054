import { isAlreadyExists, isNotFound, isStatusError, keyOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { events } from "#pkg/api/refs.ts";
import type { Event } from "#pkg/api/types/core-v1.ts";
import { formatTime, growingLru, sleep } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Client, Draft, EventRecorder } from "../contract.ts";
import { EventCorrelator } from "./correlator.ts";

export interface EventRecorderOptions {
  readonly client: Client;
  /** source.component, e.g. "kubelet". */
  readonly component: string;
  /** source.host: the node, for components that have one. */
  readonly host?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends waiting for a server that is away; what has not been written then is lost. */
  readonly signal?: AbortSignal;
  /** Has the component more urgent things to do than to tell this? Such events wait for a pause, though not for long. */
  readonly busy?: (reason: string) => boolean;
}

const MAX_QUEUED = 10_000;
/** Nobody waits for events: they must not crowd out the work they tell of. */
const MAX_IN_FLIGHT = 2;
/** A busy component's events are late by this at most; it is asked again and again meanwhile. */
const MAX_HELD_MS = 2_000;
const HELD_STEP_MS = 20;
const MAX_RECORDS = 4096;
const MAX_MESSAGE_BYTES = 1024;
const MAX_TRIES = 12;
const RETRY_DELAY_MS = 10_000;

/** One Event object: what it says now, and what the server has. */
interface Record {
  event: Draft<Event>;
  /** Is it on the server, as far as we know? */
  created: boolean;
  /** Has it changed since it was last sent? */
  dirty: boolean;
  sending: boolean;
  /** Monotonic time. */
  queuedAt: number;
}

/** Writes core/v1 Events in the background, equal ones counted up as upstream's recorder does. */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new BackgroundRecorder(options);
}

class BackgroundRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #correlator: EventCorrelator;
  readonly #records = growingLru<string, Record>(MAX_RECORDS);
  #queue: Record[] = [];
  #inFlight = 0;
  #held = false;
  #names = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#correlator = new EventCorrelator(options.clock);
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
      this.#enqueue(known);
      return;
    }
    const record: Record = {
      event: { ...draft, message: correlated.message },
      created: false,
      dirty: false,
      sending: false,
      queuedAt: 0,
    };
    this.#records.set(correlated.id, record);
    this.#enqueue(record);
  }

  #draft(object: AnyObject, type: string, reason: string, message: string, fieldPath?: string): Draft<Event> {
    const { component, host, clock } = this.#options;
    const { name = "", namespace, uid, resourceVersion } = object.metadata;
    const now = clock.now();
    // Upstream's suffix is the time in nanoseconds; counting within the millisecond keeps names apart.
    const nanoseconds = BigInt(Math.floor(now)) * 1_000_000n + BigInt(this.#names++ % 1_000_000);
    const timestamp = formatTime(now);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name}.${nanoseconds.toString(16)}`, namespace: namespace ?? "default" },
      involvedObject: {
        kind: object.kind,
        namespace,
        name,
        uid,
        apiVersion: object.apiVersion,
        resourceVersion,
        ...(fieldPath === undefined ? {} : { fieldPath }),
      },
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

  #enqueue(record: Record): void {
    if (record.dirty) return; // already queued, and it will be sent as it is then
    if (this.#queue.length >= MAX_QUEUED) {
      this.#options.log.warn(
        { reason: record.event.reason, object: record.event.involvedObject.name },
        "Dropped an event",
      );
      return;
    }
    record.dirty = true;
    record.queuedAt = this.#options.clock.monotonic();
    this.#queue.push(record);
    this.#pump();
  }

  /** The first of the queue that need not wait until the component is less busy. */
  #next(): Record | undefined {
    const { busy, clock } = this.#options;
    const now = clock.monotonic();
    const index = this.#queue.findIndex(
      ({ event, queuedAt }) => busy?.(event.reason ?? "") !== true || now - queuedAt >= MAX_HELD_MS,
    );
    return index < 0 ? undefined : this.#queue.splice(index, 1)[0];
  }

  #pumpSoon(): void {
    if (this.#held) return;
    this.#held = true;
    this.#options.clock.schedule(HELD_STEP_MS, () => {
      this.#held = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#inFlight < MAX_IN_FLIGHT && this.#queue.length > 0) {
      const record = this.#next();
      if (record === undefined) {
        this.#pumpSoon();
        return;
      }
      if (record.sending) continue; // its sender looks again when it is done
      record.sending = true;
      this.#inFlight++;
      void this.#send(record).finally(() => {
        record.sending = false;
        this.#inFlight--;
        if (record.dirty) this.#queue.push(record);
        this.#pump();
      });
    }
  }

  /** Never rejects. */
  async #send(record: Record): Promise<void> {
    const { clock, log, signal } = this.#options;
    for (let tries = 1; ; tries++) {
      record.dirty = false;
      try {
        await this.#write(record);
        return;
      } catch (err) {
        // The server has judged the event, or we are going: it is lost. Only a server that is away is waited for.
        if (isStatusError(err) || tries >= MAX_TRIES || signal?.aborted === true) {
          log.debug({ err, reason: record.event.reason }, "Failed to write an event");
          return;
        }
        await sleep(clock, RETRY_DELAY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #write(record: Record): Promise<void> {
    const { client, signal } = this.#options;
    const { event } = record;
    if (record.created) {
      const { count, lastTimestamp, message } = event;
      try {
        await client.patch(events, keyOf(event), "strategic", { count, lastTimestamp, message }, { signal });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error; // it has expired on the server: write it anew
        record.event = { ...event, metadata: { ...event.metadata, name: this.#renamed(event) } };
      }
    }
    try {
      await client.create(events, record.event, { signal });
    } catch (error) {
      if (!isAlreadyExists(error)) throw error; // an earlier try did arrive
    }
    record.created = true;
  }

  #renamed(event: Draft<Event>): string {
    const nanoseconds = BigInt(Math.floor(this.#options.clock.now())) * 1_000_000n + BigInt(this.#names++ % 1_000_000);
    return `${event.involvedObject.name ?? ""}.${nanoseconds.toString(16)}`;
  }
}

function truncate(message: string): string {
  const bytes = Buffer.from(message);
  // Cutting may split a character; what is left of it is dropped.
  return bytes.length <= MAX_MESSAGE_BYTES
    ? message
    : bytes.toString("utf8", 0, MAX_MESSAGE_BYTES).replace(/\uFFFD+$/, "");
}
