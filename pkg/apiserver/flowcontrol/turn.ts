import { tooManyRequests } from "#pkg/apimachinery/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { Level, Levels } from "./levels.ts";
import type { Refusal, Waiter } from "./queue-set.ts";
import type { RetryAfter } from "./retry-after.ts";
import type { RejectReason, Traffic } from "./traffic.ts";
import type { Work } from "./work.ts";

/** One request's way past flow control. */
export interface Turn {
  /** For its answer, whatever that is. */
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** Resolves when the request may go on, rejects with 429 when it may not. Undefined: at once. */
  readonly waiting: Promise<void> | undefined;
  /** The request is served (or, a watch, has begun): gives its seats back. May be repeated. */
  release(): void;
}

/** The turn of requests that need no seat. */
export const UNLIMITED: Turn = { headers: undefined, waiting: undefined, release: () => undefined };

export interface SeatedTurnParts {
  readonly levels: Levels;
  readonly clock: Clock;
  readonly level: Level;
  readonly traffic: Traffic;
  readonly retryAfter: RetryAfter;
  readonly headers: Readonly<Record<string, string>>;
  readonly work: Work;
}

/** The turn of a request that takes seats of a level. */
export class SeatedTurn implements Turn {
  readonly #parts: SeatedTurnParts;
  #seated = false;
  waiting: Promise<void> | undefined;

  constructor(parts: SeatedTurnParts) {
    this.#parts = parts;
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#parts.headers;
  }

  take(flow: string, timeoutMs: number, waiter: Waiter): void {
    const { levels, level, work } = this.#parts;
    const acquired = levels.acquire(level, flow, work.seats, timeoutMs, waiter);
    if (acquired === undefined) this.#start(0);
    else this.waiting = acquired instanceof Promise ? this.#wait(acquired) : Promise.reject(this.#refuse(acquired, 0));
  }
  release(): void {
    if (!this.#seated) return;
    this.#seated = false;
    const { levels, level, traffic, work, clock } = this.#parts;
    traffic.ends(work.seats);
    if (work.finalSeats > 0) {
      // The answer is there, but watchers are still being told.
      levels.occupy(level, work.finalSeats);
      clock.schedule(work.finalMs, () => levels.release(level, work.finalSeats));
    }
    levels.release(level, work.seats);
  }

  #start(waitedMs: number): void {
    this.#seated = true;
    this.#parts.traffic.starts(this.#parts.work.seats, waitedMs);
  }
  async #wait(acquired: Promise<Refusal | undefined>): Promise<void> {
    const { traffic, work, clock } = this.#parts;
    const since = clock.monotonic();
    traffic.waiting++;
    traffic.waitingSeats += work.seats;
    const refusal = await acquired;
    traffic.waiting--;
    traffic.waitingSeats -= work.seats;
    const waitedMs = clock.monotonic() - since;
    if (refusal !== undefined) throw this.#refuse(refusal, waitedMs);
    this.#start(waitedMs);
  }
  #refuse(reason: RejectReason, waitedMs: number): Error {
    const { traffic, retryAfter, clock } = this.#parts;
    const { seconds } = retryAfter;
    retryAfter.refused(clock.now());
    traffic.rejects(reason, waitedMs);
    return tooManyRequests("Too many requests, please try again later.", seconds);
  }
}
