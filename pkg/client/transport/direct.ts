import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { ConnectionError } from "../contract.ts";
import { AbortFanout } from "./abort.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import type { HandlerResponse, HandlerStream, RequestHandler } from "./handler.ts";
import { collect } from "./transport.ts";
import type { StreamedResponse, Transport, TransportRequest, TransportResponse } from "./transport.ts";

/** A stream whose reader is this many bytes behind is told to stop (a watch is then cut off). */
const MAX_BUFFERED_BYTES = 64 * 1024 * 1024;
const EMPTY = Buffer.alloc(0);

/** Calls an API server of this process. `user` is who the requests come from, already authenticated by construction. */
export function directTransport(handler: RequestHandler, options: { user?: UserInfo } = {}): Transport {
  return new DirectTransport(handler, options.user);
}

class DirectTransport implements Transport {
  readonly #handler: RequestHandler;
  readonly #user: UserInfo | undefined;
  readonly #open = new Set<AbortController>();
  readonly #aborts = new AbortFanout();
  #closed = false;

  constructor(handler: RequestHandler, user: UserInfo | undefined) {
    this.#handler = handler;
    this.#user = user;
  }
  async request(request: TransportRequest): Promise<TransportResponse> {
    const answer = await this.#call(request);
    return "whole" in answer ? answer.whole : collect(answer.streamed);
  }
  async stream(request: TransportRequest): Promise<StreamedResponse> {
    const answer = await this.#call(request);
    if ("streamed" in answer) return answer.streamed;
    const { status, headers, body } = answer.whole;
    return { status, headers, body: single(body) };
  }
  close(): void {
    this.#closed = true;
    for (const controller of this.#open) controller.abort(new ConnectionError("the transport was closed"));
  }

  async #call(request: TransportRequest): Promise<Answer> {
    if (this.#closed) throw new ConnectionError("the transport was closed");
    request.signal?.throwIfAborted();
    const controller = new AbortController();
    this.#open.add(controller);
    const unlink = this.#aborts.on(request.signal, () => controller.abort(request.signal?.reason));
    const exchange = new Exchange(controller, () => {
      unlink();
      this.#open.delete(controller);
    });
    const handled = this.#handler.handle(
      {
        method: request.method,
        url: request.path,
        headers: request.headers,
        body: () => Promise.resolve(request.body ?? EMPTY),
        remoteAddress: "127.0.0.1",
        peer: this.#user === undefined ? {} : { user: this.#user },
        signal: controller.signal,
      },
      exchange,
    );
    // A handler that returned without an answer will never give one.
    handled.then(
      () => exchange.fail("the server did not answer"),
      (cause: unknown) => exchange.fail("the server failed", { cause }),
    );
    return exchange.answer;
  }
}

type Answer = { readonly whole: TransportResponse } | { readonly streamed: StreamedResponse };

/** One request on its way: what the handler answers into, and what the caller waits for. */
class Exchange implements HandlerResponse {
  readonly #controller: AbortController;
  readonly #onFinished: () => void;
  readonly #answer = Promise.withResolvers<Answer>();
  #body: ChunkQueue | undefined;
  #answered = false;

  constructor(controller: AbortController, onFinished: () => void) {
    this.#controller = controller;
    this.#onFinished = onFinished;
    const { signal } = controller;
    const onAbort = () => {
      this.#onFinished();
      this.#body?.fail(signal.reason);
      this.#answer.reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
  }
  get answer(): Promise<Answer> {
    return this.#answer.promise;
  }
  /** Without effect when there has been an answer. */
  fail(message: string, options?: ErrorOptions): void {
    if (this.#answered) return;
    this.#onFinished();
    this.#answer.reject(new ConnectionError(message, options));
  }
  send(status: number, headers: Record<string, string>, payload: Buffer | readonly Buffer[]): void {
    this.#onFinished();
    this.#answered = true;
    const body = Buffer.isBuffer(payload) ? payload : Buffer.concat(payload as readonly Buffer[]);
    this.#answer.resolve({ whole: { status, headers, body } });
  }
  stream(status: number, headers: Record<string, string>): HandlerStream {
    const queue = new ChunkQueue(() => {
      this.#onFinished();
      this.#controller.abort(new ConnectionError("the reader left"));
    });
    this.#body = queue;
    this.#answered = true;
    this.#answer.resolve({ streamed: { status, headers, body: queue } });
    return {
      write: (chunk) => {
        queue.push(chunk);
        return queue.size < MAX_BUFFERED_BYTES;
      },
      drained: () => queue.drained(),
      end: () => queue.end(),
      destroy: () => queue.fail(new ConnectionError("the server reset the stream")),
    };
  }
}

async function* single(body: Buffer): AsyncGenerator<Uint8Array> {
  yield body;
}
