import { once } from "node:events";
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { constants } from "node:crypto";
import type { AddressInfo, Socket } from "node:net";
import { DEFAULT_CIPHERS, type TLSSocket } from "node:tls";
import fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { type Clock, type Logger, type Random, refusePlainHttp } from "#pkg/util/index.ts";
import type { ApiHandler, ApiRequest } from "../contract.ts";
import { boundHandshakes } from "./crowd.ts";
import { Http1Request, Http1Response, UpgradeRequest, UpgradeResponse } from "./http1.ts";
import { Http2Connection, type Http2Limits } from "./h2/connection.ts";
import { PLAIN_TEXT } from "./header-sets.ts";
import { LiveRequests } from "./live-requests.ts";

/** Certificates, in PEM. */
export interface TlsOptions {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** Certificate authorities of client certificates. */
  readonly clientCa?: string | Buffer | readonly (string | Buffer)[];
}
/** Where and how to listen. */
export interface ListenOptions {
  /** Default 0.0.0.0 and ::, whichever there are. */
  readonly host?: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Without it the server speaks plain HTTP/1.1. */
  readonly tls?: TlsOptions;
  /** How long an HTTP/1.1 client may take over the head of a request. Default 32 s. */
  readonly headersTimeoutMs?: number;
  /** How long an HTTP/1.1 client may take nothing of an answer. Default 60 s. */
  readonly stalledMs?: number;
  /** Open connections; further ones are closed at once. Default 10,000. */
  readonly maxConnections?: number;
  /** Connections amid their TLS handshake; further ones take the places of the oldest. Default 1,000. */
  readonly maxHandshakes?: number;
}
/** A server that listens. */
export interface Listener {
  readonly port: number;
  readonly address: string;
  /** How many TLS handshakes have failed. */
  readonly failedHandshakes: number;
  /** Presents another certificate to new connections. */
  setCertificate(tls: TlsOptions): void;
  /** Stops accepting, ends watches, waits for what is on its way for at most `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

const DEFAULT_GRACE_MS = 5000;
/** How often it is looked whether everything has been sent, and for the last of it to reach its readers. */
const FLUSH_MS = 250;
/** As servers written in Go allow: a command to execute travels in the URL, with every argument. */
const MAX_HEADER_BYTES = 1024 * 1024;
const HTTP2_LIMITS: Http2Limits = {
  // Upstream has 100, and clients open further connections for more. A node watches every Secret and ConfigMap of its
  // 110 pods: with 250 that is one or two connections, each authenticated and encrypted once. A client that resets
  // streams as fast as it opens them leaves at most twice as many handlers at work.
  maxStreams: 250,
  // Room for nearly every body at once, as upstream has it, and for many at a time.
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 8 * 1024 * 1024,
  maxHeaderBytes: 64 * 1024,
};
/** Two for each of the 5,000 nodes that clusters are built for. */
const MAX_CONNECTIONS = 10_000;
const MAX_HANDSHAKES = 1000;

/** Opens the HTTPS front: HTTP/2, or HTTP/1.1 where the client does not offer it, with client certificates on request. */
export async function listenHttp(
  handler: ApiHandler,
  options: ListenOptions,
  clock: Clock,
  log: Logger,
  random: Random,
): Promise<Listener> {
  const live = new LiveRequests(clock, random);
  const front: Front = { handler, live, log, stalledMs: options.stalledMs };
  const server = await http1Server(front, options);
  const sockets = new Set<Socket>();
  const connections = new Set<Http2Connection>();
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  server.on("drop", (peer) => log.debug({ peer }, "Refused a connection: there are too many"));
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (request: unknown, socket: Socket, head: Buffer) =>
    serveUpgrade(front, request as IncomingMessage, socket, head),
  );
  if (options.tls !== undefined) {
    refusePlainHttp(server as HttpsServer);
    boundHandshakes(server as HttpsServer, options.maxHandshakes ?? MAX_HANDSHAKES);
    acceptHttp2(server as HttpsServer, (socket) => {
      const connection = new Http2Connection({
        socket,
        peer: peerOf(socket),
        limits: HTTP2_LIMITS,
        live,
        serve: (exchange) => serve(front, exchange, exchange),
        clock,
        onClose: (err) => {
          connections.delete(connection);
          if (err !== undefined) log.debug({ err }, "HTTP/2 connection failed");
        },
      });
      connections.add(connection);
    });
  }
  const { port, address } = await opened(server, options);
  server.on("error", (err: Error) => log.error({ err }, "HTTP server failed"));
  let failedHandshakes = 0;
  server.on("tlsClientError", (err: Error) => {
    failedHandshakes++;
    log.debug({ err }, "TLS handshake failed");
  });
  return {
    port,
    address,
    get failedHandshakes() {
      return failedHandshakes;
    },
    setCertificate: (tls) => {
      if ("setSecureContext" in server) server.setSecureContext(tlsContext(tls));
    },
    close: (graceMs = DEFAULT_GRACE_MS) => closeGently({ server, live, sockets, connections }, clock, graceMs),
  };
}

