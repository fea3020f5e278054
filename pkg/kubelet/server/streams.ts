/** exec, attach and port forwarding: WebSocket is terminated here, SPDY is left to the client and the runtime. */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer, createWebSocketStream } from "ws";
import { type Clock, type Logger, backendErrorText, sleep } from "#pkg/util/index.ts";
import { isRuntimeError, type Runtime } from "../cri/runtime.ts";
import { dialErrorText, dialUpgrade, type Upgraded, UpgradeRefused } from "../streaming/dial.ts";
import { bridgePorts, PORT_FORWARD_HEADERS, PORT_FORWARD_PROTOCOLS } from "../streaming/port-forward.ts";
import {
  bridgeRemoteCommand,
  REMOTE_COMMAND_HEADERS,
  REMOTE_COMMAND_PROTOCOLS,
  reportFailure,
} from "../streaming/remote-command.ts";
import { HttpError } from "./http-error.ts";
import { flag } from "./log-options.ts";

const TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io";
const MAX_COMMAND_WORDS = 4096;

/** A request to upgrade its connection. */
export interface UpgradeRequest {
  readonly request: IncomingMessage;
  readonly query: URLSearchParams;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly signal: AbortSignal;
}

/** The first of ours that the client offers; where there is none, the client names none either or is refused. */
function webSockets(protocols: readonly string[]): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => protocols.find((protocol) => offered.has(protocol)) ?? false,
  });
}

/**
 * Accepts tunnels. Their protocol's name has a slash, which the library takes for no name of a protocol and refuses;
 * so the library sees no protocols at all, and the client is told of its one beside it.
 */
function tunnels(): WebSocketServer {
  const server = new WebSocketServer({ noServer: true });
  server.on("headers", (headers) => headers.push(`Sec-WebSocket-Protocol: ${TUNNEL_PROTOCOL}`));
  return server;
}

export class Streams {
  readonly #runtime: Runtime;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #commands = webSockets(REMOTE_COMMAND_PROTOCOLS);
  readonly #forwards = webSockets(PORT_FORWARD_PROTOCOLS);
  readonly #tunnels = tunnels();

  constructor(runtime: Runtime, clock: Clock, log: Logger) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Runs a command in a container, or attaches to its main process. Clients of v5 have their handshake before the runtime
   * is dialled and hear of a failure there on their channel of errors; all others get an answer of HTTP (KEP-4006).
   */
  async remoteCommand(verb: "exec" | "attach", containerId: string, upgrade: UpgradeRequest): Promise<void> {
    const { query, signal } = upgrade;
    const options = requireStreams(query);
    const streams = { ...options, stderr: options.stderr && !options.tty };
    const command = query.getAll("command");
    if (command.length > MAX_COMMAND_WORDS) throw new HttpError(400, "the command is too long");
    const runtimeUrl =
      verb === "exec"
        ? await this.#runtime.exec(containerId, { ...streams, command }, { signal })
        : await this.#runtime.attach(containerId, streams, { signal });
    if (!isWebSocket(upgrade)) return this.#tunnel(runtimeUrl, upgrade);
    // A runtime may close attached streams without a word when their container ends just then.
    const silenceIsEnd = async () => verb === "attach" && (await this.#hasEnded(containerId, signal));
    const [newest] = REMOTE_COMMAND_PROTOCOLS;
    const early = offeredBy(upgrade).includes(newest)
      ? undefined
      : await dialFirst(runtimeUrl, REMOTE_COMMAND_HEADERS, signal);
    const dial = async () => early ?? (await dialUpgrade(runtimeUrl, REMOTE_COMMAND_HEADERS, signal));
    this.#accept(this.#commands, upgrade, (ws) =>
      bridgeRemoteCommand(ws, dial, streams, this.#clock, signal, silenceIsEnd).catch((err: unknown) => {
        if (!signal.aborted) this.#log.warn({ err }, "A command over WebSocket failed");
        reportFailure(ws, dialErrorText(runtimeUrl, err));
      }),
    );
  }

  /** Also true of a container that is gone. Waits a moment, as streams close before the runtime notes the end. */
  async #hasEnded(containerId: string, signal: AbortSignal): Promise<boolean> {
    for (let looks = 0; looks < 10; looks++) {
      if (looks > 0) await sleep(this.#clock, 100, signal);
      try {
        if ((await this.#runtime.containerStatus(containerId, { signal })).state === "Exited") return true;
      } catch (err) {
        return isRuntimeError(err, "NotFound");
      }
    }
    return false;
  }

  async portForward(sandboxId: string, upgrade: UpgradeRequest): Promise<void> {
    const { query, request, signal } = upgrade;
    const ports = query
      .getAll("port")
      .flatMap((text) => text.split(","))
      .map(Number)
      .filter((port) => Number.isInteger(port) && port > 0 && port <= 65_535);
    const inChannels = isWebSocket(upgrade) && !offeredBy(upgrade).includes(TUNNEL_PROTOCOL);
    if (inChannels && ports.length === 0) throw new HttpError(400, 'query parameter "port" is required');
    const runtimeUrl = await this.#runtime.portForward(sandboxId, ports, { signal });
    if (!isWebSocket(upgrade)) return this.#tunnel(runtimeUrl, upgrade);
    const upgraded = await dialFirst(runtimeUrl, PORT_FORWARD_HEADERS, signal);
    if (inChannels) {
      this.#accept(this.#forwards, upgrade, (ws) =>
        bridgePorts(ws, upgraded, ports, this.#clock, signal).catch((err: unknown) => {
          if (!signal.aborted) this.#log.warn({ err }, "Forwarding ports over WebSocket failed");
          ws.close(1011);
        }),
      );
      return;
    }
    delete request.headers["sec-websocket-protocol"];
    this.#accept(this.#tunnels, upgrade, (ws) => {
      // The messages are nothing but SPDY's bytes.
      const stream = createWebSocketStream(ws);
      if (upgraded.head.length > 0) stream.write(upgraded.head);
      splice(stream, upgraded.socket);
    });
  }

  #accept(server: WebSocketServer, { request, socket, head }: UpgradeRequest, use: (ws: WebSocket) => unknown): void {
    server.handleUpgrade(request, socket, head, (ws) => {
      // Whatever a client sends that is no message ends its connection: "close" follows.
      ws.on("error", () => undefined);
      use(ws);
    });
  }

  /** Lets client and runtime speak SPDY with each other. */
  async #tunnel(runtimeUrl: string, { request, socket, head, signal }: UpgradeRequest): Promise<void> {
    const forwarded: Record<string, string | string[]> = {
      connection: "Upgrade",
      upgrade: request.headers.upgrade ?? "SPDY/3.1",
    };
    const versions = rawHeader(request, "x-stream-protocol-version");
    if (versions.length > 0) forwarded["x-stream-protocol-version"] = versions;
    const upgraded = await dialFirst(runtimeUrl, forwarded, signal);
    const lines = ["HTTP/1.1 101 Switching Protocols"];
    for (const [name, value] of Object.entries(upgraded.headers))
      for (const text of Array.isArray(value) ? value : [value ?? ""]) lines.push(`${name}: ${text}`);
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    if (upgraded.head.length > 0) socket.write(upgraded.head);
    if (head.length > 0) upgraded.socket.write(head);
    splice(socket, upgraded.socket);
  }
}

