import { requestEntityTooLarge } from "#pkg/apimachinery/index.ts";
import { BODY_LIMIT_BYTES, BODY_TOO_LARGE } from "../body-reader.ts";

const CRUMB_BYTES = 512;
const MAX_CRUMBS = 256;

/**
 * The body of one request as it arrives. Until somebody asks for it, it is held and the client gets no credit for more
 * than the stream's window; then it is gathered whole, or handed on in pieces.
 */
export class RequestBody {
  /** Tells flow control that so many bytes have been taken. */
  readonly #credit: (bytes: number) => void;
  #chunks: Buffer[] = [];
  #size = 0;
  /** Short pieces at the end of the chunks. */
  #crumbs = 0;
  #mode: "held" | "gathered" | "streamed" | "discarded" = "held";
  #complete = false;
  #failure: Error | undefined;
  #settle: (() => void) | undefined;

  constructor(credit: (bytes: number) => void) {
    this.#credit = credit;
  }
  /** All of it has arrived. */
  get isComplete(): boolean {
    return this.#complete;
  }
  push(chunk: Buffer): void {
    if (this.#mode === "discarded") {
      this.#credit(chunk.length);
      return;
    }
    this.#keep(chunk);
    if (this.#mode === "gathered") {
      this.#credit(chunk.length);
      if (this.#size > BODY_LIMIT_BYTES) this.#wake();
    } else if (this.#mode === "streamed") this.#wake();
  }
  end(): void {
    this.#complete = true;
    this.#wake();
  }
  /** No more of it will come, or what has come is no longer to be acted on. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#wake();
  }
  /** Nobody will read what is left. */
  discard(): void {
    if (this.#mode === "held" || this.#mode === "streamed") this.#credit(this.#size);
    this.#mode = "discarded";
    this.#drop();
  }
  /** All of it. @throws StatusError 413; the failure when the client goes away */
  async gather(contentLength: string | undefined): Promise<Buffer> {
    if (contentLength !== undefined && Number(contentLength) > BODY_LIMIT_BYTES) {
      this.discard();
      throw requestEntityTooLarge(BODY_TOO_LARGE);
    }
    this.#mode = "gathered";
    this.#credit(this.#size);
    while (!this.#complete && this.#failure === undefined && this.#size <= BODY_LIMIT_BYTES) await this.#more();
    // A client that has left, even if all had arrived: what was discarded must not pass for an empty body.
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#size > BODY_LIMIT_BYTES) {
      this.discard();
      throw requestEntityTooLarge(BODY_TOO_LARGE);
    }
    const chunks = this.#chunks;
    this.#chunks = [];
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
  }
  /** Piece by piece; what is not taken is not credited. */
  async *stream(): AsyncGenerator<Buffer, void, void> {
    this.#mode = "streamed";
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#size -= chunk.length;
        this.#credit(chunk.length);
        yield chunk;
      } else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#complete) return;
      else await this.#more();
    }
  }

  /** Crumbs are swept together: each costs far more memory than the bytes that its window allows. */
  #keep(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    this.#crumbs = chunk.length < CRUMB_BYTES ? this.#crumbs + 1 : 0;
    if (this.#crumbs < MAX_CRUMBS) return;
    this.#chunks.push(Buffer.concat(this.#chunks.splice(-MAX_CRUMBS)));
    this.#crumbs = 0;
  }
  #more(): Promise<void> {
    return new Promise((resolve) => (this.#settle = resolve));
  }
  #wake(): void {
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.();
  }
  #drop(): void {
    this.#chunks = [];
    this.#size = 0;
  }
}
