import type { CacheEvent } from "./contract.ts";

export interface EventRingLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** The latest events of one resource, bounded in number and bytes, for watches that start in the recent past. */
export class EventRing {
  readonly #limits: EventRingLimits;
  #events: CacheEvent[] = [];
  #head = 0;
  #bytes = 0;
  #start: number;
  #evicted = false;

  /** `start`: revision of the state before the first event. */
  constructor(start: number, limits: EventRingLimits) {
    this.#start = start;
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
  push(event: CacheEvent): void {
    this.#events.push(event);
    this.#bytes += event.entry.json.length;
    while (this.#events.length - this.#head > this.#limits.maxEvents || this.#bytes > this.#limits.maxBytes)
      this.#evict();
  }
  /** Events with a revision greater than `revision` (which is not below `start`), oldest first. */
  after(revision: number): readonly CacheEvent[] {
    let low = this.#head;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#events.slice(low);
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
