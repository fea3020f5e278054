import { ignoreAlreadyExists, isNotFound, isStatusError, keyOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { ObjectReference } from "#pkg/api/types/core-v1.ts";
import { pause } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Client, Draft } from "../contract.ts";

export interface EventWriterOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  /** Ends waiting for a server that is away; what has not been written then is lost. */
  readonly signal?: AbortSignal;
  /** Reasons of events that come with every object when nothing is wrong: they may wait for others to be written with. */
  readonly routine?: ReadonlySet<string>;
  /** Has the component more urgent things to do than to tell this? Such events wait for a pause, though not for long. */
  readonly busy?: (reason: string) => boolean;
}

/** What an event of either API group has, as far as writing is concerned. */
interface WritableEvent extends AnyObject {
  reason?: string;
}

const MAX_QUEUED = 10_000;
/** Nobody waits for events: they must not crowd out the work they tell of. */
const MAX_TOGETHER = 10;
/**
 * Routine events that come within this time are written together: each alone would wake every thread and process that a write
 * passes through, and be a commit of its own.
 */
const GATHER_MS = 100;
/**
 * A busy component's events are late by this at most; it is asked again and again meanwhile. A node that starts pods without
 * pause is busy all the time: whoever watches what it tells must not wait for that to end.
 */
const MAX_HELD_MS = 2_000;
/** With more than so many waiting, none is held back. */
const MAX_HELD = 1_000;
const MAX_MESSAGE_BYTES = 1024;
const MAX_TRIES = 12;
const RETRY_DELAY_MS = 10_000;

/** One Event object: what it says now, and what the server has. */
export interface EventRecord<E extends WritableEvent> {
  event: Draft<E>;
  /** Is it on the server, as far as we know? */
  created: boolean;
  /** Has it changed since it was last sent? */
  dirty: boolean;
  /** Monotonic time. */
  queuedAt: number;
}

/** Events of one version of the API: where they are, and what a further occurrence changes of one that is there. */
export interface EventVersion<E extends WritableEvent> {
  readonly resource: ResourceRef<E>;
  readonly changes: (event: Draft<E>) => Partial<E>;
}

/** Brings events to the server in the background, a few at a time, without crowding out what they tell of. */
export class EventWriter<E extends WritableEvent> {
  readonly #options: EventWriterOptions;
  readonly #version: EventVersion<E>;
  #queue: EventRecord<E>[] = [];
  #gathering = false;
  #sending = false;
  #names = 0;

  constructor(options: EventWriterOptions, version: EventVersion<E>) {
    this.#options = options;
    this.#version = version;
  }

  /** A name for a new event about the object of that name. */
  nameFor(object: string): string {
    // Upstream's suffix is the time in nanoseconds; counting within the millisecond keeps names apart.
    const nanoseconds = BigInt(Math.floor(this.#options.clock.now())) * 1_000_000n + BigInt(this.#names++ % 1_000_000);
    return `${object}.${nanoseconds.toString(16)}`;
  }

  /** Has the event written that is new, or has changed. */
  enqueue(record: EventRecord<E>): void {
    if (record.dirty) return; // already queued, and it will be sent as it is then
    if (this.#queue.length >= MAX_QUEUED) {
      this.#options.log.warn({ reason: record.event.reason, event: record.event.metadata.name }, "Dropped an event");
      return;
    }
    record.dirty = true;
    record.queuedAt = this.#options.clock.monotonic();
    this.#queue.push(record);
    if (this.#isRoutine(record)) this.#gather();
    else if (!this.#sending) void this.#sendTogether();
  }

  #isRoutine({ event }: EventRecord<E>): boolean {
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
  #takeDue(): EventRecord<E>[] {
    const { busy, clock } = this.#options;
    const now = clock.monotonic();
    const hold = busy !== undefined && this.#queue.length <= MAX_HELD;
    const due: EventRecord<E>[] = [];
    this.#queue = this.#queue.filter((record) => {
      const { event, queuedAt } = record;
      if (due.length === MAX_TOGETHER) return true;
      if (hold && now - queuedAt < MAX_HELD_MS && busy(event.reason ?? "")) return true;
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
  async #send(record: EventRecord<E>): Promise<void> {
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

  async #write(record: EventRecord<E>): Promise<void> {
    const { client, signal } = this.#options;
    const { resource, changes } = this.#version;
    const { event } = record;
    if (record.created) {
      try {
        await client.patch(resource, keyOf(event), "strategic", changes(event), { signal });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error; // it has expired on the server: write it anew
        const { name = "" } = event.metadata;
        record.event = { ...event, metadata: { ...event.metadata, name: this.nameFor(name.replace(/\.[^.]*$/, "")) } };
      }
    }
    await ignoreAlreadyExists(client.create(resource, record.event, { signal })); // an earlier try did arrive
    record.created = true;
  }
}

/** What an event says of an object that it is about. */
export function referenceTo({ apiVersion, kind, metadata }: AnyObject): ObjectReference {
  const { name = "", namespace, uid, resourceVersion } = metadata;
  return { kind, namespace, name, uid, apiVersion, resourceVersion };
}

/** As much of a message as an event may hold. */
export function truncate(message: string): string {
  const bytes = Buffer.from(message);
  // Cutting may split a character; what is left of it is dropped.
  return bytes.length <= MAX_MESSAGE_BYTES
    ? message
    : bytes.toString("utf8", 0, MAX_MESSAGE_BYTES).replace(/\uFFFD+$/, "");
}
