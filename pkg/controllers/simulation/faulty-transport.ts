import {
  ConnectionError,
  type StreamedResponse,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from "#pkg/client/index.ts";
import type { Random } from "#pkg/util/index.ts";

/** Probabilities of things going wrong, per request (writes, reads) or per delivered chunk (watches). */
export interface Faults {
  /** The request never arrives. */
  readonly dropRequest: number;
  /** The request is carried out, and the answer is lost. */
  readonly dropResponse: number;
  /** A write is answered with a conflict although there was none. */
  readonly conflict: number;
  /** A watch breaks after an event. */
  readonly dropWatch: number;
  /** A watch hands its events on late: caches are behind. */
  readonly delayWatch: number;
  /** A watch that goes on from where another one broke is told that this history is gone. */
  readonly expireWatch: number;
}
export const NO_FAULTS: Faults = {
  dropRequest: 0,
  dropResponse: 0,
  conflict: 0,
  dropWatch: 0,
  delayWatch: 0,
  expireWatch: 0,
};
/** Bad enough for each kind of fault to happen in a short test, and good enough for it to come to its end. */
export const BAD_NETWORK: Faults = {
  dropRequest: 0.1,
  dropResponse: 0.05,
  conflict: 0.1,
  dropWatch: 0.03,
  delayWatch: 0.1,
  expireWatch: 0.5,
};

/** What all transports of a simulation share: faults in force, and a count of everything that happens. */
export interface Wire {
  faults: Faults;
  /** Grows with every request, answer and watch chunk: the cluster is at rest when it stands still. */
  activity: number;
  /** Successful writes so far (events not counted). */
  writes: number;
  /** Answers lost so far: whoever asked cannot know what has become of it. */
  lost: number;
  readonly random: Random;
  /** Resolves after a while of simulated time. */
  delay(ms: number): Promise<void>;
  onWrite?(request: TransportRequest): void;
  /** Called at every await of a request: before it is sent, and before its answer is handed on. */
  onRequest?(): void;
}

/** One process: when it has crashed, nothing it does reaches the server any more. */
export interface Incarnation {
  crashed: boolean;
}

function refusal(code: number, reason: string, message: string): TransportResponse {
  const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
  return { status: code, headers: { "content-type": "application/json" }, body: Buffer.from(JSON.stringify(status)) };
}
const CONFLICT = refusal(409, "Conflict", "Operation cannot be fulfilled: injected conflict");
const EXPIRED = refusal(410, "Expired", "injected: the history is gone");

/** Passes requests on to the real transport, unless the dice say otherwise. */
export class FaultyTransport implements Transport {
  readonly #inner: Transport;
  readonly #wire: Wire;
  readonly #incarnation: Incarnation;

  constructor(inner: Transport, wire: Wire, incarnation: Incarnation = { crashed: false }) {
    this.#inner = inner;
    this.#wire = wire;
    this.#incarnation = incarnation;
  }
  async request(request: TransportRequest): Promise<TransportResponse> {
    const wire = this.#wire;
    const { faults } = wire;
    wire.activity++;
    try {
      const isWrite = request.method !== "GET";
      this.#step();
      if (this.#hits(faults.dropRequest)) throw new ConnectionError("injected: the request was lost");
      if ((request.method === "PUT" || request.method === "PATCH") && this.#hits(faults.conflict)) return CONFLICT;
      const response = await this.#inner.request(request);
      if (
        isWrite &&
        response.status < 300 &&
        !request.path.includes("/events") &&
        !request.path.includes("accessreviews")
      ) {
        wire.writes++;
        wire.onWrite?.(request);
      }
      this.#step();
      if (this.#hits(faults.dropResponse)) {
        wire.lost++;
        throw new ConnectionError("injected: the answer was lost");
      }
      return response;
    } finally {
      wire.activity++;
    }
  }
  async stream(request: TransportRequest): Promise<StreamedResponse> {
    this.#wire.activity++;
    this.#step();
    if (this.#hits(this.#wire.faults.dropRequest)) throw new ConnectionError("injected: the request was lost");
    if (/resourceVersion=\d/.test(request.path) && this.#hits(this.#wire.faults.expireWatch))
      return { ...EXPIRED, body: single(EXPIRED.body) };
    const response = await this.#inner.stream(request);
    return { ...response, body: this.#body(response.body) };
  }
  close(): void {
    this.#inner.close();
  }

  async *#body(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const wire = this.#wire;
    for await (const chunk of body) {
      wire.activity++;
      if (this.#hits(wire.faults.delayWatch)) await wire.delay(1 + wire.random.int(2000));
      yield chunk;
      if (this.#hits(wire.faults.dropWatch)) throw new ConnectionError("injected: the watch broke");
    }
  }
  /** Here the process may die: what comes after this point it does no more. */
  #step(): void {
    if (!this.#incarnation.crashed) this.#wire.onRequest?.();
    if (this.#incarnation.crashed) throw new ConnectionError("injected: the process has crashed");
  }
  #hits(probability: number): boolean {
    return probability > 0 && this.#wire.random.float() < probability;
  }
}

async function* single(body: Uint8Array): AsyncGenerator<Uint8Array> {
  yield body;
}
