import type { Clock } from "#pkg/util/index.ts";

/** So many may be at work at a time; others wait for their turn, first come first served. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Waits for its turn; whoever gives up meanwhile leaves the queue. Who has entered leaves in the end, exactly once. */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal.reason as Error);
      };
      const enter = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.#waiting.push(enter);
    });
  }

  /** Hands the slot to the next in line, so that nobody can slip in between. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }

  /** Makes the call in its turn. One that takes longer than `patienceMs` goes on, but gives its slot to the next. */
  async turn<T>(
    call: () => Promise<T>,
    { clock, patienceMs, signal }: { clock: Clock; patienceMs: number; signal: AbortSignal },
  ): Promise<T> {
    await this.enter(signal);
    let inside = true;
    const leave = () => {
      if (inside) this.leave();
      inside = false;
    };
    const cancel = clock.schedule(patienceMs, leave);
    try {
      return await call();
    } finally {
      cancel();
      leave();
    }
  }
}
