import type { Clock } from "#pkg/util/index.ts";

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  readonly cancel: (() => void) | undefined;
  readonly since: number;
}

/** How long a waiter waits before `nudge` is called, and again as long as somebody waits. */
const NUDGE_MS = 100;

/** How far the cache has applied the store's events, and who waits for it to get further. */
export class Progress {
  readonly #clock: Clock;
  /** Makes the store report progress although nothing in the cached range is being written. */
  readonly #nudge: () => void;
  #revision = 0;
  #waiters: Waiter[] = [];
  #cancelNudge: (() => void) | undefined;
  #closed: Error | undefined;

  constructor(clock: Clock, nudge: () => void) {
    this.#clock = clock;
    this.#nudge = nudge;
  }
  get revision(): number {
    return this.#revision;
  }
  advance(revision: number): void {
    if (revision <= this.#revision) return;
    this.#revision = revision;
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) {
      if (waiter.revision > revision) {
        this.#waiters.push(waiter);
        continue;
      }
      waiter.cancel?.();
      waiter.resolve();
    }
  }
  /**
   * Resolves when everything up to `revision` has been applied. With `timeoutMs`, rejects after it with what `late` makes.
   */
  reached(revision: number, timeoutMs?: number, late?: () => Error): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (revision <= this.#revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const expire = () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(late?.() ?? new Error("the watch cache did not catch up in time"));
      };
      const cancel = timeoutMs === undefined ? undefined : this.#clock.schedule(timeoutMs, expire);
      const waiter: Waiter = { revision, resolve, reject, cancel, since: this.#clock.monotonic() };
      this.#waiters.push(waiter);
      this.#armNudge();
    });
  }
  close(error: Error): void {
    this.#closed = error;
    this.#stopNudging();
    for (const waiter of this.#waiters.splice(0)) {
      waiter.cancel?.();
      waiter.reject(error);
    }
  }

  /** One timer for all: nearly every write waits for a moment, and one armed for each would cost more than that. */
  #armNudge(afterMs = NUDGE_MS): void {
    this.#cancelNudge ??= this.#clock.schedule(afterMs, () => {
      this.#cancelNudge = undefined;
      const [longest] = this.#waiters;
      if (longest === undefined) return;
      const waitedMs = this.#clock.monotonic() - longest.since;
      if (waitedMs < NUDGE_MS) return this.#armNudge(NUDGE_MS - waitedMs);
      this.#nudge();
      this.#armNudge();
    });
  }
  #stopNudging(): void {
    this.#cancelNudge?.();
    this.#cancelNudge = undefined;
  }
}
