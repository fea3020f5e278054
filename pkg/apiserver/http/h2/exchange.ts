import type { ApiRequest, ApiResponse, ResponseStream } from "../../contract.ts";
import type { LiveRequests } from "../live-requests.ts";
import { MAX_UNSENT_BYTES } from "../writable-response.ts";
import type { Http2Connection } from "./connection.ts";
import { RequestBody } from "./request-body.ts";

const EMPTY = Buffer.alloc(0);
const NO_HEADERS = Object.freeze({});
/** A producer that waits goes on when no more than this is unsent. */
const DRAINED_BYTES = 64 * 1024;

/** The parts of a request's head. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly repeated?: ReadonlyMap<string, readonly string[]> | undefined;
}

/** One request and its answer: a stream of an HTTP/2 connection. */
export class Exchange implements ApiRequest, ApiResponse, ResponseStream {
  readonly id: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly repeated: ReadonlyMap<string, readonly string[]> | undefined;
  readonly #connection: Http2Connection;
  readonly #live: LiveRequests;
  readonly #body: RequestBody | undefined;
  #auditId: string | undefined;
  #bodyLeft: number;
  #gathered: Promise<Buffer> | undefined;
  #abort: ReturnType<LiveRequests["signal"]> | undefined;
  /** The client has sent all of the request. */
  requestEnded: boolean;
  /** Bytes the client may still send on this stream, and those taken but not reported to it yet. */
  receiveWindow: number;
  credit = 0;
  #begun = false;
  /** Reset, answered, or its connection is gone: nothing can be sent any more. */
  closed = false;
  /** Bytes that the client takes. */
  sendWindow: number;
  /** The answer's last byte has been queued. */
  finishing = false;
  /** Whether the connection has it among those with something to send. */
  ready = false;
  #queue: Buffer[] = [];
  /** First buffer of the queue that is not sent, and how much of it is. */
  #first = 0;
  #offset = 0;
  queuedBytes = 0;
  /** An answer that was sent at once, in parts that mean nothing. */
  #whole = false;
  #queuedAtLook = 0;
  #looksWithoutProgress = 0;
  #waiting: (() => void)[] | undefined;

