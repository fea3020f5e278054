import {
  type ClientConnection,
  type ClientStream,
  dial,
  type Fields,
  type ResponseFailure,
  type ResponseSink,
} from "#pkg/http2/index.ts";
import { type Clock, errorMessage } from "#pkg/util/index.ts";
import { StoreFailedError } from "../store.ts";
import type { EtcdTls } from "./tls.ts";

/** gRPC's status codes, as far as they are told apart here. */
export const GrpcStatus = {
  Ok: 0,
  Cancelled: 1,
  Unknown: 2,
  DeadlineExceeded: 4,
  Internal: 13,
  Unavailable: 14,
} as const;

/** By number, as clients in Go print them. */
const STATUS_NAMES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
];

/** A call that failed. The message is etcd's own, or says where on the way to etcd it failed. */
export class GrpcError extends StoreFailedError {
  readonly status: number;
  /** The request certainly never reached a server. */
  readonly notSent: boolean;

  constructor(
    status: number,
    description: string,
    { notSent = false, cause }: { notSent?: boolean; cause?: unknown } = {},
  ) {
    const name = STATUS_NAMES[status] ?? `Code(${status})`;
    const message = description.startsWith("etcdserver:")
      ? description
      : `rpc error: code = ${name} desc = ${description}`;
    super(message, cause === undefined ? undefined : { cause });
    this.name = "GrpcError";
    this.status = status;
    this.notSent = notSent;
  }
}

const CONNECT_TIMEOUT_MS = 2000;
const CALL_TIMEOUT_MS = 10_000;
/** How often calls under way are looked at: time in which this process was kept from running must not count. */
const LOOK_MS = 1000;
const MAX_LOOKS = CALL_TIMEOUT_MS / LOOK_MS;
const FRAME_HEAD_BYTES = 5;

/** What the head of a call says; one object for all calls of a method. */
export type GrpcMethod = Fields;

export function grpcMethod(path: string, metadata: Readonly<Record<string, string>> = {}): GrpcMethod {
  return [
    [":method", "POST"],
    [":path", path],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...Object.entries(metadata),
  ];
}

/**
 * Calls over one HTTP/2 connection to whichever endpoint answers. Messages come encoded and framed, and are handed back
 * without their frame. A general gRPC library costs many times as much for each call, and every read and write of the
 * API server is one.
 */
export class GrpcChannel {
  readonly #endpoints: readonly URL[];
  readonly #tls: EtcdTls;
  readonly #clock: Clock;
  /** Endpoint that is tried first. */
  #preferred = 0;
  #connection: ClientConnection | undefined;
  #dialled: Promise<ClientConnection> | undefined;
  /** Calls under way, oldest first. */
  readonly #calls = new Set<Call>();
  #looks = 0;
  #cancelLook: (() => void) | undefined;
  #closed = false;

