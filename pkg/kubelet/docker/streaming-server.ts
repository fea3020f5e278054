/** A streaming server as CRI runtimes have one, for Docker: SPDY upgrades on loopback, one-time URLs. */
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock, type Logger, errorMessage } from "#pkg/util/index.ts";
import { SpdySession } from "../streaming/spdy.ts";
import type { SpdyStream } from "../streaming/spdy.ts";

const TOKEN_TTL_MS = 60_000;
const MAX_TOKENS = 1000;
const STREAMS_TIMEOUT_MS = 30_000;

/** The streams of one command; those that it was not asked for are undefined. */
export interface CommandStreams {
  readonly stdin: SpdyStream | undefined;
  readonly stdout: SpdyStream | undefined;
  readonly stderr: SpdyStream | undefined;
  readonly resize: SpdyStream | undefined;
}
/** Runs with the client's streams; resolves to the exit code. */
export type CommandHandler = (streams: CommandStreams) => Promise<number>;
/** Connects one forwarded port. */
export type PortHandler = (port: number, data: SpdyStream, error: SpdyStream) => Promise<void>;
type Request =
  | {
      readonly kind: "command";
      readonly wants: readonly ("stdin" | "stdout" | "stderr" | "resize")[];
      readonly run: CommandHandler;
    }
  | { readonly kind: "ports"; readonly connect: PortHandler };

export class StreamingServer {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #requests = new Map<string, { request: Request; expiresAt: number }>();
  readonly #sessions = new Set<SpdySession>();
  #server: Server | undefined;
  #starting: Promise<number> | undefined;

  constructor(deps: { clock: Clock; log: Logger }) {
    this.#clock = deps.clock;
    this.#log = deps.log;
  }

  async command(wants: readonly ("stdin" | "stdout" | "stderr" | "resize")[], run: CommandHandler): Promise<string> {
    return this.#offer({ kind: "command", wants, run });
  }
  async ports(connect: PortHandler): Promise<string> {
    return this.#offer({ kind: "ports", connect });
  }

  async #offer(request: Request): Promise<string> {
    this.#starting ??= this.#listen();
    const port = await this.#starting;
    const now = this.#clock.monotonic();
    for (const [token, { expiresAt }] of this.#requests) if (expiresAt < now) this.#requests.delete(token);
    if (this.#requests.size >= MAX_TOKENS) throw new Error("too many streaming requests wait for their clients");
    const token = randomBytes(16).toString("hex");
    this.#requests.set(token, { request, expiresAt: now + TOKEN_TTL_MS });
    return `http://127.0.0.1:${port}/${token}`;
  }

  #listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      const server = createServer((_request, response) => {
        response.statusCode = 400;
        response.end("an upgrade to SPDY/3.1 is needed");
      });
      server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
      server.once("error", reject);
      server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
      this.#server = server;
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const token = (request.url ?? "/").slice(1);
    const entry = this.#requests.get(token);
    this.#requests.delete(token);
    if (entry === undefined || entry.expiresAt < this.#clock.monotonic()) {
      socket.end("HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n");
      return;
    }
    const offered = String(request.headers["x-stream-protocol-version"] ?? "")
      .split(",")
      .map((text) => text.trim());
    const wanted = entry.request.kind === "ports" ? "portforward.k8s.io" : "v4.channel.k8s.io";
    const protocol = offered.includes(wanted) || offered[0] === "" ? wanted : offered[0]!;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: ${protocol}\r\n\r\n`,
    );
    if (entry.request.kind === "ports") this.#servePorts(socket, head, entry.request.connect);
    else this.#serveCommand(socket, head, entry.request, protocol.startsWith("v4"));
  }

  #track(session: SpdySession): SpdySession {
    this.#sessions.add(session);
    void session.closed.then(() => this.#sessions.delete(session));
    return session;
  }

  #serveCommand(
    socket: Duplex,
    head: Buffer,
    { wants, run }: Extract<Request, { kind: "command" }>,
    structured: boolean,
  ): void {
    const streams = new Map<string, SpdyStream>();
    const needed = new Set<string>(["error", ...wants]);
    let begun = false;
    const session = this.#track(
      new SpdySession(socket, {
        role: "server",
        head,
        onStream: (stream) => {
          const type = stream.headers["streamtype"] ?? "";
          if (begun || !needed.has(type) || streams.has(type)) {
            stream.destroy();
            return;
          }
          streams.set(type, stream);
          if (streams.size < needed.size) return;
          begun = true;
          cancel();
          void this.#runCommand(session, streams, run, structured);
        },
      }),
    );
    const cancel = this.#clock.schedule(STREAMS_TIMEOUT_MS, () => session.destroy());
  }

  async #runCommand(
    session: SpdySession,
    streams: ReadonlyMap<string, SpdyStream>,
    run: CommandHandler,
    structured: boolean,
  ): Promise<void> {
    const error = streams.get("error")!;
    let report: { status: string; message?: string; reason?: string; details?: object; code?: number };
    try {
      const exitCode = await run({
        stdin: streams.get("stdin"),
        stdout: streams.get("stdout"),
        stderr: streams.get("stderr"),
        resize: streams.get("resize"),
      });
      report =
        exitCode === 0
          ? { status: "Success" }
          : {
              status: "Failure",
              reason: "NonZeroExitCode",
              message: `command terminated with non-zero exit code: exit status ${exitCode}`,
              details: { causes: [{ reason: "ExitCode", message: String(exitCode) }] },
            };
    } catch (err) {
      this.#log.debug({ err }, "A command in a container failed");
      report = {
        status: "Failure",
        reason: "InternalError",
        code: 500,
        message: errorMessage(err),
      };
    }
    for (const type of ["stdout", "stderr"]) streams.get(type)?.end();
    const text = structured
      ? JSON.stringify({ metadata: {}, ...report })
      : report.status === "Success"
        ? ""
        : (report.message ?? "");
    error.end(text, () => session.close());
  }

  #servePorts(socket: Duplex, head: Buffer, connect: PortHandler): void {
    const waiting = new Map<string, SpdyStream>();
    const session = this.#track(
      new SpdySession(socket, {
        role: "server",
        head,
        onStream: (stream) => {
          const { requestid = "", port = "", streamtype = "" } = stream.headers;
          // Each connection comes as a pair: an error stream first, then the data.
          if (streamtype === "error") waiting.set(requestid, stream);
          else if (streamtype === "data") {
            const error = waiting.get(requestid);
            waiting.delete(requestid);
            if (error === undefined) stream.destroy();
            else void this.#forward(Number(port), stream, error, connect);
          } else stream.destroy();
        },
      }),
    );
    void session.closed.then(() => waiting.clear());
  }

  async #forward(port: number, data: SpdyStream, error: SpdyStream, connect: PortHandler): Promise<void> {
    try {
      await connect(port, data, error);
      error.end();
    } catch (err) {
      error.end(`error forwarding port ${port}: ${errorMessage(err)}`);
    }
    data.end();
  }

  close(): void {
    for (const session of this.#sessions) session.destroy();
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}
