import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { ConnectionError } from "../contract.ts";
import { AbortFanout } from "./abort.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import type { HandlerResponse, RequestHandler } from "./handler.ts";
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

  #call(request: TransportRequest): Promise<{ whole: TransportResponse } | { streamed: StreamedResponse }> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new ConnectionError("the transport was closed"));
        return;
      }
      if (request.signal?.aborted === true) {
        reject(request.signal.reason);
        return;
      }
      const controller = new AbortController();
      this.#open.add(controller);
      let body: ChunkQueue | undefined;
      const unlink = this.#aborts.on(request.signal, () => controller.abort(request.signal?.reason));
      const finish = () => {
        unlink();
        this.#open.delete(controller);
      };
      controller.signal.addEventListener(
        "abort",
        () => {
          finish();
          body?.fail(controller.signal.reason);
          reject(controller.signal.reason);
        },
        { once: true },
      );
      const response: HandlerResponse = {
        send: (status, headers, payload) => {
          finish();
          const whole = Buffer.isBuffer(payload) ? payload : Buffer.concat(payload as Buffer[]);
          resolve({ whole: { status, headers, body: whole } });
        },
        stream: (status, headers) => {
          const queue = new ChunkQueue(() => {
            finish();
            controller.abort(new ConnectionError("the reader left"));
          });
          body = queue;
          resolve({ streamed: { status, headers, body: queue } });
          return {
            write: (chunk) => {
              queue.push(chunk);
              return queue.size < MAX_BUFFERED_BYTES;
            },
            drained: () => queue.drained(),
            end: () => queue.end(),
            destroy: () => queue.fail(new ConnectionError("the server reset the stream")),
          };
        },
      };
      const peer = this.#user === undefined ? {} : { user: this.#user };
      this.#handler
        .handle(
          {
            method: request.method,
            url: request.path,
            headers: request.headers,
            body: () => Promise.resolve(request.body ?? EMPTY),
            remoteAddress: "127.0.0.1",
            peer,
            signal: controller.signal,
          },
          response,
        )
        .then(
          () => {
            // A handler that returned without an answer will never give one.
            if (body === undefined) reject(new ConnectionError("the server did not answer"));
          },
          (cause: unknown) => reject(new ConnectionError("the server failed", { cause })),
        );
    });
  }
}

async function* single(body: Buffer): AsyncGenerator<Uint8Array> {
  yield body;
}
