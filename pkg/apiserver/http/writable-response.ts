import type { ResponseStream } from "../contract.ts";

/** A producer that has this much unsent on one stream waits. */
export const MAX_UNSENT_BYTES = 256 * 1024;

interface Sink {
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableLength: number;
  readonly writableNeedDrain: boolean;
  write(chunk: Buffer): boolean;
  end(): unknown;
  once(event: string, listener: () => void): unknown;
  removeListener(event: string, listener: () => void): unknown;
}

/** A streamed answer on anything Node can write to. */
export class WritableResponse implements ResponseStream {
  readonly #sink: Sink;
  readonly #reset: () => void;

  constructor(sink: Sink, reset: () => void) {
    this.#sink = sink;
    this.#reset = reset;
  }
  write(chunk: Buffer): boolean {
    const sink = this.#sink;
    if (sink.destroyed || sink.writableEnded) return false;
    sink.write(chunk);
    return sink.writableLength <= MAX_UNSENT_BYTES;
  }
  drained(): Promise<void> {
    const sink = this.#sink;
    if (sink.destroyed || !sink.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        sink.removeListener("drain", done);
        sink.removeListener("close", done);
        resolve();
      };
      sink.once("drain", done);
      sink.once("close", done);
    });
  }
  end(): void {
    if (!this.#sink.destroyed && !this.#sink.writableEnded) this.#sink.end();
  }
  destroy(): void {
    if (!this.#sink.destroyed) this.#reset();
  }
}
