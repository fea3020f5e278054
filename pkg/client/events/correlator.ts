import { type Clock, growingLru } from "#pkg/util/index.ts";
import type { Event } from "#pkg/api/types/core-v1.ts";

/** Upstream's limits (client-go tools/record): per source and object 25 events at once, then one in five minutes. */
const SPAM_BURST = 25;
const SPAM_REFILL_MS = 300_000;
/** More than this many different messages of one reason within the interval are combined into one event. */
const MAX_SIMILAR = 10;
const SIMILAR_INTERVAL_MS = 600_000;
const CACHE_SIZE = 4096;

interface Bucket {
  tokens: number;
  refilledAt: number;
}
interface Similar {
  readonly messages: Set<string>;
  lastAt: number;
}

export type Correlated =
  | { readonly verdict: "drop" }
  /** Events of one `id` are one Event object, counted up. */
  | { readonly verdict: "record"; readonly id: string; readonly message: string };

/** Decides what becomes of an event: dropped as spam, combined with similar ones, or counted with equal ones. */
export class EventCorrelator {
  readonly #clock: Clock;
  readonly #buckets = growingLru<string, Bucket>(CACHE_SIZE);
  readonly #similar = growingLru<string, Similar>(CACHE_SIZE);

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  correlate(event: Event): Correlated {
    const { involvedObject: object, source, type, reason, message = "" } = event;
    const about = [
      source?.component,
      source?.host,
      object.kind,
      object.namespace,
      object.name,
      object.uid,
      object.apiVersion,
    ];
    const spamKey = about.join("\u0000");
    if (!this.#admits(spamKey)) return { verdict: "drop" };
    const group = [...about, type, reason, object.fieldPath].join("\u0000");
    const combined = this.#isOneOfMany(group, message);
    return {
      verdict: "record",
      id: combined ? group : `${group}\u0000${message}`,
      message: combined ? `(combined from similar events): ${message}` : message,
    };
  }

  #admits(key: string): boolean {
    const now = this.#clock.monotonic();
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) this.#buckets.set(key, (bucket = { tokens: SPAM_BURST, refilledAt: now }));
    bucket.tokens = Math.min(SPAM_BURST, bucket.tokens + (now - bucket.refilledAt) / SPAM_REFILL_MS);
    bucket.refilledAt = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
  #isOneOfMany(group: string, message: string): boolean {
    const now = this.#clock.monotonic();
    let similar = this.#similar.get(group);
    if (similar === undefined || now - similar.lastAt > SIMILAR_INTERVAL_MS) {
      this.#similar.set(group, (similar = { messages: new Set(), lastAt: now }));
    }
    similar.lastAt = now;
    if (similar.messages.size < MAX_SIMILAR) similar.messages.add(message);
    else if (!similar.messages.has(message)) return true;
    return false;
  }
}
