/**
 * Bytes on their way from a producer that pushes to a consumer that iterates. The producer keeps the bound: it looks at
 * `size` and waits for `drained`.
 */
export class ChunkQueue implements AsyncIterable<Uint8Array> {
  #chunks: Uint8Array[] = [];
  #size = 0;
  #state: "open" | "ended" | { readonly error: unknown } = "open";
  #wake: (() => void) | undefined;
  #drained: (() => void)[] = [];
  readonly #onConsumed: ((bytes: number) => void) | undefined;
  readonly #onLeft: () => void;

  /** `onLeft` runs when the consumer stops, early or at the end; `onConsumed` after each chunk it takes. */
  constructor(onLeft: () => void, onConsumed?: (bytes: number) => void) {
    this.#onLeft = onLeft;
    this.#onConsumed = onConsumed;
  }
  /** Bytes pushed and not yet consumed. */
  get size(): number {
    return this.#size;
  }
  push(chunk: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#signal();
  }
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#signal();
  }
  fail(error: unknown): void {
    if (this.#state === "open") this.#state = { error };
    this.#signal();
  }
  /** Resolves when everything pushed so far has been consumed, or nobody will consume it any more. */
  drained(): Promise<void> {
    if (this.#size === 0 || this.#state !== "open") return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        while (this.#chunks.length > 0) {
          const chunks = this.#chunks;
          this.#chunks = [];
          for (const chunk of chunks) {
            yield chunk;
            this.#size -= chunk.length;
            this.#onConsumed?.(chunk.length);
          }
          if (this.#size === 0) this.#releaseDrained();
        }
        if (this.#state === "ended") return;
        if (this.#state !== "open") throw this.#state.error;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      if (this.#state === "open") this.#state = "ended";
      this.#chunks = [];
      this.#releaseDrained();
      this.#onLeft();
    }
  }
  #signal(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
    if (this.#state !== "open") this.#releaseDrained();
  }
  #releaseDrained(): void {
    const waiting = this.#drained;
    this.#drained = [];
    for (const resolve of waiting) resolve();
  }
}
