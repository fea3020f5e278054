import { timeout } from "#pkg/apimachinery/index.ts";
import type { Clock, Random } from "#pkg/util/index.ts";

/** How long a client may take to send a body: meanwhile the request keeps its turn from others. */
const BODY_TIMEOUT_MS = 60_000;

/** What the requests of a listener share: counts those under way, names them, and can tell all of them that the server is closing. */
export class LiveRequests {
  /** Why requests are aborted whose client has left; one for all, as most of them have been answered by then. */
  readonly gone = new Error("the client closed the request");
  readonly #clock: Clock;
  readonly #random: Pick<Random, "uuid">;
  readonly #controllers = new Set<AbortController>();
  #count = 0;
  #onDrained: (() => void) | undefined;
  #closing = false;

  constructor(clock: Clock, random: Pick<Random, "uuid">) {
    this.#clock = clock;
    this.#random = random;
  }

  /** What a request is called that was sent with these headers. */
  auditId({ "audit-id": chosen }: Readonly<Record<string, string | undefined>>): string {
    return chosen === undefined || chosen === "" ? this.#random.uuid() : chosen;
  }
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
  /** A body that is still arriving. @throws StatusError 504 when it takes too long */
  async inTime(body: Promise<Buffer>): Promise<Buffer> {
    const late = Promise.withResolvers<never>();
    const cancel = this.#clock.schedule(BODY_TIMEOUT_MS, () =>
      late.reject(timeout("request did not complete within the allotted timeout")),
    );
    try {
      return await Promise.race([body, late.promise]);
    } finally {
      cancel();
    }
  }
  abortAll(): void {
    this.#closing = true;
    for (const controller of this.#controllers) controller.abort(new Error("the server is closing"));
  }
  /** Resolves when nothing is under way, or after `graceMs`. */
  drained(graceMs: number): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#clock.schedule(graceMs, resolve);
      this.#onDrained = () => {
        cancel();
        resolve();
      };
    });
  }
}
