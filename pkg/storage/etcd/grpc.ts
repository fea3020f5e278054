import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type SecureClientSessionOptions,
} from "node:http2";
import type { Clock } from "#pkg/util/index.ts";
import type { EtcdTls } from "./tls.ts";

/** gRPC's status codes, as far as they are told apart here. */
export const GrpcStatus = {
  Ok: 0,
  Cancelled: 1,
  Unknown: 2,
  DeadlineExceeded: 4,
  Internal: 13,
  Unavailable: 14,
} as const;

/** A call that failed. */
export class GrpcError extends Error {
  readonly status: number;
  /** The request certainly never reached a server. */
  readonly notSent: boolean;

  constructor(
    status: number,
    message: string,
    { notSent = false, cause }: { notSent?: boolean; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "GrpcError";
    this.status = status;
    this.notSent = notSent;
  }
}

const CONNECT_TIMEOUT_MS = 2000;
/** A peer that vanished without a word is noticed within 15 seconds. etcd allows pings every 5 seconds. */
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5000;
/** Lists and bursts of events are large; the default windows of 64 KiB would make them wait for round trips. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
const FRAME_HEAD_BYTES = 5;

/**
 * Calls over one HTTP/2 connection to whichever endpoint answers. Messages come encoded and framed, and are handed back
 * without their frame. A general gRPC library costs three times as much for each call, and every read and write of the
 * API server is one.
 */
export class GrpcChannel {
  readonly #endpoints: readonly string[];
  readonly #tls: EtcdTls;
  readonly #clock: Clock;
  /** Endpoint that is tried first. */
  #preferred = 0;
  #session: Promise<ClientHttp2Session> | undefined;
  /** What the promise has brought. */
  #current: ClientHttp2Session | undefined;
  #closed = false;

  constructor(endpoints: readonly string[], tls: EtcdTls, clock: Clock) {
    this.#endpoints = endpoints;
    this.#tls = tls;
    this.#clock = clock;
  }
  /** One request, one answer. @throws GrpcError */
  async call(path: string, request: Buffer, timeoutMs: number): Promise<Buffer> {
    const session = await this.#connected();
    const stream = this.#open(session, path, {});
    let timedOut = false;
    const cancel = this.#clock.schedule(timeoutMs, () => {
      timedOut = true;
      stream.close();
    });
    const outcome = new Outcome(stream);
    try {
      let answer: Buffer | undefined;
      const deframer = new Deframer();
      await new Promise<void>((resolve, reject) => {
        let cause: Error | undefined;
        stream.on("data", (chunk: Buffer) => {
          try {
            answer = deframer.push(chunk)[0] ?? answer;
          } catch (error) {
            cause = error as Error;
            stream.close();
          }
        });
        stream.on("error", (error: Error) => (cause ??= error));
        stream.once("close", () => {
          try {
            outcome.check(cause);
            resolve();
          } catch (error) {
            reject(error as Error);
          }
        });
        stream.end(request);
      });
      if (answer === undefined) throw new GrpcError(GrpcStatus.Internal, "an answer without a message");
      return answer;
    } catch (error) {
      if (timedOut) {
        this.#leave(session);
        throw new GrpcError(GrpcStatus.DeadlineExceeded, `no answer from etcd within ${timeoutMs} ms`, {
          cause: error,
        });
      }
      // A member without a leader or on its way down: another one may do better.
      if (error instanceof GrpcError && error.status === GrpcStatus.Unavailable) this.#leave(session);
      throw error;
    } finally {
      cancel();
    }
  }
  /** One request, and then messages until the server ends the call or the signal aborts. @throws GrpcError */
  async *stream(
    path: string,
    request: Buffer,
    metadata: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const stream = this.#open(await this.#connected(), path, metadata);
    const outcome = new Outcome(stream);
    const deframer = new Deframer();
    const cancel = () => stream.close();
    // Without a listener an error after the iteration's end would be thrown at the process.
    stream.on("error", () => undefined);
    signal.addEventListener("abort", cancel, { once: true });
    try {
      if (signal.aborted) return;
      stream.write(request);
      let cause: unknown;
      try {
        for await (const chunk of stream) yield* deframer.push(chunk as Buffer);
      } catch (error) {
        cause = error;
      }
      if (!signal.aborted) outcome.check(cause);
    } finally {
      signal.removeEventListener("abort", cancel);
      cancel();
    }
  }
  close(): void {
    this.#closed = true;
    this.#session?.then(
      (session) => session.destroy(),
      () => undefined, // There is none.
    );
  }

  #open(session: ClientHttp2Session, path: string, metadata: Readonly<Record<string, string>>): ClientHttp2Stream {
    try {
      return session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        ...metadata,
      });
    } catch (cause) {
      this.#leave(session);
      throw new GrpcError(GrpcStatus.Unavailable, "No connection established", { notSent: true, cause });
    }
  }
  #connected(): Promise<ClientHttp2Session> {
    if (this.#closed) throw new GrpcError(GrpcStatus.Cancelled, "the channel is closed", { notSent: true });
    if (this.#session === undefined) {
      const dialled = this.#dialAny();
      this.#session = dialled;
      const forget = () => {
        if (this.#session === dialled) this.#session = undefined;
      };
      dialled.then((session) => {
        this.#current = session;
        session.once("close", forget).once("goaway", forget);
      }, forget);
    }
    return this.#session;
  }
  /** Opens no more calls on this connection, and the next one to another endpoint where there is one. */
  #leave(session: ClientHttp2Session): void {
    if (!session.closed) session.close();
    if (session !== this.#current) return;
    this.#current = undefined;
    this.#session = undefined;
    this.#preferred = (this.#preferred + 1) % this.#endpoints.length;
  }
  async #dialAny(): Promise<ClientHttp2Session> {
    const failures: string[] = [];
    for (let attempt = 0; attempt < this.#endpoints.length; attempt++) {
      const endpoint = this.#endpoints[this.#preferred]!;
      try {
        const session = await this.#dial(endpoint);
        if (!this.#closed) return session;
        session.destroy();
        failures.push("the channel is closed");
      } catch (error) {
        failures.push(`${endpoint}: ${error instanceof Error ? error.message : String(error)}`);
        this.#preferred = (this.#preferred + 1) % this.#endpoints.length;
      }
    }
    const message = `No connection established. ${failures.join("; ")}`;
    throw new GrpcError(GrpcStatus.Unavailable, message, { notSent: true });
  }
  #dial(endpoint: string): Promise<ClientHttp2Session> {
    const { ca, cert, key } = this.#tls;
    const options: SecureClientSessionOptions = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
    };
    return new Promise((resolve, reject) => {
      const session = connect(endpoint, options);
      const fail = (error: Error) => {
        cancel();
        session.destroy();
        reject(error);
      };
      const cancel = this.#clock.schedule(CONNECT_TIMEOUT_MS, () => fail(new Error("no connection in time")));
      session.on("error", fail); // Also later, when nobody waits: calls under way see it.
      session.socket.on("error", fail); // A refused certificate is told to the socket alone.
      // A client certificate is judged after the handshake; the server's settings prove that it was accepted.
      session.once("remoteSettings", () => {
        cancel();
        session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
        this.#keepAlive(session);
        resolve(session);
      });
      session.once("close", () => fail(new Error("the connection was closed")));
    });
  }
  #keepAlive(session: ClientHttp2Session): void {
    let cancel = (): void => undefined;
    const later = () => {
      cancel = this.#clock.schedule(PING_INTERVAL_MS, () => {
        if (session.destroyed) return;
        cancel = this.#clock.schedule(PING_TIMEOUT_MS, () => session.destroy(new Error("etcd does not answer")));
        session.ping(() => {
          cancel();
          if (!session.destroyed) later();
        });
      });
    };
    session.once("close", () => cancel());
    later();
  }
}

