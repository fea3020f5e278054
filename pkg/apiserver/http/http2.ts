import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { ApiRequest, ApiResponse, ResponseStream } from "../contract.ts";
import { readBody } from "./body-reader.ts";
import type { LiveRequests } from "./live-requests.ts";

const EMPTY = Buffer.alloc(0);
/** A consumer that leaves more than this unread is too slow. */
export const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

/** One request on an HTTP/2 stream. */
export class Http2Request implements ApiRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly peer: ApiRequest["peer"];
  readonly #stream: ServerHttp2Stream;
  readonly #empty: boolean;
  readonly #live: LiveRequests;
  #body: Promise<Buffer> | undefined;
  #signal: AbortSignal | undefined;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    flags: number,
    peer: ApiRequest["peer"],
    live: LiveRequests,
  ) {
    this.method = headers[":method"] ?? "GET";
    this.url = headers[":path"] ?? "/";
    // Node joins repeated headers, except for set-cookie, which no request has.
    this.headers = headers as Readonly<Record<string, string | undefined>>;
    this.peer = peer;
    this.#stream = stream;
    this.#empty = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    this.#live = live;
  }
  get remoteAddress(): string {
    return this.#stream.session?.socket.remoteAddress ?? "";
  }
  body(): Promise<Buffer> {
    if (this.#empty) return Promise.resolve(EMPTY);
    this.#body ??= readBody(this.#stream, this.headers["content-length"]);
    return this.#body;
  }
  bodyStream(): AsyncIterable<Buffer> {
    return this.#stream as AsyncIterable<Buffer>;
  }
  /** Made on first use: most requests never look. */
  get signal(): AbortSignal {
    if (this.#signal !== undefined) return this.#signal;
    const { controller, release } = this.#live.signal();
    this.#signal = controller.signal;
    const onClose = (): void => {
      release();
      controller.abort(this.#live.gone);
    };
    if (this.#stream.destroyed) onClose();
    else this.#stream.once("close", onClose);
    return this.#signal;
  }
}

export class Http2Response implements ApiResponse {
  readonly #stream: ServerHttp2Stream;
  readonly #headOnly: boolean;

  constructor(stream: ServerHttp2Stream, headOnly: boolean) {
    this.#stream = stream;
    this.#headOnly = headOnly;
  }
  send(status: number, headers: Record<string, string>, body: Buffer | readonly Buffer[]): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.headersSent) return;
    const bytes = Buffer.isBuffer(body) ? body : body.length === 1 ? body[0]! : Buffer.concat(body);
    const all: Record<string, string | number> = { ":status": status, ...headers };
    all["content-length"] = bytes.length;
    if (this.#headOnly || bytes.length === 0) {
      stream.respond(all, { endStream: true });
      return;
    }
    stream.respond(all);
    stream.end(bytes);
  }
  stream(status: number, headers: Record<string, string>): ResponseStream {
    const stream = this.#stream;
    if (!stream.destroyed && !stream.headersSent) {
      stream.respond({ ":status": status, ...headers }, { endStream: this.#headOnly });
    }
    return new WritableResponse(stream, () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
  }
}

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
    return sink.writableLength <= MAX_BUFFERED_BYTES;
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