/** Speaks HTTP/1.1, and passes every request on as it is: what is wrong with one is ours to say, with a Status. */
async function http1Server(front: Front, options: ListenOptions): Promise<Server | HttpsServer> {
  let server: Server | HttpsServer | undefined;
  const passOn = (request: FastifyRequest, reply: FastifyReply): void => {
    reply.hijack();
    serveHttp1(front, request.raw, reply.raw);
  };
  const app = fastify({
    serverFactory: (onRequest) => {
      const shared = { ...SHARED_OPTIONS, ...headerTimeouts(options.headersTimeoutMs) };
      server =
        options.tls === undefined ? createHttpServer(shared, onRequest) : secureServer(options.tls, shared, onRequest);
      return server as Server;
    },
    clientErrorHandler: refuseHead,
    routerOptions: { maxParamLength: MAX_HEADER_BYTES },
    exposeHeadRoutes: false,
    forceCloseConnections: false,
    // Neither paths that cannot be decoded,
    frameworkErrors: (_error, request, reply) => passOn(request, reply),
  });
  // nor content types, nor methods are fastify's to judge.
  app.setErrorHandler((_error, request, reply) => passOn(request, reply));
  app.setNotFoundHandler(passOn);
  app.removeAllContentTypeParsers();
  // Bodies stay unread until the pipeline asks for them.
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.route({ method: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], url: "/*", handler: passOn });
  await app.ready();
  return server!;
}

/** Resolves once the server listens, with where; rejects when it cannot. */
async function opened(server: Server | HttpsServer, { host, port }: ListenOptions): Promise<AddressInfo> {
  server.listen({ port, ...(host === undefined ? {} : { host }) });
  await once(server, "listening");
  return server.address() as AddressInfo;
}

interface OpenFront {
  readonly server: Server | HttpsServer;
  readonly live: LiveRequests;
  /** All connections, those that speak HTTP/2 among them. */
  readonly sockets: ReadonlySet<Socket>;
  readonly connections: ReadonlySet<Http2Connection>;
}

/** Lets requests under way end and their answers be read, for so long at most. */
async function closeGently(front: OpenFront, clock: Clock, graceMs: number): Promise<void> {
  const { server, live, sockets, connections } = front;
  const deadline = clock.monotonic() + graceMs;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  live.abortAll();
  for (const connection of connections) connection.close();
  server.closeIdleConnections();
  await live.drained(graceMs);
  // Answers are on their way out; who has not read them by the deadline is gone or does not want to.
  const look = (): void => {
    const sending = [...connections].some((connection) => connection.sending) || [...sockets].some(isSending);
    if (sending && clock.monotonic() < deadline) {
      cancel = clock.schedule(FLUSH_MS, look);
      return;
    }
    for (const connection of connections) connection.destroy();
    for (const socket of sockets) socket.destroy();
  };
  let cancel = clock.schedule(FLUSH_MS, look);
  // Idle HTTP/1.1 connections of the secure server know no other end.
  if (connections.size === 0) for (const socket of sockets) socket.destroySoon();
  await closed;
  cancel();
}

function isSending(socket: Socket): boolean {
  return socket.writableLength > 0;
}

/** AES-128 is as good as any and the cheapest: encryption is most of what a large answer costs. */
const PREFERRED_CIPHER = "TLS_AES_128_GCM_SHA256";
const CIPHERS = [PREFERRED_CIPHER, ...DEFAULT_CIPHERS.split(":").filter((cipher) => cipher !== PREFERRED_CIPHER)].join(
  ":",
);

