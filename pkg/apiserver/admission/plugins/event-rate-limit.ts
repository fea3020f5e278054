import { LRUCache } from "lru-cache";
import type { Event } from "#pkg/api/types/core-v1.ts";
import { tooManyRequests } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import { objectAs } from "../attributes.ts";

export type EventLimitType = "Server" | "Namespace" | "User" | "SourceAndObject";
export interface EventLimit {
  readonly type: EventLimitType;
  /** Events a second, in the long run. */
  readonly qps: number;
  /** Events at once. */
  readonly burst: number;
  /** Buckets remembered; the least recently used are forgotten. */
  readonly cacheSize: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** What events of one limit share a bucket. */
const KEYS: Readonly<Record<EventLimitType, (attributes: AdmissionAttributes) => string>> = {
  Server: () => "",
  Namespace: ({ namespace }) => namespace,
  User: ({ user }) => user.name,
  SourceAndObject: (attributes) => {
    const { source, involvedObject } = objectAs<Event>(attributes);
    const { kind, namespace, name, uid, apiVersion } = involvedObject ?? {};
    return [source?.component, source?.host, kind, namespace, name, uid, apiVersion].map((part) => part ?? "").join("");
  },
};

/** Keeps events from flooding the store. Off by default; its limits come from --admission-control-config-file. */
export class EventRateLimit implements AdmissionPlugin {
  readonly name = "EventRateLimit";
  readonly #clock: Clock;
  readonly #limits: readonly { readonly limit: EventLimit; readonly buckets: LRUCache<string, Bucket> }[];

  constructor(limits: readonly EventLimit[], clock: Clock) {
    this.#clock = clock;
    this.#limits = limits.map((limit) => ({ limit, buckets: new LRUCache({ max: limit.cacheSize }) }));
  }
  handles({ resource, operation, subresource, dryRun }: AdmissionAttributes): boolean {
    if (resource.plural !== "events" || subresource !== "" || dryRun) return false;
    return operation === "CREATE" || operation === "UPDATE";
  }
  validate(attributes: AdmissionAttributes): void {
    // Every limit counts the event, also when another refuses it.
    const reached = this.#limits.filter(
      ({ limit, buckets }) => !this.#take(limit, buckets, KEYS[limit.type](attributes)),
    );
    const [first] = reached;
    if (first === undefined) return;
    const { type } = first.limit;
    throw tooManyRequests(`limit reached on type ${type} for key ${KEYS[type](attributes)}`);
  }

  #take({ qps, burst }: EventLimit, buckets: LRUCache<string, Bucket>, key: string): boolean {
    const now = this.#clock.monotonic();
    const bucket = buckets.get(key) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * qps);
    bucket.at = now;
    buckets.set(key, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }
}