/** Puts messages together that arrive in pieces. */
class Deframer {
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Bytes of the frame that has begun, as far as they are known. */
  #needed = FRAME_HEAD_BYTES;

  /** The messages that are complete with this chunk. */
  push(chunk: Buffer): Buffer[] {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    const messages: Buffer[] = [];
    while (this.#bytes >= this.#needed) {
      const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
      if (bytes[0] !== 0) throw new GrpcError(GrpcStatus.Internal, "etcd compresses without being asked to");
      const end = FRAME_HEAD_BYTES + bytes.readUInt32BE(1);
      const complete = bytes.length >= end;
      if (complete) messages.push(bytes.subarray(FRAME_HEAD_BYTES, end));
      const rest = complete ? bytes.subarray(end) : bytes;
      this.#parts = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
      this.#needed = complete ? FRAME_HEAD_BYTES : end;
    }
    return messages;
  }
}

/** What has become of a call. */
class Outcome {
  readonly #stream: ClientHttp2Stream;
  #status: number | undefined;
  #message = "";

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    const note = (headers: IncomingHttpHeaders) => this.#note(headers);
    stream.on("response", note);
    stream.on("trailers", note);
  }
  /** To be asked when the stream is over. @throws GrpcError */
  check(cause: unknown): void {
    if (this.#status === GrpcStatus.Ok) return;
    if (this.#status !== undefined) throw new GrpcError(this.#status, this.#message);
    const notSent = this.#stream.rstCode === constants.NGHTTP2_REFUSED_STREAM;
    throw new GrpcError(GrpcStatus.Unavailable, "Connection dropped", { notSent, cause });
  }
  #note(headers: IncomingHttpHeaders): void {
    const status = headers["grpc-status"];
    if (status === undefined) return;
    this.#status = Number(status);
    const message = String(headers["grpc-message"] ?? "");
    try {
      this.#message = decodeURIComponent(message);
    } catch {
      this.#message = message; // Not encoded as it should be: shown as it is.
    }
  }
}
