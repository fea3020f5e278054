import type { MessagePort } from "node:worker_threads";
import { ConnectionError } from "../contract.ts";
import { AbortFanout } from "./abort.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { BatchWriter, CONSUMED_STEP_BYTES, readBatch } from "./port-protocol.ts";
import type { ClientFrame, PortBatch, ServerFrame } from "./port-protocol.ts";
import { collect } from "./transport.ts";
import type { StreamedResponse, Transport, TransportRequest, TransportResponse } from "./transport.ts";

type Answer = { readonly whole: TransportResponse } | { readonly streamed: StreamedResponse };
interface Pending {
  answer(answer: Answer): void;
  fail(error: unknown): void;
  body: ChunkQueue | undefined;
}

/** One connection for all identities of a thread: what they send in one turn travels together. */
export interface PortTransport {
  /** Requests that come from this user. Closing it closes the connection. */
  as(user: string): Transport;
  /** Ends all requests and the connection. */
  close(): void;
}

/** Reaches an API server in another thread of this process, which serves the other end with `servePort`. */
export function portTransport(port: MessagePort): PortTransport {
  return new PortConnection(port);
}

class PortConnection implements PortTransport {
  readonly #port: MessagePort;
  readonly #out: BatchWriter<ClientFrame>;
  readonly #pending = new Map<number, Pending>();
  readonly #aborts = new AbortFanout();
  #nextId = 1;
  #closed = false;

  constructor(port: MessagePort) {
    this.#port = port;
    this.#out = new BatchWriter(port);
    port.on("message", (batch: PortBatch<ServerFrame>) =>
      readBatch(batch, (frame, payload) => this.#receive(frame, payload)),
    );
    port.on("close", () => this.#shutDown());
  }
  as(user: string): Transport {
    return {
      request: async (request) => {
        const answer = await this.#send(user, request);
        return "whole" in answer ? answer.whole : collect(answer.streamed);
      },
      stream: async (request) => {
        const answer = await this.#send(user, request);
        return "streamed" in answer ? answer.streamed : streamOf(answer.whole);
      },
      close: () => this.close(),
    };
  }
  close(): void {
    this.#shutDown();
    this.#port.close();
  }

  #send(user: string, request: TransportRequest): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new ConnectionError("the port to the API server is closed"));
        return;
      }
      if (request.signal?.aborted === true) {
        reject(request.signal.reason);
        return;
      }
      const id = this.#nextId++;
      const unlink = this.#aborts.on(request.signal, () => {
        const reason = request.signal?.reason;
        this.#out.add({ type: "abort", id, size: 0 });
        this.#pending.delete(id);
        pending.fail(reason);
      });
      const pending: Pending = {
        body: undefined,
        answer: (answer) => {
          if ("whole" in answer) unlink();
          resolve(answer);
        },
        fail: (error) => {
          unlink();
          pending.body?.fail(error);
          reject(error);
        },
      };
      this.#pending.set(id, pending);
      const { method, path, headers, body } = request;
      const size = body?.length ?? 0;
      this.#out.add({ type: "request", id, user, method, path, headers, size }, body === undefined ? [] : [body]);
    });
  }

  #receive(frame: ServerFrame, payload: Buffer): void {
    const pending = this.#pending.get(frame.id);
    if (pending === undefined) return; // aborted meanwhile
    switch (frame.type) {
      case "whole":
        this.#pending.delete(frame.id);
        pending.answer({ whole: { status: frame.status, headers: frame.headers, body: payload } });
        return;
      case "head":
        pending.body = this.#openBody(frame.id, pending);
        pending.answer({ streamed: { status: frame.status, headers: frame.headers, body: pending.body } });
        return;
      case "chunk":
        pending.body?.push(payload);
        return;
      case "end":
        this.#pending.delete(frame.id);
        pending.body?.end();
        return;
      case "reset":
        this.#pending.delete(frame.id);
        pending.fail(new ConnectionError("the server reset the stream"));
        return;
    }
  }

  #openBody(id: number, pending: Pending): ChunkQueue {
    let unreported = 0;
    return new ChunkQueue(
      () => {
        if (this.#pending.delete(id) && !this.#closed) this.#out.add({ type: "abort", id, size: 0 });
        pending.fail(new ConnectionError("the reader left"));
      },
      (bytes) => {
        unreported += bytes;
        if (unreported < CONSUMED_STEP_BYTES || this.#closed) return;
        this.#out.add({ type: "consumed", id, bytes: unreported, size: 0 });
        unreported = 0;
      },
    );
  }

  #shutDown(): void {
    if (this.#closed) return;
    this.#closed = true;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const one of pending) one.fail(new ConnectionError("the port to the API server was closed"));
  }
}

function streamOf({ status, headers, body }: TransportResponse): StreamedResponse {
  const whole = async function* () {
    yield body;
  };
  return { status, headers, body: whole() };
}
