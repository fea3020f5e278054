import type { ClientHttp2Stream, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http2";
import { constants } from "node:http2";
import { type Clock, errorMessage } from "#pkg/util/index.ts";
import { ConnectionError } from "../contract.ts";
import { AbortFanout } from "./abort.ts";
import { readTlsMaterial, RequestCredentials } from "./credentials.ts";
import type { ConnectionConfig } from "./credentials.ts";
import { Http2Session } from "./http2-session.ts";
import type { StreamedResponse, Transport, TransportRequest, TransportResponse } from "./transport.ts";

export interface Http2TransportOptions extends ConnectionConfig {
  readonly clock: Clock;
}

/**
 * Talks HTTP/2 to an API server over one connection, made on first use and again when it breaks. Silent connections are
 * pinged; a server that limits concurrent streams gets a further connection when the limit is reached.
 */
export function http2Transport(options: Http2TransportOptions): Http2Transport {
  return new Http2Transport(options);
}

class Http2Transport implements Transport {
  readonly #options: Http2TransportOptions;
  readonly #credentials: RequestCredentials;
  readonly #authority: string;
  readonly #aborts = new AbortFanout();
  #sessions: Http2Session[] = [];
  #dialling: Promise<Http2Session> | undefined;
  #closed = false;

  constructor(options: Http2TransportOptions) {
    this.#options = options;
    this.#credentials = new RequestCredentials(options, options.clock);
    this.#authority = new URL(options.server).host;
  }

  async request(request: TransportRequest): Promise<TransportResponse> {
    const { status, headers, stream } = await this.#exchange(request);
    const chunks: Buffer[] = [];
    for await (const chunk of this.#read(stream, request.signal)) chunks.push(chunk as Buffer);
    return { status, headers, body: chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks) };
  }
  async stream(request: TransportRequest): Promise<StreamedResponse> {
    const { status, headers, stream } = await this.#exchange(request);
    return { status, headers, body: this.#read(stream, request.signal) };
  }
  close(): void {
    this.#closed = true;
    for (const session of this.#sessions) session.destroy(new Error("the transport was closed"));
    this.#sessions = [];
  }
  /** New requests use a new connection, with certificates read anew; running ones finish on the old. */
  reconnect(): void {
    for (const session of this.#sessions) session.retire();
    this.#sessions = [];
    this.#credentials.expire();
  }

  async #exchange(
    request: TransportRequest,
  ): Promise<{ status: number; headers: Record<string, string>; stream: ClientHttp2Stream }> {
    request.signal?.throwIfAborted();
    for (let attempt = 0; ; attempt++) {
      const session = await this.#session();
      const headers = await this.#requestHeaders(request);
      try {
        request.signal?.throwIfAborted();
        const answer = await this.#open(session, headers, request);
        if (answer.status === 401) this.#credentials.expire();
        return answer;
      } catch (error) {
        // A server that is going away refuses streams it has not looked at: those are safe to send again, elsewhere.
        const again = error instanceof NeverProcessed || (error instanceof ConnectionError && isSafe(request.method));
        if (!again || attempt > 0 || this.#closed)
          throw error instanceof NeverProcessed ? error.asConnectionError() : error;
      }
    }
  }

  async #requestHeaders(request: TransportRequest): Promise<OutgoingHttpHeaders> {
    let credentials: Record<string, string | string[]>;
    try {
      credentials = await this.#credentials.headers();
    } catch (cause) {
      throw new ConnectionError("cannot read the credentials", { cause });
    }
    return {
      ":method": request.method,
      ":path": request.path,
      ":authority": this.#authority,
      ...credentials,
      ...request.headers,
      ...(request.body === undefined ? {} : { "content-length": request.body.length }),
    };
  }

  async #session(): Promise<Http2Session> {
    if (this.#closed) throw new ConnectionError("the transport was closed");
    this.#sessions = this.#sessions.filter((session) => session.usable);
    const free = this.#sessions.find((session) => !session.full);
    if (free !== undefined) return free;
    this.#dialling ??= this.#dial().finally(() => {
      this.#dialling = undefined;
    });
    return this.#dialling;
  }
  async #dial(): Promise<Http2Session> {
    let tls;
    try {
      tls = await readTlsMaterial(this.#options);
    } catch (cause) {
      throw new ConnectionError("cannot read the client certificate", { cause });
    }
    const session = await Http2Session.dial(this.#options, tls, this.#options.clock);
    if (this.#closed) {
      session.destroy();
      throw new ConnectionError("the transport was closed");
    }
    this.#sessions.push(session);
    return session;
  }

  #open(
    session: Http2Session,
    headers: OutgoingHttpHeaders,
    request: TransportRequest,
  ): Promise<{ status: number; headers: Record<string, string>; stream: ClientHttp2Stream }> {
    return new Promise((resolve, reject) => {
      let stream: ClientHttp2Stream;
      try {
        stream = session.open(headers, request.body === undefined);
      } catch (cause) {
        reject(new NeverProcessed(cause)); // the session closed between the choice and its use
        return;
      }
      const unlink = this.#aborts.on(request.signal, () => {
        reject(request.signal?.reason);
        stream.close(constants.NGHTTP2_CANCEL);
      });
      stream.once("close", () => {
        unlink();
        reject(failureOf(stream, undefined)); // no effect when the answer has come
      });
      stream.on("error", (cause) => reject(failureOf(stream, cause)));
      stream.on("data", () => session.noteRead());
      stream.pause();
      stream.once("response", (answer) => {
        session.noteRead();
        resolve({ status: answer[":status"] ?? 0, headers: plainHeaders(answer), stream });
      });
      if (request.body !== undefined) stream.end(request.body);
    });
  }

  async *#read(stream: ClientHttp2Stream, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of stream) yield chunk as Buffer;
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error(`stream reset with code ${stream.rstCode}`);
    } catch (cause) {
      signal?.throwIfAborted();
      throw new ConnectionError(`the connection broke: ${errorMessage(cause)}`, {
        cause,
      });
    } finally {
      if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    }
    signal?.throwIfAborted();
  }
}

class NeverProcessed extends Error {
  constructor(cause: unknown) {
    super("the server did not process the request", { cause });
  }
  asConnectionError(): ConnectionError {
    return new ConnectionError(this.message, { cause: this.cause });
  }
}

function failureOf(stream: ClientHttp2Stream, cause: Error | undefined): Error {
  if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) return new NeverProcessed(cause);
  const why = cause?.message ?? `stream closed with code ${stream.rstCode}`;
  return new ConnectionError(`no response: ${why}`, { cause });
}

function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

function plainHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const plain: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    plain[name] = Array.isArray(value) ? value.join(", ") : String(value);
  }
  return plain;
}
