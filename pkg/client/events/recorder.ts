import { ignoreAlreadyExists, isNotFound, isStatusError, keyOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { events } from "#pkg/api/refs.ts";
import type { Event } from "#pkg/api/types/core-v1.ts";
import { formatTime, growingLru, pause } from "#pkg/util/index.ts";
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
  /** Reasons of events that come with every object when nothing is wrong: they may wait for others to be written with. */
  readonly routine?: ReadonlySet<string>;
  /** Has the component more urgent things to do than to tell this? Such events wait for a pause, though not for long. */
  readonly busy?: (reason: string) => boolean;
}

const MAX_QUEUED = 10_000;
/** Nobody waits for events: they must not crowd out the work they tell of. */
const MAX_TOGETHER = 10;
/**
 * Routine events that come within this time are written together: each alone would wake every thread and process that a write
 * passes through, and be a commit of its own.
 */
const GATHER_MS = 100;
/** A busy component's events are late by this at most; it is asked again and again meanwhile. */
const MAX_HELD_MS = 2_000;
const MAX_ROUTINE_HELD_MS = 10_000;
/** With more than so many waiting, none is held back. */
const MAX_HELD = 1_000;
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
  #gathering = false;
  #sending = false;
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
    if (this.#isRoutine(record)) this.#gather();
    else if (!this.#sending) void this.#sendTogether();
  }

  #isRoutine({ event }: Record): boolean {
    return this.#options.routine?.has(event.reason ?? "") === true;
  }

  #gather(): void {
    if (this.#gathering || this.#sending) return;
    this.#gathering = true;
    this.#options.clock.schedule(GATHER_MS, () => {
      this.#gathering = false;
      void this.#sendTogether();
    });
  }

  /** Takes the first of those that need not wait until the component is less busy. */
  #takeDue(): Record[] {
    const { busy, clock } = this.#options;
    const now = clock.monotonic();
    const hold = busy !== undefined && this.#queue.length <= MAX_HELD;
    const due: Record[] = [];
    this.#queue = this.#queue.filter((record) => {
      const { event, queuedAt } = record;
      if (due.length === MAX_TOGETHER) return true;
      const maxHeldMs = this.#isRoutine(record) ? MAX_ROUTINE_HELD_MS : MAX_HELD_MS;
      if (hold && now - queuedAt < maxHeldMs && busy(event.reason ?? "")) return true;
      due.push(record);
      return false;
    });
    return due;
  }

  /** Never rejects. Goes on as long as something is due. */
  async #sendTogether(): Promise<void> {
    this.#sending = true;
    for (let due = this.#takeDue(); due.length > 0; due = this.#takeDue())
      await Promise.all(due.map((record) => this.#send(record)));
    this.#sending = false;
    if (this.#queue.length > 0) this.#gather();
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
        await pause(clock, RETRY_DELAY_MS, signal);
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
    await ignoreAlreadyExists(client.create(events, record.event, { signal })); // an earlier try did arrive
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
