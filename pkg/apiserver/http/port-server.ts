import type { MessagePort } from "node:worker_threads";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { BatchWriter, MAX_UNCONSUMED_BYTES, readBatch } from "#pkg/client/index.ts";
import type { ClientFrame, PortBatch, ServerFrame } from "#pkg/client/index.ts";
import type { ApiHandler, ApiResponse, ResponseStream } from "../contract.ts";

interface OpenRequest {
  readonly abort: AbortController;
  /** Bytes sent on a stream and not yet reported as consumed. */
  unconsumed: number;
  waiting: (() => void)[];
}

/**
 * Serves an API handler to another thread of this process, which reaches it with `portTransport`. The thread says in
 * whose name it asks; that one's RBAC, admission and audit apply. `identityOf` is asked once per user. Returns a
 * function that ends all requests and closes the port.
 */
export function servePort(handler: ApiHandler, port: MessagePort, identityOf: (user: string) => UserInfo): () => void {
  const server = new PortServer(handler, port, identityOf);
  return () => server.close();
}

class PortServer {
  readonly #handler: ApiHandler;
  readonly #port: MessagePort;
  readonly #identityOf: (user: string) => UserInfo;
  readonly #identities = new Map<string, UserInfo>();
  readonly #out: BatchWriter<ServerFrame>;
  readonly #open = new Map<number, OpenRequest>();

  constructor(handler: ApiHandler, port: MessagePort, identityOf: (user: string) => UserInfo) {
    this.#handler = handler;
    this.#port = port;
    this.#identityOf = identityOf;
    this.#out = new BatchWriter(port);
    port.on("message", (batch: PortBatch<ClientFrame>) =>
      readBatch(batch, (frame, payload) => this.#receive(frame, payload)),
    );
    port.on("close", () => this.#abortAll());
  }
  close(): void {
    this.#abortAll();
    this.#out.flush();
    this.#port.close();
  }

  #receive(frame: ClientFrame, payload: Buffer): void {
    if (frame.type === "request") {
      this.#serve(frame, payload);
      return;
    }
    const open = this.#open.get(frame.id);
    if (open === undefined) return; // answered meanwhile
    if (frame.type === "abort") {
      this.#open.delete(frame.id);
      open.abort.abort(new Error("the client went away"));
      release(open);
    } else {
      open.unconsumed -= frame.bytes;
      if (open.unconsumed < MAX_UNCONSUMED_BYTES / 2) release(open);
    }
  }

  #serve(frame: Extract<ClientFrame, { type: "request" }>, payload: Buffer): void {
    const open: OpenRequest = { abort: new AbortController(), unconsumed: 0, waiting: [] };
    this.#open.set(frame.id, open);
    const request = {
      method: frame.method,
      url: frame.path,
      headers: frame.headers,
      body: () => Promise.resolve(payload),
      remoteAddress: "127.0.0.1",
      peer: { user: this.#identity(frame.user) },
      signal: open.abort.signal,
    };
    const reset = () => {
      if (this.#open.delete(frame.id)) this.#out.add({ type: "reset", id: frame.id, size: 0 });
    };
    const progress = { answered: false };
    this.#handler.handle(request, this.#responseFor(frame.id, open, progress)).then(() => {
      if (!progress.answered) reset();
    }, reset);
  }

  #identity(user: string): UserInfo {
    let identity = this.#identities.get(user);
    if (identity === undefined) this.#identities.set(user, (identity = this.#identityOf(user)));
    return identity;
  }

  #responseFor(id: number, open: OpenRequest, progress: { answered: boolean }): ApiResponse {
    const isOpen = () => this.#open.get(id) === open;
    const finish = (frame: ServerFrame, parts?: readonly Buffer[]) => {
      if (!isOpen()) return;
      this.#open.delete(id);
      this.#out.add(frame, parts);
      release(open);
    };
    return {
      send: (status, headers, body) => {
        progress.answered = true;
        const parts = Buffer.isBuffer(body) ? [body] : (body as readonly Buffer[]);
        let size = 0;
        for (const part of parts) size += part.length;
        finish({ type: "whole", id, status, headers: carried(headers), size }, parts);
      },
      stream: (status, headers): ResponseStream => {
        progress.answered = true;
        if (isOpen()) this.#out.add({ type: "head", id, status, headers: carried(headers), size: 0 });
        let last: Extract<ServerFrame, { type: "chunk" }> | undefined;
        return {
          write: (chunk) => {
            if (!isOpen()) return false;
            open.unconsumed += chunk.length;
            if (last === undefined || !this.#out.extend(last, chunk)) {
              last = { type: "chunk", id, size: chunk.length };
              this.#out.add(last, [chunk]);
            }
            return open.unconsumed < MAX_UNCONSUMED_BYTES;
          },
          drained: () =>
            !isOpen() || open.unconsumed < MAX_UNCONSUMED_BYTES
              ? Promise.resolve()
              : new Promise((resolve) => open.waiting.push(resolve)),
          end: () => finish({ type: "end", id, size: 0 }),
          destroy: () => finish({ type: "reset", id, size: 0 }),
        };
      },
    };
  }

  #abortAll(): void {
    const all = [...this.#open.values()];
    this.#open.clear();
    for (const open of all) {
      open.abort.abort(new Error("the port was closed"));
      release(open);
    }
  }
}

/** What a client within the process looks at; the others only cost their copying. */
const CARRIED = ["content-type", "retry-after", "warning", "location"];

function carried(headers: Readonly<Record<string, string>>): Record<string, string> {
  const some: Record<string, string> = {};
  for (const name of CARRIED) {
    const value = headers[name];
    if (value !== undefined) some[name] = value;
  }
  return some;
}

function release(open: OpenRequest): void {
  const waiting = open.waiting;
  open.waiting = [];
  for (const resolve of waiting) resolve();
}
