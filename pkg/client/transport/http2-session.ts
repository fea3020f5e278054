import { connect, constants } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import type { Clock } from "#pkg/util/index.ts";
import { ConnectionError } from "../contract.ts";
import type { ConnectionConfig, TlsMaterial } from "./credentials.ts";

const DIAL_TIMEOUT_MS = 30_000;
/**
 * For the TCP connection alone. The kernel asks again after 1, 3 and 7 seconds, then ever more rarely: a server that has come back
 * is found sooner by a new attempt.
 */
const REACH_TIMEOUT_MS = 4_000;
/** A connection that was silent this long is pinged, and given up when the answer takes longer than the second value. */
const READ_IDLE_MS = 30_000;
const PING_TIMEOUT_MS = 15_000;
/** Default windows of 64 KiB would make every watch wait for round trips. */
const STREAM_WINDOW_BYTES = 4 * 1024 * 1024;
const SESSION_WINDOW_BYTES = 16 * 1024 * 1024;
/** Servers that do not say otherwise are assumed to take upstream's default of concurrent streams. */
const DEFAULT_MAX_STREAMS = 100;

/** One HTTP/2 connection that watches its own health. */
export class Http2Session {
  readonly #session: ClientHttp2Session;
  readonly #clock: Clock;
  #streams = 0;
  #lastRead: number;
  #usable = true;
  #cancelTimer: () => void = () => undefined;

  private constructor(session: ClientHttp2Session, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
    this.#lastRead = clock.monotonic();
    const retire = () => {
      this.#usable = false;
      this.#cancelTimer();
    };
    session.on("goaway", () => (this.#usable = false));
    session.on("close", retire);
    session.on("error", retire);
    this.#scheduleCheck(READ_IDLE_MS);
  }

  static dial(config: ConnectionConfig, tls: TlsMaterial, clock: Clock): Promise<Http2Session> {
    return new Promise((resolve, reject) => {
      const session = connect(config.server, {
        ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
        ...(config.tlsServerName === undefined ? {} : { servername: config.tlsServerName }),
        rejectUnauthorized: config.insecureSkipTlsVerify !== true,
        settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
      });
      const fail = (cause: Error) => {
        cancelReach();
        cancelTimer();
        session.destroy();
        reject(new ConnectionError(`cannot connect to ${config.server}: ${cause.message}`, { cause }));
      };
      const cancelTimer = clock.schedule(DIAL_TIMEOUT_MS, () => fail(new Error("dial timeout")));
      const cancelReach = clock.schedule(REACH_TIMEOUT_MS, () => fail(new Error("the server cannot be reached")));
      session.socket.once("connect", cancelReach);
      const closedEarly = () => fail(new Error("the connection was closed"));
      session.once("error", fail);
      session.once("close", closedEarly);
      session.once("connect", () => {
        cancelReach();
        cancelTimer();
        session.off("error", fail);
        session.off("close", closedEarly);
        session.setLocalWindowSize(SESSION_WINDOW_BYTES);
        resolve(new Http2Session(session, clock));
      });
    });
  }
  /** May another request be opened on this connection? */
  get usable(): boolean {
    return this.#usable && !this.#session.closed && !this.#session.destroyed;
  }
  get full(): boolean {
    return this.#streams >= (this.#session.remoteSettings?.maxConcurrentStreams ?? DEFAULT_MAX_STREAMS);
  }
  get idle(): boolean {
    return this.#streams === 0;
  }
  open(headers: OutgoingHttpHeaders, endStream: boolean): ClientHttp2Stream {
    const stream = this.#session.request(headers, { endStream });
    this.#streams++;
    stream.once("close", () => {
      this.#streams--;
      if (!this.#usable && this.#streams === 0) this.#session.close();
    });
    return stream;
  }
  noteRead(): void {
    this.#lastRead = this.#clock.monotonic();
  }
  destroy(error?: Error): void {
    this.#usable = false;
    this.#cancelTimer();
    this.#session.destroy(error, constants.NGHTTP2_CANCEL);
  }
  /** Lets the open requests finish and takes no new ones. */
  retire(): void {
    this.#usable = false;
    if (this.#streams === 0) this.#session.close();
  }

  #scheduleCheck(delayMs: number): void {
    this.#cancelTimer = this.#clock.schedule(delayMs, () => {
      if (this.#session.destroyed) return;
      const silentMs = this.#clock.monotonic() - this.#lastRead;
      if (silentMs < READ_IDLE_MS) this.#scheduleCheck(READ_IDLE_MS - silentMs);
      else this.#ping();
    });
  }
  #ping(): void {
    this.#cancelTimer = this.#clock.schedule(PING_TIMEOUT_MS, () =>
      this.destroy(new Error("the server did not answer a ping")),
    );
    const sent = this.#session.ping((error) => {
      if (error !== null && error !== undefined) return; // the session is closing; its own events say so
      this.#cancelTimer();
      this.noteRead();
      if (!this.#session.destroyed) this.#scheduleCheck(READ_IDLE_MS);
    });
    if (!sent) this.destroy(new Error("a ping could not be sent"));
  }
}