  constructor(endpoints: readonly string[], tls: EtcdTls, clock: Clock) {
    this.#endpoints = endpoints.map((endpoint) => new URL(endpoint));
    this.#tls = tls;
    this.#clock = clock;
  }
  /** One request, one answer. @throws GrpcError */
  async call(method: GrpcMethod, request: Buffer): Promise<Buffer> {
    const connection = this.#connection ?? (await this.#connected());
    const call = new Call(this.#looks);
    call.stream = begin(connection, method, request, true, call);
    this.#calls.add(call);
    this.#cancelLook ??= this.#clock.schedule(LOOK_MS, () => this.#look());
    try {
      return await call.answer;
    } catch (error) {
      this.#leaveIfUseless(connection, error);
      throw error;
    } finally {
      this.#calls.delete(call);
    }
  }
  /** One request, and then messages until the server ends the call or the signal aborts. @throws GrpcError */
  async *stream(method: GrpcMethod, request: Buffer, signal: AbortSignal): AsyncGenerator<Buffer> {
    const connection = this.#connection ?? (await this.#connected());
    if (signal.aborted) return;
    const chunks = new ChunkQueue();
    const stream = begin(connection, method, request, false, chunks);
    const stop = () => chunks.stop();
    signal.addEventListener("abort", stop, { once: true });
    try {
      const deframer = new Deframer();
      for (let next = await chunks.next(); next !== undefined; next = await chunks.next()) {
        yield* deframer.push(next);
        stream.taken(next.length);
      }
    } catch (error) {
      this.#leaveIfUseless(connection, error);
      throw error;
    } finally {
      signal.removeEventListener("abort", stop);
      stream.cancel();
    }
  }
  close(): void {
    this.#closed = true;
    this.#cancelLook?.();
    for (const call of this.#calls) call.fail(new GrpcError(GrpcStatus.Cancelled, "the channel is closed"));
    this.#connection?.destroy(new Error("the channel is closed"));
  }

  #look(): void {
    this.#looks++;
    this.#cancelLook = undefined;
    for (const call of this.#calls) {
      if (this.#looks - call.since <= MAX_LOOKS) break;
      call.fail(new GrpcError(GrpcStatus.DeadlineExceeded, `no answer from etcd within ${CALL_TIMEOUT_MS} ms`));
    }
    if (this.#calls.size > 0) this.#cancelLook = this.#clock.schedule(LOOK_MS, () => this.#look());
  }
  /** A member that does not answer, without a leader or on its way down: another one may do better. */
  #leaveIfUseless(connection: ClientConnection, error: unknown): void {
    const status = error instanceof GrpcError ? error.status : GrpcStatus.Unavailable;
    if (status !== GrpcStatus.Unavailable && status !== GrpcStatus.DeadlineExceeded) return;
    if (connection === this.#connection) this.#preferNext();
    connection.retire();
  }
  #preferNext(): void {
    this.#preferred = (this.#preferred + 1) % this.#endpoints.length;
  }
  #connected(): Promise<ClientConnection> {
    this.#dialled ??= this.#dialAny().finally(() => (this.#dialled = undefined));
    return this.#dialled;
  }
  async #dialAny(): Promise<ClientConnection> {
    const failures: string[] = [];
    for (let attempt = 0; attempt < this.#endpoints.length && !this.#closed; attempt++) {
      const endpoint = this.#endpoints[this.#preferred]!;
      try {
        const connection = await dial({
          endpoint,
          tls: this.#tls,
          timeoutMs: CONNECT_TIMEOUT_MS,
          clock: this.#clock,
          onRetired: (retired) => {
            if (retired === this.#connection) this.#connection = undefined;
          },
        });
        if (!this.#closed) return (this.#connection = connection);
        connection.destroy(new Error("the channel is closed"));
      } catch (error) {
        failures.push(`${endpoint.origin}: ${errorMessage(error)}`);
        this.#preferNext();
      }
    }
    if (this.#closed) throw new GrpcError(GrpcStatus.Cancelled, "the channel is closed", { notSent: true });
    const message = `No connection established. ${failures.join("; ")}`;
    throw new GrpcError(GrpcStatus.Unavailable, message, { notSent: true });
  }
}

function begin(
  connection: ClientConnection,
  method: GrpcMethod,
  request: Buffer,
  end: boolean,
  sink: ResponseSink,
): ClientStream {
  // It may have gone since somebody waited for it.
  if (connection.usable) return connection.request(method, request, end, sink);
  throw new GrpcError(GrpcStatus.Unavailable, "No connection established", { notSent: true });
}

/** What has become of a call, as its trailers tell. */
class Outcome {
  #httpStatus = "";
  #status: number | undefined;
  #message = "";

  onField(name: string, value: string): void {
    if (name === "grpc-status") this.#status = Number(value);
    else if (name === "grpc-message") this.#message = value;
    else if (name === ":status") this.#httpStatus = value;
  }
  /** Whether a body is one of gRPC. */
  get answered(): boolean {
    return this.#httpStatus === "200";
  }
  /** undefined when it has succeeded. */
  error(failure: ResponseFailure | undefined): GrpcError | undefined {
    if (this.#status === GrpcStatus.Ok) return undefined;
    if (this.#status !== undefined) return new GrpcError(this.#status, decoded(this.#message));
    if (failure === undefined) {
      return new GrpcError(GrpcStatus.Unavailable, `not an answer of gRPC (HTTP status ${this.#httpStatus})`);
    }
    const { refused, cause } = failure;
    return new GrpcError(GrpcStatus.Unavailable, "Connection dropped", { notSent: refused, cause });
  }
}

function decoded(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message; // Not encoded as it should be: shown as it is.
  }
}

/** A call with one answer. */
class Call extends Outcome implements ResponseSink {
  /** What had been looked at when it began. */
  readonly since: number;
  readonly answer: Promise<Buffer>;
  stream: ClientStream | undefined;
  #resolve!: (message: Buffer) => void;
  #reject!: (error: GrpcError) => void;
  readonly #deframer = new Deframer();
  #message: Buffer | undefined;

  constructor(since: number) {
    super();
    this.since = since;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }
  onData(data: Buffer): void {
    try {
      if (this.answered) this.#message ??= this.#deframer.push(data)[0];
    } catch (error) {
      this.fail(error as GrpcError);
    }
    this.stream?.taken(data.length);
  }
  onEnd(failure: ResponseFailure | undefined): void {
    const error = this.error(failure);
    if (error !== undefined) this.#reject(error);
    else if (this.#message !== undefined) this.#resolve(this.#message);
    else this.#reject(new GrpcError(GrpcStatus.Internal, "an answer without a message"));
  }
  /** Ends it before the server does. */
  fail(error: GrpcError): void {
    this.stream?.cancel();
    this.#reject(error);
  }
}

/** The pieces of an answer without an end, for a reader at its own pace. */
class ChunkQueue extends Outcome implements ResponseSink {
  #chunks: Buffer[] = [];
  #ended = false;
  #error: GrpcError | undefined;
  #wake = (): void => undefined;

  onData(data: Buffer): void {
    if (!this.answered) return;
    this.#chunks.push(data);
    this.#wake();
  }
  onEnd(failure: ResponseFailure | undefined): void {
    this.#error = this.error(failure);
    this.stop();
  }
  /** What is there is still read. */
  stop(): void {
    this.#ended = true;
    this.#wake();
  }
  /** undefined at the end. @throws GrpcError */
  async next(): Promise<Buffer | undefined> {
    while (this.#chunks.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#chunks.length > 0) return this.#chunks.shift();
    if (this.#error !== undefined) throw this.#error;
    return undefined;
  }
}

/** Puts messages together that arrive in pieces. */
class Deframer {
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Bytes of the frame that has begun, as far as they are known. */
  #needed = FRAME_HEAD_BYTES;

  /** The messages that are complete with this chunk. */
  push(chunk: Buffer): Buffer[] {
    this.#parts.push(chunk);
    this.#bytes += chunk.length;
    const messages: Buffer[] = [];
    while (this.#bytes >= this.#needed) {
      const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts);
      if (bytes[0] !== 0) throw new GrpcError(GrpcStatus.Internal, "etcd compresses without being asked to");
      const end = FRAME_HEAD_BYTES + bytes.readUInt32BE(1);
      const complete = bytes.length >= end;
      if (complete) messages.push(bytes.subarray(FRAME_HEAD_BYTES, end));
      const rest = complete ? bytes.subarray(end) : bytes;
      this.#parts = rest.length === 0 ? [] : [rest];
      this.#bytes = rest.length;
      this.#needed = complete ? FRAME_HEAD_BYTES : end;
    }
    return messages;
  }
}