const SHARED_OPTIONS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  // Watches and logs have no end; a body's time is bounded where it is asked for.
  requestTimeout: 0,
  // As long as clients keep idle connections; closing earlier, we would close what they are about to write on.
  keepAliveTimeout: 90_000,
  keepAlive: true,
  noDelay: true,
} as const;

const HEADERS_TIMEOUT_MS = 32_000;
/** How late a connection may be found to have taken too long; Node's 30 s would double the time. */
const MAX_CHECK_INTERVAL_MS = 1000;

function headerTimeouts(headersTimeout = HEADERS_TIMEOUT_MS) {
  return { headersTimeout, connectionsCheckingInterval: Math.min(MAX_CHECK_INTERVAL_MS, headersTimeout) };
}

/** What is no request never reaches a handler. Like Go's servers: no answer to silence, plain text to nonsense. */
function refuseHead({ code }: { readonly code: string }, socket: Socket): void {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT" || code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const status = code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  const headers = "Content-Type: text/plain; charset=utf-8\r\nConnection: close";
  socket.end(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${status}`);
}

/** All that a context says, at the start and when the certificate is exchanged. */
function tlsContext(tls: TlsOptions) {
  return {
    minVersion: "TLSv1.2" as const,
    ciphers: CIPHERS,
    // A connection stays who it was when it began.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    cert: tls.cert,
    key: tls.key,
    ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa as string | Buffer | (string | Buffer)[] }),
  };
}

function secureServer(
  tls: TlsOptions,
  shared: typeof SHARED_OPTIONS & ReturnType<typeof headerTimeouts>,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): HttpsServer {
  return createHttpsServer(
    {
      ...shared,
      ...tlsContext(tls),
      ALPNProtocols: ["h2", "http/1.1"],
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: shared.headersTimeout,
    },
    onRequest,
  );
}

/** Takes over the connections that speak HTTP/2; the others stay with Node's HTTP/1.1. */
function acceptHttp2(server: HttpsServer, accept: (socket: TLSSocket) => void): void {
  const others = server.listeners("secureConnection") as ((socket: TLSSocket) => void)[];
  server.removeAllListeners("secureConnection");
  server.on("secureConnection", (socket: TLSSocket) => {
    if (socket.alpnProtocol === "h2") accept(socket);
    else for (const listener of others) listener.call(server, socket);
  });
}

function peerOf(socket: Socket | TLSSocket): ApiRequest["peer"] {
  const tls = socket as Partial<Pick<TLSSocket, "getPeerX509Certificate" | "authorized">>;
  const certificate = tls.getPeerX509Certificate?.()?.raw;
  return certificate === undefined ? {} : { certificate, certificateVerified: tls.authorized === true };
}

/** What every request needs. */
interface Front {
  readonly handler: ApiHandler;
  readonly live: LiveRequests;
  readonly log: Logger;
  readonly stalledMs: number | undefined;
}

function serveHttp1(front: Front, raw: IncomingMessage, reply: ServerResponse): void {
  if (hasTwoHosts(raw)) {
    reply.writeHead(400, { ...PLAIN_TEXT, connection: "close" }).end("400 Bad Request: too many Host headers");
    return;
  }
  const request = new Http1Request(raw, reply, peerOf(raw.socket), front.live);
  void serve(front, request, new Http1Response(reply, raw.method === "HEAD", request.auditId, front.stalledMs));
}

/** Readers of such a request would choose differently (RFC 9112, section 3.2). */
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]!;
    if (name.length === 4 && name.toLowerCase() === "host") hosts++;
  }
  return hosts > 1;
}

function serveUpgrade(front: Front, raw: IncomingMessage, socket: Socket, head: Buffer): void {
  socket.on("error", (err) => front.log.debug({ err }, "Upgraded connection failed"));
  const request = new UpgradeRequest(raw, socket, head, peerOf(socket), front.live, () => response.detach());
  const response = new UpgradeResponse(raw, socket, request.auditId, front.stalledMs);
  void serve(front, request, response);
}

async function serve(
  { handler, live, log }: Front,
  request: ApiRequest,
  response: Parameters<ApiHandler["handle"]>[1],
): Promise<void> {
  live.began();
  try {
    await handler.handle(request, response);
  } catch (err) {
    log.error({ err, method: request.method, url: request.url }, "Handler failed");
    // Without an answer the client would wait, and its stream stay open.
    response.send(500, PLAIN_TEXT, Buffer.from("500 Internal Server Error"));
  } finally {
    live.ended();
  }
}
