import type { Clock } from "#pkg/util/index.ts";

/** As upstream: after five minutes an unfulfilled expectation no longer holds a controller back. */
const TIMEOUT_MS = 5 * 60_000;

interface Expectation {
  creations: number;
  /** UIDs of objects whose deletion was asked for and not yet seen. */
  readonly deletions: Set<string>;
  readonly setAt: number;
}

/**
 * What a controller has asked for and its cache has not shown yet, by controller key. While something is outstanding
 * the cache is older than our own writes, and a plan made from it would create or delete twice.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #byKey = new Map<string, Expectation>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  /** Call before creating `count` objects. */
  expectCreations(key: string, count: number): void {
    this.#renewed(key).creations += count;
  }
  /** Call before deleting the objects with these UIDs. */
  expectDeletions(key: string, uids: readonly string[]): void {
    const { deletions } = this.#renewed(key);
    for (const uid of uids) deletions.add(uid);
  }
  /** An object was seen, or its creation failed. */
  creationObserved(key: string): void {
    const expectation = this.#byKey.get(key);
    if (expectation !== undefined && expectation.creations > 0) expectation.creations--;
  }
  /** An object is gone (or going), or its deletion failed. */
  deletionObserved(key: string, uid: string): void {
    this.#byKey.get(key)?.deletions.delete(uid);
  }
  /** Has the cache seen everything we did? */
  satisfied(key: string): boolean {
    const expectation = this.#byKey.get(key);
    if (expectation === undefined) return true;
    if (expectation.creations === 0 && expectation.deletions.size === 0) return true;
    return this.#clock.monotonic() - expectation.setAt > TIMEOUT_MS;
  }
  /**
   * Milliseconds until an expectation expires that is still outstanding, or undefined. What was made and removed while a
   * watch was broken is never seen, and no event will say so: whoever waits must look again by then.
   */
  expiresInMs(key: string): number | undefined {
    const expectation = this.#byKey.get(key);
    if (expectation === undefined || this.satisfied(key)) return undefined;
    return TIMEOUT_MS + 1 - (this.#clock.monotonic() - expectation.setAt);
  }
  forget(key: string): void {
    this.#byKey.delete(key);
  }

  #renewed(key: string): Expectation {
    const known = this.#byKey.get(key);
    // A fulfilled or expired expectation starts over: what it still counts will never be seen.
    if (known !== undefined && !this.satisfied(key)) return known;
    const fresh: Expectation = { creations: 0, deletions: new Set(), setAt: this.#clock.monotonic() };
    this.#byKey.set(key, fresh);
    return fresh;
  }
}
