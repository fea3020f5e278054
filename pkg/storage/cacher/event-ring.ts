import type { CacheEvent } from "./contract.ts";
import type { Entry } from "./entry.ts";

/** A CacheEvent whose entries are ours. */
export interface EntryEvent extends CacheEvent {
  readonly entry: Entry;
  readonly previous: Entry | undefined;
  /** Counts the events of one resource; several may share a revision. */
  readonly sequence: number;
}

export interface EventRingLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** The latest events of one resource, bounded in number, bytes and age, for watches that start in the recent past. */
export class EventRing {
  readonly #limits: EventRingLimits;
  #events: EntryEvent[] = [];
  #head = 0;
  #bytes = 0;
  #start: number;
  #evicted = false;
  /** Of the latest event. */
  #sequence: number;
  /** Of the latest event at the last call of `age`. */
  #aged: number;

  /** `start` and `sequence`: of the state before the first event. */
  constructor(start: number, sequence: number, limits: EventRingLimits) {
    this.#start = start;
    this.#sequence = sequence;
    this.#aged = sequence;
    this.#limits = limits;
  }
  /** Every event of the resource with a greater revision is here. */
  get start(): number {
    return this.#start;
  }
  /** Has an event been dropped, so that one exists at exactly `start`? */
  get evicted(): boolean {
    return this.#evicted;
  }
  push(event: EntryEvent): void {
    this.#events.push(event);
    this.#sequence = event.sequence;
    this.#bytes += event.entry.json.length;
    while (this.#events.length - this.#head > this.#limits.maxEvents || this.#bytes > this.#limits.maxBytes)
      this.#evict();
  }
  /**
   * Drops what was here at the last call already. Called now and then, it lets every event stay for the time between two
   * calls at least; whoever comes later reads the store's own history.
   */
  age(): void {
    while (this.#head < this.#events.length && this.#events[this.#head]!.sequence <= this.#aged) this.#evict();
    this.#aged = this.#sequence;
  }
  /** Events with a revision greater than `revision` (which is not below `start`), oldest first. */
  after(revision: number): readonly EntryEvent[] {
    let low = this.#head;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
  }
  /** Whether every event behind the sequence is still here. */
  reaches(sequence: number): boolean {
    return this.#sequence - sequence <= this.#events.length - this.#head;
  }
  /** The first event behind a sequence that the ring reaches. */
  next(sequence: number): EntryEvent | undefined {
    return this.#events[this.#events.length - (this.#sequence - sequence)];
  }

  #evict(): void {
    const event = this.#events[this.#head++]!;
    this.#bytes -= event.entry.json.length;
    this.#start = event.revision;
    this.#evicted = true;
    if (this.#head >= this.#events.length / 2) {
      this.#events = this.#events.slice(this.#head);
      this.#head = 0;
    }
  }
}
