/** A client whose way to the API server can be cut: calls are refused, and watches that are open end. */
import type { Client } from "#pkg/client/index.ts";
import { wrapped } from "../cri/wrapped.ts";

export class Gate {
  readonly client: Client;
  #cut = new AbortController();

  constructor(client: Client) {
    this.client = wrapped(client, (name, call) => {
      if (name === "watch") return this.#watched(call as () => AsyncIterable<unknown>);
      return this.#cut.signal.aborted ? Promise.reject(refused()) : call();
    });
  }

  close(): void {
    this.#cut.abort(refused());
  }
  open(): void {
    this.#cut = new AbortController();
  }

  async *#watched(call: () => AsyncIterable<unknown>): AsyncIterable<unknown> {
    const { signal } = this.#cut;
    signal.throwIfAborted();
    const cut = new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(refused()), { once: true }),
    );
    cut.catch(() => undefined); // nobody may be waiting when it happens
    const events = call()[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await Promise.race([events.next(), cut]);
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // One that waits for an event ends with it; nobody waits for that.
      void events.return?.();
    }
  }
}

const refused = () => new Error("connect ECONNREFUSED");
