import type { TLSSocket } from "node:tls";
import {
  DEFAULT_WINDOW,
  ErrorCode,
  Flag,
  FRAME_HEAD_BYTES,
  FrameType,
  Http2Error,
  MAX_WINDOW,
  MIN_MAX_FRAME_BYTES,
  writeFrameHead,
} from "#pkg/http2/index.ts";
import { gatheringBuffer, WRITE_BYTES } from "./buffers.ts";
import type { Exchange } from "./exchange.ts";

/**
 * What one connection sends. Frames of one turn of the event loop leave in one write; bodies stay where they are (most
 * are cached objects) until there is room for them, so that neither a large list nor a slow reader costs memory.
 */
export class FrameWriter {
  readonly #socket: TLSSocket;
  readonly #onAnswered: (exchange: Exchange) => void;
  readonly #pump = () => this.#write();
  #window = DEFAULT_WINDOW;
  #control: Buffer[] = [];
  /** Bytes of frames other than DATA that wait. */
  controlBytes = 0;
  /** Streams with something to send, in turn. */
  #ready: Exchange[] = [];
  #scheduled = false;
  #writing = false;
  #ending = false;
  #closed = false;

  /** `onAnswered` is called when the last byte of an answer has been taken. */
  constructor(socket: TLSSocket, onAnswered: (exchange: Exchange) => void) {
    this.#socket = socket;
    this.#onAnswered = onAnswered;
  }
  /** Sends a frame that is not subject to flow control, before all data that waits. */
  control(bytes: Buffer): void {
    if (this.#closed) return;
    this.#control.push(bytes);
    this.controlBytes += bytes.length;
    this.#schedule();
  }
  /** The stream has something to send. */
  data(exchange: Exchange): void {
    if (!exchange.ready && !this.#closed) {
      exchange.ready = true;
      this.#ready.push(exchange);
    }
    this.#schedule();
  }
  /** The peer takes more. @throws Http2Error */
  grow(bytes: number): void {
    this.#window += bytes;
    if (this.#window > MAX_WINDOW) throw new Http2Error(ErrorCode.FlowControl, "the window is too large");
    if (this.#ready.length > 0) this.#schedule();
  }
  /** Ends the connection when everything has been sent. */
  end(): void {
    this.#ending = true;
    this.#schedule();
  }
  close(): void {
    this.#closed = true;
    this.#control = [];
    this.#ready = [];
  }

  #schedule(): void {
    if (this.#scheduled || this.#writing || this.#closed) return;
    this.#scheduled = true;
    setImmediate(this.#pump);
  }
  #write(): void {
    this.#scheduled = false;
    if (this.#writing || this.#closed) return;
    const buffer = gatheringBuffer();
    const length = this.#fillData(buffer, this.#fillControl(buffer));
    if (length === 0) {
      if (this.#ending && this.#control.length === 0) this.#socket.end();
      return;
    }
    this.#writing = true;
    // Only this writes to the socket, and one write at a time: nothing is queued that would still refer to the buffer.
    this.#socket.write(buffer.subarray(0, length), () => {
      this.#writing = false;
      if (this.#control.length > 0 || this.#ready.length > 0 || this.#ending) this.#schedule();
    });
  }
  #fillControl(out: Buffer): number {
    let at = 0;
    let taken = 0;
    for (; taken < this.#control.length; taken++) {
      const bytes = this.#control[taken]!;
      if (at + bytes.length > out.length) break;
      out.set(bytes, at);
      at += bytes.length;
    }
    this.#control = taken === this.#control.length ? [] : this.#control.slice(taken);
    this.controlBytes -= at;
    return at;
  }
  /** One frame of each stream in turn, as long as windows and buffer have room. */
  #fillData(out: Buffer, start: number): number {
    let at = start;
    const ready = this.#ready;
    let next = 0;
    // Heads of answers come first, so data waits until all of them have left.
    while (next < ready.length && this.#control.length === 0) {
      const exchange = ready[next]!;
      const { queuedBytes } = exchange;
      if (exchange.closed || (queuedBytes === 0 && !exchange.finishing)) {
        exchange.ready = false;
        next++;
        continue;
      }
      // A peer that takes back window it has given makes it negative (section 6.9.2); an end without data needs none.
      const window = Math.max(0, Math.min(exchange.sendWindow, this.#window));
      const length = exchange.frameBytes(Math.min(MIN_MAX_FRAME_BYTES, window));
      if (at + FRAME_HEAD_BYTES + length > WRITE_BYTES) break;
      if (length === 0 && queuedBytes > 0) {
        // All of them wait for the connection's window, or only this one for its own, which brings it back.
        if (this.#window <= 0) break;
        exchange.ready = false;
        next++;
        continue;
      }
      const last = exchange.finishing && length === queuedBytes;
      writeFrameHead(out, at, length, FrameType.Data, last ? Flag.EndStream : 0, exchange.id);
      at += FRAME_HEAD_BYTES;
      if (length > 0) at += exchange.take(out, at, length);
      exchange.sendWindow -= length;
      this.#window -= length;
      next++;
      if (last) {
        exchange.ready = false;
        this.#onAnswered(exchange);
      } else if (exchange.queuedBytes > 0) ready.push(exchange);
      else exchange.ready = false;
    }
    this.#ready = next === ready.length ? [] : ready.slice(next);
    return at;
  }
}