/** The streams that a request asks for. Throws HttpError where it asks for none. */
export function requireStreams(query: URLSearchParams) {
  const any = (...names: string[]) => names.some((name) => flag(query, name));
  const options = {
    stdin: any("input", "stdin"),
    stdout: any("output", "stdout"),
    stderr: any("error", "stderr"),
    tty: any("tty"),
  };
  if (options.stdin || options.stdout || options.stderr) return options;
  throw new HttpError(400, "you must specify at least 1 of stdin, stdout, stderr");
}

/**
 * Dials while the client still waits for its answer: what the runtime refuses, it is refused with the same words. The
 * connection goes with the client, whose handshake may yet fail.
 */
async function dialFirst(
  runtimeUrl: string,
  headers: Readonly<Record<string, string | string[]>>,
  signal: AbortSignal,
): Promise<Upgraded> {
  const upgraded = await dialUpgrade(runtimeUrl, headers, signal).catch((err: unknown) => {
    if (err instanceof UpgradeRefused || !(err instanceof Error)) throw err;
    throw new HttpError(500, backendErrorText(err));
  });
  upgraded.socket.on("error", () => undefined); // "close" follows, which those who use it wait for
  signal.addEventListener("abort", () => upgraded.socket.destroy(), { once: true });
  return upgraded;
}

/** The subprotocols that a client of WebSocket names. */
function offeredBy({ request }: UpgradeRequest): string[] {
  return (request.headers["sec-websocket-protocol"] ?? "").split(",").map((text) => text.trim());
}

function isWebSocket({ request }: UpgradeRequest): boolean {
  return (request.headers.upgrade ?? "").toLowerCase() === "websocket";
}

function rawHeader({ rawHeaders }: IncomingMessage, name: string): string[] {
  return rawHeaders.flatMap((text, index) =>
    index % 2 === 1 && rawHeaders[index - 1]!.toLowerCase() === name ? text.split(",").map((part) => part.trim()) : [],
  );
}

function splice(a: Duplex, b: Socket): void {
  a.on("error", () => b.destroy());
  b.on("error", () => a.destroy());
  a.on("close", () => b.destroy());
  b.on("close", () => a.destroy());
  a.pipe(b);
  b.pipe(a);
}
