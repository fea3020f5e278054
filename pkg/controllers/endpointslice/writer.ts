import { isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import { type Client, DONE, Expectations, type Result } from "#pkg/client/index.ts";
import { endpointSlices } from "#pkg/api/refs.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import type { Clock } from "#pkg/util/index.ts";
import { WriteBarrier } from "../common/write-barrier.ts";
import type { SlicePlan } from "./plan.ts";

/**
 * Writes the slices of services and knows whether a cache shows all of it yet: a plan made from an older cache would put
 * endpoints in two slices, or write over a version that is no more. Services are named by "namespace/name".
 */
export class SliceWriter {
  readonly #client: Client;
  readonly #expectations: Expectations;
  readonly #barrier = new WriteBarrier();

  constructor({ client, clock }: { readonly client: Client; readonly clock: Clock }) {
    this.#client = client;
    this.#expectations = new Expectations(clock);
  }

  /**
   * Until when a reconcile of the service waits, when its slices, as a cache has them, lack something written here.
   * The cache will tell when they do not; what was made and removed while a watch was broken is given up in the end.
   */
  waits(service: string, slices: readonly EndpointSlice[]): Result | undefined {
    const expiresInMs = this.#expectations.expiresInMs(service);
    if (expiresInMs !== undefined) return { requeueAfterMs: expiresInMs };
    return slices.every((slice) => this.#barrier.isCurrent(slice)) ? undefined : DONE;
  }
  /** Call when the cache shows a new slice of a service. */
  added(service: string): void {
    this.#expectations.creationObserved(service);
  }
  /** Call when a slice of a service has left the cache. */
  removed(service: string, { metadata }: EndpointSlice): void {
    this.#expectations.deletionObserved(service, metadata.uid);
    this.#barrier.forget(metadata.uid);
  }
  forget(service: string): void {
    this.#expectations.forget(service);
  }

  /** Creates first, so that an endpoint that moves between slices is never in none. */
  async apply(service: string, plan: SlicePlan, signal: AbortSignal): Promise<void> {
    for (const slice of plan.create) {
      this.#expectations.expectCreations(service, 1);
      try {
        await this.#client.create(endpointSlices, slice, { signal });
      } catch (error) {
        this.#expectations.creationObserved(service);
        throw error;
      }
    }
    for (const slice of plan.update) this.#barrier.wrote(await this.#client.update(endpointSlices, slice, { signal }));
    for (const slice of plan.delete) {
      this.#expectations.expectDeletions(service, [slice.metadata.uid]);
      try {
        await this.#client.delete(endpointSlices, keyOf(slice), { signal });
      } catch (error) {
        this.#expectations.deletionObserved(service, slice.metadata.uid);
        if (!isNotFound(error)) throw error;
      }
    }
  }
}