  constructor(
    connection: Http2Connection,
    live: LiveRequests,
    id: number,
    head: RequestHead,
    sendWindow: number,
    receiveWindow: number,
    requestEnded: boolean,
  ) {
    this.#connection = connection;
    this.#live = live;
    this.id = id;
    this.method = head.method;
    this.url = head.path;
    this.headers = head.headers;
    this.repeated = head.repeated;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.requestEnded = requestEnded;
    const length = head.headers["content-length"];
    this.#bodyLeft = length === undefined ? -1 : Number(length);
    if (!requestEnded) this.#body = new RequestBody((bytes) => connection.taken(this, bytes));
  }
  get peer(): ApiRequest["peer"] {
    return this.#connection.peer;
  }
  get remoteAddress(): string {
    return this.#connection.remoteAddress;
  }
  get auditId(): string {
    return (this.#auditId ??= this.#live.auditId(this.headers));
  }
  body(): Promise<Buffer> {
    if (this.#body === undefined) return Promise.resolve(EMPTY);
    this.#gathered ??= this.#gather(this.#body);
    return this.#gathered;
  }
  #gather(body: RequestBody): Promise<Buffer> {
    this.#invite();
    const gathered = body.gather(this.headers["content-length"]);
    return body.isComplete ? gathered : this.#live.inTime(gathered);
  }
  async *bodyStream(): AsyncGenerator<Buffer, void, void> {
    if (this.#body === undefined) return;
    this.#invite();
    yield* this.#body.stream();
  }
  /** Tells a client that waits for it to send the body (RFC 9110, section 10.1.1). */
  #invite(): void {
    if (this.headers["expect"]?.toLowerCase() !== "100-continue") return;
    if (this.requestEnded || this.closed || this.#begun) return;
    this.#connection.respond(this, 100, NO_HEADERS, undefined, false);
  }
  /** Made on first use: most requests never look. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = this.#live.signal();
      if (this.closed) this.#abortNow();
    }
    return this.#abort.controller.signal;
  }

  send(status: number, headers: Readonly<Record<string, string>>, body: Buffer | readonly Buffer[]): void {
    if (this.closed || this.#begun) return;
    this.#begun = true;
    let size = 0;
    if (Buffer.isBuffer(body)) size = body.length;
    else for (const chunk of body) size += chunk.length;
    const bodiless = size === 0 || this.method === "HEAD";
    this.#connection.respond(this, status, headers, size, bodiless);
    if (bodiless) return;
    if (Buffer.isBuffer(body)) this.#queue.push(body);
    else this.#queue = body as Buffer[];
    this.queuedBytes = size;
    this.finishing = true;
    this.#whole = true;
    this.#connection.hasData(this);
  }
  stream(status: number, headers: Readonly<Record<string, string>>): ResponseStream {
    if (!this.closed && !this.#begun) {
      this.#begun = true;
      const length = headers["content-length"];
      const known = length === undefined ? undefined : Number(length);
      this.#connection.respond(this, status, headers, known, this.method === "HEAD");
    }
    return this;
  }
  write(chunk: Buffer): boolean {
    if (this.closed || this.finishing) return false;
    if (chunk.length > 0) {
      this.#queue.push(chunk);
      this.queuedBytes += chunk.length;
      if (!this.ready) this.#connection.hasData(this);
    }
    return this.queuedBytes <= MAX_UNSENT_BYTES;
  }
  drained(): Promise<void> {
    if (this.closed || this.queuedBytes <= DRAINED_BYTES) return Promise.resolve();
    return new Promise((resolve) => (this.#waiting ??= []).push(resolve));
  }
  end(): void {
    if (this.closed || this.finishing) return;
    this.finishing = true;
    this.#connection.hasData(this);
  }
  destroy(): void {
    this.#connection.abandon(this);
  }

  /** A piece of the request's body has arrived. Returns false when it is longer or shorter than was announced. */
  receive(chunk: Buffer, last: boolean): boolean {
    if (this.#bodyLeft >= 0) {
      this.#bodyLeft -= chunk.length;
      if (this.#bodyLeft < 0 || (last && this.#bodyLeft > 0)) return false;
    }
    if (chunk.length > 0) this.#body?.push(chunk);
    if (last) {
      this.requestEnded = true;
      this.#body?.end();
    }
    return true;
  }
  /**
   * How much of what is queued makes the next frame, of at most `most` bytes: what was written at once (an event of a
   * watch) arrives at once where it can, which spares readers putting it together.
   */
  frameBytes(most: number): number {
    if (this.queuedBytes <= most || this.#whole) return Math.min(this.queuedBytes, most);
    let next = this.#first;
    let bytes = this.#queue[next]!.length - this.#offset;
    if (bytes > most) return most;
    for (; bytes + this.#queue[next + 1]!.length <= most; next++) bytes += this.#queue[next + 1]!.length;
    return bytes;
  }
  /** Moves up to `most` queued bytes into `out`; returns how many. */
  take(out: Buffer, start: number, most: number): number {
    let at = start;
    const end = start + most;
    while (at < end) {
      const chunk = this.#queue[this.#first]!;
      const from = this.#offset;
      const length = Math.min(chunk.length - from, end - at);
      out.set(from === 0 && length === chunk.length ? chunk : chunk.subarray(from, from + length), at);
      at += length;
      if (from + length < chunk.length) {
        this.#offset = from + length;
        continue;
      }
      this.#offset = 0;
      this.#first++;
    }
    this.queuedBytes -= most;
    if (this.queuedBytes === 0) this.#forget();
    else if (this.#first > 512) {
      this.#queue = this.#queue.slice(this.#first);
      this.#first = 0;
    }
    if (this.#waiting !== undefined && this.queuedBytes <= DRAINED_BYTES) this.#release();
    return most;
  }
  /**
   * To be asked at regular times: how often in a row nothing of an answer had been taken that has been queued to its
   * end. Before that, the producer notices.
   */
  stalledFor(): number {
    const stuck = this.finishing && this.queuedBytes > 0 && this.queuedBytes === this.#queuedAtLook;
    this.#looksWithoutProgress = stuck ? this.#looksWithoutProgress + 1 : 0;
    this.#queuedAtLook = this.queuedBytes;
    return this.#looksWithoutProgress;
  }
  /** The answer has been sent whole. */
  done(): void {
    this.closed = true;
    this.#dropBody();
    this.#abort?.release();
    this.#forget();
    this.#release();
  }
  /** The client has reset the stream, or its connection is gone. */
  gone(): void {
    if (this.closed) return;
    this.closed = true;
    this.queuedBytes = 0;
    this.#dropBody();
    this.#forget();
    this.#release();
    if (this.#abort !== undefined) this.#abortNow();
  }

  #abortNow(): void {
    this.#abort!.release();
    this.#abort!.controller.abort(this.#live.gone);
  }
  #dropBody(): void {
    this.#body?.fail(this.#live.gone);
    this.#body?.discard();
  }
  #forget(): void {
    if (this.#first === 0 && this.#queue.length === 0) return;
    this.#queue = [];
    this.#first = 0;
    this.#offset = 0;
  }
  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const resolve of waiting ?? []) resolve();
  }
}
