import type { Clock } from "#pkg/util/index.ts";

/** Counts requests under way and can tell all of them that the server is closing. */
export class LiveRequests {
  /** Why requests are aborted whose client has left; one for all, as most of them have been answered by then. */
  readonly gone = new Error("the client closed the request");
  readonly #controllers = new Set<AbortController>();
  #count = 0;
  #onDrained: (() => void) | undefined;
  #closing = false;

  began(): void {
    this.#count++;
  }
  ended(): void {
    this.#count--;
    if (this.#count === 0) this.#onDrained?.();
  }
  /** A signal for one request; `release` forgets it. */
  signal(): { controller: AbortController; release: () => void } {
    const controller = new AbortController();
    if (this.#closing) controller.abort(new Error("the server is closing"));
    this.#controllers.add(controller);
    return { controller, release: () => this.#controllers.delete(controller) };
  }
  abortAll(): void {
    this.#closing = true;
    for (const controller of this.#controllers) controller.abort(new Error("the server is closing"));
  }
  /** Resolves when nothing is under way, or after `graceMs`. */
  drained(clock: Clock, graceMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = clock.schedule(graceMs, resolve);
      this.#onDrained = () => {
        cancel();
        resolve();
      };
    });
  }
}
