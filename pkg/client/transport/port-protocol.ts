import type { MessagePort } from "node:worker_threads";

/**
 * What travels over a MessagePort between a client and an API server in two threads of one process. Frames are small
 * and collected into batches; the payloads of a batch lie one behind the other in a single buffer, which is handed over
 * instead of copied. Payload sizes are in bytes; `size` 0 means none.
 */
export type ClientFrame =
  | {
      readonly type: "request";
      readonly id: number;
      /** Who asks; the server trusts the thread that says so. */
      readonly user: string;
      readonly method: string;
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly size: number;
    }
  /** The client has lost interest; no more frames for this id need to come. */
  | { readonly type: "abort"; readonly id: number; readonly size: 0 }
  /** The reader has taken this many more bytes of the stream. */
  | { readonly type: "consumed"; readonly id: number; readonly bytes: number; readonly size: 0 };

export type ServerFrame =
  | {
      readonly type: "whole" | "head";
      readonly id: number;
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      readonly size: number;
    }
  /** `size` grows while the batch is open and more of the same stream follows. */
  | { readonly type: "chunk"; readonly id: number; size: number }
  | { readonly type: "end" | "reset"; readonly id: number; readonly size: 0 };

export interface PortBatch<F> {
  readonly frames: readonly F[];
  readonly bytes: ArrayBuffer | undefined;
}

/** Readers report what they consumed in steps of this size. */
export const CONSUMED_STEP_BYTES = 256 * 1024;
/** A stream whose reader is this far behind is told to stop. */
export const MAX_UNCONSUMED_BYTES = 64 * 1024 * 1024;
/** A batch is sent before it grows beyond this. */
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** Collects frames of one turn of the event loop and posts them as one message. */
export class BatchWriter<F extends { readonly size: number }> {
  readonly #port: MessagePort;
  /** With each frame the parts of its payload. */
  #frames = new Map<F, Uint8Array[]>();
  #size = 0;
  #scheduled = false;

  constructor(port: MessagePort) {
    this.#port = port;
  }
  /** More bytes for a frame that has not been sent yet; false when it has. */
  extend(frame: F & { size: number }, part: Uint8Array): boolean {
    const parts = this.#frames.get(frame);
    if (parts === undefined) return false;
    frame.size += part.length;
    parts.push(part);
    this.#size += part.length;
    if (this.#size >= MAX_BATCH_BYTES) this.flush();
    return true;
  }
  /** `parts` together are exactly `frame.size` bytes; they are copied before this turn ends. */
  add(frame: F, parts: readonly Uint8Array[] = []): void {
    this.#frames.set(frame, [...parts]);
    this.#size += frame.size;
    if (this.#size >= MAX_BATCH_BYTES) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
  }
  flush(): void {
    if (this.#frames.size === 0) return;
    let bytes: ArrayBuffer | undefined;
    if (this.#size > 0) {
      // The parts may be shared (cached objects): they are copied into a buffer of our own, and that one is handed over.
      bytes = new ArrayBuffer(this.#size);
      const target = new Uint8Array(bytes);
      let offset = 0;
      for (const parts of this.#frames.values()) {
        for (const part of parts) {
          target.set(part, offset);
          offset += part.length;
        }
      }
    }
    const batch: PortBatch<F> = { frames: [...this.#frames.keys()], bytes };
    this.#frames = new Map();
    this.#size = 0;
    this.#port.postMessage(batch, bytes === undefined ? [] : [bytes]);
  }
}

/** Calls `visit` with each frame of a batch and its payload (a view on the batch's buffer). */
export function readBatch<F extends { readonly size: number }>(
  batch: PortBatch<F>,
  visit: (frame: F, payload: Buffer) => void,
): void {
  const bytes = batch.bytes === undefined ? Buffer.alloc(0) : Buffer.from(batch.bytes);
  let offset = 0;
  for (const frame of batch.frames) {
    visit(frame, bytes.subarray(offset, offset + frame.size));
    offset += frame.size;
  }
}
