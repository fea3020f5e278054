import type { ClientConnection } from "./client-connection.ts";
import type { Fields } from "./request-fields.ts";

/** Hears what becomes of a request. No method may throw. */
export interface ResponseSink {
  /** A field of the answer's head, or behind its body. */
  onField(name: string, value: string): void;
  /** A piece of the body. The peer sends on only when the stream's `taken` says that it has been dealt with. */
  onData(data: Buffer): void;
  /** The last call: the answer is complete, unless there is a failure. */
  onEnd(failure: ResponseFailure | undefined): void;
}

export interface ResponseFailure {
  /** The server has certainly not looked at the request. */
  readonly refused: boolean;
  readonly cause: Error;
}

/** One request and its answer. */
export class ClientStream {
  readonly #connection: ClientConnection;
  readonly fields: Fields;
  readonly sink: ResponseSink;
  /** Whether the request ends behind its body. */
  readonly end: boolean;
  unsent: Buffer;
  /** 0 until the connection has begun with it. */
  id = 0;
  sendWindow = 0;
  /** Bytes that have been taken and that the peer does not know about. */
  credit = 0;

  constructor(connection: ClientConnection, fields: Fields, body: Buffer, end: boolean, sink: ResponseSink) {
    this.#connection = connection;
    this.fields = fields;
    this.unsent = body;
    this.end = end;
    this.sink = sink;
  }
  /** The answer is of no interest any more; the sink hears nothing of it. */
  cancel(): void {
    this.#connection.cancel(this);
  }
  /** So much of the body has been dealt with. */
  taken(bytes: number): void {
    this.#connection.taken(this, bytes);
  }
}
