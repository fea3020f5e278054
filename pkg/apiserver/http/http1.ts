import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ApiRequest, ApiResponse, ResponseStream } from "../contract.ts";
import { readBody } from "./body-reader.ts";
import type { LiveRequests } from "./live-requests.ts";
import { MAX_UNSENT_BYTES, WritableResponse } from "./writable-response.ts";

/** How long a client may take nothing of an answer. */
const STALLED_MS = 60_000;
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/i;

/** Clients of proxies name the whole URL, which servers have to take, too (RFC 9112, section 3.2.2). */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  const rest = target.replace(ABSOLUTE_FORM, "");
  return rest === target || rest.startsWith("/") ? rest : `/${rest}`;
}

/** One HTTP/1.1 request. */
export class Http1Request implements ApiRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly peer: ApiRequest["peer"];
  readonly auditId: string;
  readonly #raw: IncomingMessage;
  readonly #closing: { once(event: "close", listener: () => void): unknown };
  readonly #live: LiveRequests;
  #body: Promise<Buffer> | undefined;
  #signal: AbortSignal | undefined;

  constructor(
    raw: IncomingMessage,
    closing: { once(event: "close", listener: () => void): unknown },
    peer: ApiRequest["peer"],
    live: LiveRequests,
  ) {
    this.method = raw.method ?? "GET";
    this.url = originForm(raw.url ?? "/");
    this.headers = raw.headers as Readonly<Record<string, string | undefined>>;
    this.peer = peer;
    this.auditId = live.auditId(this.headers);
    this.#raw = raw;
    this.#closing = closing;
    this.#live = live;
  }
  get repeated(): ReadonlyMap<string, readonly string[]> {
    const repeated = new Map<string, readonly string[]>();
    for (const [name, lines] of Object.entries(this.#raw.headersDistinct)) {
      if (lines !== undefined && lines.length > 1) repeated.set(name, lines);
    }
    return repeated;
  }
  get remoteAddress(): string {
    return this.#raw.socket.remoteAddress ?? "";
  }
  body(): Promise<Buffer> {
    this.#body ??= this.#live.inTime(readBody(this.#raw, this.headers["content-length"]));
    return this.#body;
  }
  bodyStream(): AsyncIterable<Buffer> {
    return this.#raw as AsyncIterable<Buffer>;
  }
  get signal(): AbortSignal {
    if (this.#signal !== undefined) return this.#signal;
    const { controller, release } = this.#live.signal();
    this.#signal = controller.signal;
    const onClose = (): void => {
      release();
      controller.abort(this.#live.gone);
    };
    if (this.#raw.socket.destroyed) onClose();
    else this.#closing.once("close", onClose);
    return this.#signal;
  }
}

export class Http1Response implements ApiResponse {
  readonly #raw: ServerResponse;
  readonly #headOnly: boolean;
  readonly #auditId: string;
  readonly #stalledMs: number;

  constructor(raw: ServerResponse, headOnly: boolean, auditId: string, stalledMs = STALLED_MS) {
    this.#raw = raw;
    this.#headOnly = headOnly;
    this.#auditId = auditId;
    this.#stalledMs = stalledMs;
  }
  send(status: number, headers: Readonly<Record<string, string>>, body: Buffer | readonly Buffer[]): void {
    const raw = this.#raw;
    if (raw.destroyed || raw.headersSent) return;
    const chunks = Buffer.isBuffer(body) ? [body] : body;
    let size = 0;
    for (const chunk of chunks) size += chunk.length;
    raw.writeHead(status, { "audit-id": this.#auditId, ...headers, "content-length": size });
    if (this.#headOnly) return void raw.end();
    // An answer that nobody takes is not kept for ever: Node ends the connection then.
    if (size > MAX_UNSENT_BYTES) raw.setTimeout(this.#stalledMs);
    // In one write, as the connection gathers what is written while it is corked, without a copy of it.
    raw.cork();
    for (const chunk of chunks) raw.write(chunk);
    raw.end();
    raw.uncork();
  }
  stream(status: number, headers: Readonly<Record<string, string>>): ResponseStream {
    const raw = this.#raw;
    if (!raw.destroyed && !raw.headersSent) {
      raw.writeHead(status, { "audit-id": this.#auditId, ...headers });
      raw.flushHeaders();
    }
    return new WritableResponse(raw, () => raw.destroy());
  }
}

/** A request to speak another protocol on this connection. */
export class UpgradeRequest extends Http1Request {
  readonly upgrade: NonNullable<ApiRequest["upgrade"]>;

  constructor(
    raw: IncomingMessage,
    socket: Socket,
    head: Buffer,
    peer: ApiRequest["peer"],
    live: LiveRequests,
    detach: () => void,
  ) {
    super(raw, socket, peer, live);
    this.upgrade = {
      protocol: raw.headers.upgrade ?? "",
      head,
      accept: (): Duplex => {
        detach();
        return socket;
      },
    };
  }
}

/** Answers an upgrade that is refused: an ordinary response on the raw socket, which closes behind it. */
export class UpgradeResponse extends Http1Response {
  readonly #response: ServerResponse;
  readonly #socket: Socket;

  constructor(raw: IncomingMessage, socket: Socket, auditId: string, stalledMs?: number) {
    const response = new ServerResponse(raw);
    response.shouldKeepAlive = false;
    response.assignSocket(socket);
    response.once("finish", () => socket.destroySoon());
    super(response, raw.method === "HEAD", auditId, stalledMs);
    this.#response = response;
    this.#socket = socket;
  }
  /** Leaves the socket to somebody else. */
  detach(): void {
    this.#response.detachSocket(this.#socket);
  }
}
