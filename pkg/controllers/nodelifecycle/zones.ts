import type { Node } from "#pkg/api/types/core-v1.ts";

/** How bad things are in a zone, which decides how fast its nodes may be emptied. */
export type ZoneState = "Normal" | "PartialDisruption" | "FullDisruption";

/**
 * How fast nodes of a zone are tainted: nodes per second, the size from which a disrupted zone goes on at the secondary rate,
 * and the part of unready nodes (0 to 1) that makes it disrupted.
 */
export interface EvictionRates {
  readonly nodeEvictionRate: number;
  readonly secondaryNodeEvictionRate: number;
  readonly largeClusterSizeThreshold: number;
  readonly unhealthyZoneThreshold: number;
}

/** The failure domain that a node's labels name; "" when they name none. */
export function zoneOf({ metadata }: Node): string {
  const labels = metadata.labels ?? {};
  const region = labels["topology.kubernetes.io/region"] ?? labels["failure-domain.beta.kubernetes.io/region"] ?? "";
  const zone = labels["topology.kubernetes.io/zone"] ?? labels["failure-domain.beta.kubernetes.io/zone"] ?? "";
  return region === "" && zone === "" ? "" : `${region}:\0:${zone}`;
}

/** How a zone with so many nodes ready and not ready is judged. */
export function zoneState(ready: number, notReady: number, threshold: number): ZoneState {
  if (ready === 0 && notReady > 0) return "FullDisruption";
  if (notReady > 2 && notReady / (notReady + ready) >= threshold) return "PartialDisruption";
  return "Normal";
}

/** Nodes per second that may be emptied in a zone. */
export function evictionRate(state: ZoneState, size: number, rates: EvictionRates): number {
  if (state !== "PartialDisruption") return rates.nodeEvictionRate;
  return size > rates.largeClusterSizeThreshold ? rates.secondaryNodeEvictionRate : 0;
}

/** A token bucket of one token: the first node goes at once, each further one when the rate allows. */
export class EvictionLimiter {
  #rate: number;
  #tokens = 1;
  #at: number;

  constructor(rate: number, now: number) {
    this.#rate = rate;
    this.#at = now;
  }
  setRate(rate: number, now: number): void {
    this.#refill(now);
    this.#rate = rate;
  }
  tryTake(now: number): boolean {
    this.#refill(now);
    if (this.#rate <= 0 || this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
  #refill(now: number): void {
    this.#tokens = Math.min(1, this.#tokens + (Math.max(0, now - this.#at) / 1000) * this.#rate);
    this.#at = now;
  }
}
