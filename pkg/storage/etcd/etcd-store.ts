import { Etcd3, type IOptions } from "etcd3";
import { type Clock, type Logger, RealClock, silentLogger, sleep, pause } from "#pkg/util/index.ts";
import { compareKeys, prefixEnd } from "../keys.ts";
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type RangeOptions,
  type RangeResult,
  type Store,
  type StoreWatchBatch,
  type WriteOperation,
  type WriteResult,
} from "../store.ts";
import { Leases } from "./leases.ts";
import { GrpcChannel, grpcMethod } from "./grpc.ts";
import {
  decodeRange,
  decodeTxn,
  decodeWatch,
  type RangeRequest,
  type RangeResponse,
  RequestEncoder,
  type WatchResponse,
} from "./messages.ts";
import { type EtcdTls, secureHosts } from "./tls.ts";
import { classify } from "./translate.ts";

export interface EtcdStoreOptions {
  /** E.g. "https://10.0.0.1:2379", all of one cluster; without a scheme the connection is plain. */
  readonly endpoints: readonly string[];
  /** For https endpoints. */
  readonly tls?: EtcdTls;
  readonly clock?: Clock;
  readonly log?: Logger;
}

/** Behind every key, for etcd's range ends. */
const NO_END = Buffer.from([0]);
const CALL_TIMEOUT_MS = 10_000;
/** Tries of a call that can be repeated: an etcd that is being restarted is back by then. */
const MAX_ATTEMPTS = 8;
const MIN_BACKOFF_MS = 50;
const MAX_BACKOFF_MS = 2000;

const RANGE = grpcMethod("/etcdserverpb.KV/Range");
const TXN = grpcMethod("/etcdserverpb.KV/Txn");
/** A member cut off from its cluster shall end our watch instead of keeping it silent. */
const WATCH = grpcMethod("/etcdserverpb.Watch/Watch", { hasleader: "true" });

const CHANNEL_OPTIONS = {
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 2000,
};

type Policy = NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;

/** etcd3 repeats failed calls by itself; a write whose fate is unknown must not be repeated blindly. */
const NO_POLICY: Policy = {
  onSuccess: () => ({ dispose() {} }),
  onFailure: () => ({ dispose() {} }),
  _altReturn: undefined as never, // Exists in the type alone.
  execute: async (run, signal) => run({ signal: signal ?? new AbortController().signal }),
};

/** See {@link Store}; opened by `openEtcdStore`. */
export class EtcdStore implements Store {
  /** For what every read and write needs. */
  readonly #channel: GrpcChannel;
  readonly #encoder = new RequestEncoder();
  /** For the rest: leases and maintenance. */
  readonly #client: Etcd3;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #leases: Leases;
  readonly #closed = new AbortController();
  #revisionRead: Promise<number> | undefined;
  #nextRevisionRead: Promise<number> | undefined;

  constructor({ endpoints, tls = {}, clock = new RealClock(), log = silentLogger }: EtcdStoreOptions) {
    const hosts = endpoints.map((endpoint) => (endpoint.includes("://") ? endpoint : `http://${endpoint}`));
    this.#clock = clock;
    this.#log = log;
    this.#client = new Etcd3({
      hosts,
      grpcOptions: CHANNEL_OPTIONS,
      faultHandling: { host: () => NO_POLICY, global: NO_POLICY },
      defaultCallOptions: () => ({ deadline: clock.now() + CALL_TIMEOUT_MS }),
    });
    this.#channel = new GrpcChannel(hosts, tls, clock);
    secureHosts(this.#client, hosts, tls, CHANNEL_OPTIONS);
    this.#leases = new Leases(this.#client.leaseClient, clock);
  }
  /** Readers that come while a read is under way share the next one: the present one may be older than they are. */
  currentRevision(): Promise<number> {
    if (this.#revisionRead === undefined) return this.#readRevision();
    this.#nextRevisionRead ??= this.#revisionRead.then(
      () => this.#readRevision(),
      () => this.#readRevision(),
    );
    return this.#nextRevisionRead;
  }
  async get(
    key: string,
    { revision }: { revision?: number } = {},
  ): Promise<{ kv: KeyValue | undefined; revision: number }> {
    const response = await this.#range({ key: Buffer.from(key), revision });
    return { kv: response.kvs[0], revision: revision ?? response.revision };
  }
  async range(prefix: string, { revision, limit, startAfter }: RangeOptions = {}): Promise<RangeResult> {
    const behind = startAfter !== undefined && compareKeys(startAfter, prefix) >= 0;
    const key = Buffer.from(behind ? `${startAfter}\0` : prefix || "\0");
    const response = await this.#range({ key, rangeEnd: rangeEnd(prefix), limit, revision });
    return { kvs: response.kvs, count: response.count, revision: revision ?? response.revision };
  }
  async write(operation: WriteOperation): Promise<WriteResult> {
    const { value, ttlSeconds } = operation;
    if (value === undefined || ttlSeconds === undefined) return this.#write(operation, "0");
    try {
      return await this.#write(operation, await this.#attempt(() => this.#leases.lease(ttlSeconds), isTransient));
    } catch (error) {
      if (classify(error) !== "lease-gone") throw error;
      this.#leases.forget(ttlSeconds);
      return this.#write(operation, await this.#leases.lease(ttlSeconds));
    }
  }
  async *watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncGenerator<StoreWatchBatch> {
    const either = AbortSignal.any([signal, this.#closed.signal]);
    let delivered = fromRevision;
    let backoffMs = MIN_BACKOFF_MS;
    while (!either.aborted) {
      try {
        for await (const batch of this.#watchOnce(prefix, delivered, either)) {
          backoffMs = MIN_BACKOFF_MS;
          delivered = Math.max(delivered, batch.revision);
          yield batch;
        }
      } catch (err) {
        if (either.aborted) return;
        if (err instanceof CompactedError) throw err;
        this.#log.warn({ err, prefix, revision: delivered }, "Watch of etcd broke off, resuming");
      }
      await pause(this.#clock, backoffMs, either);
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
    }
  }
  async compact(revision: number): Promise<void> {
    const target = Math.min(revision, await this.currentRevision());
    try {
      await this.#attempt(() => this.#client.kv.compact({ revision: target, physical: false }), isTransient);
    } catch (error) {
      // Somebody has compacted further already.
      if (classify(error) !== "compacted") throw error;
    }
  }
  async size(): Promise<number> {
    const { dbSize } = await this.#attempt(() => this.#client.maintenance.status(), isTransient);
    return Number(dbSize);
  }
  async close(): Promise<void> {
    this.#closed.abort();
    this.#channel.close();
    this.#client.close();
  }

  #readRevision(): Promise<number> {
    this.#nextRevisionRead = undefined;
    const read = this.#range({ key: NO_END, countOnly: true }).then(({ revision }) => revision);
    this.#revisionRead = read;
    const forget = () => {
      if (this.#revisionRead === read) this.#revisionRead = undefined;
    };
    read.then(forget, forget);
    return read;
  }
  async #write({ key, value, expectedModRevision }: WriteOperation, lease: string): Promise<WriteResult> {
    const request = this.#encoder.compareAndSwap({ key: Buffer.from(key), expectedModRevision, value, lease });
    const answer = await this.#attempt(
      () => this.#channel.call(TXN, request),
      (error) => classify(error) === "not-sent",
    );
    const { succeeded, revision, current } = decodeTxn(answer);
    return succeeded ? { ok: true, revision } : { ok: false, current, revision };
  }
  /** A read, repeated when that may help, with etcd's refusals in our words. */
  async #range(request: RangeRequest): Promise<RangeResponse> {
    const bytes = this.#encoder.range(request);
    try {
      return decodeRange(await this.#attempt(() => this.#channel.call(RANGE, bytes), isTransient));
    } catch (error) {
      const failure = classify(error);
      if (failure === "compacted") throw new CompactedError(await this.#compactRevision());
      if (failure === "future") throw new FutureRevisionError(await this.currentRevision());
      throw error;
    }
  }
  async #attempt<T>(call: () => Promise<T>, mayRepeat: (error: unknown) => boolean): Promise<T> {
    let backoffMs = MIN_BACKOFF_MS;
    for (let attempt = 1; ; attempt++) {
      if (this.#closed.signal.aborted) throw new Error("the store is closed");
      try {
        return await call();
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !mayRepeat(error)) throw error;
        await sleep(this.#clock, backoffMs, this.#closed.signal);
        backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
      }
    }
  }
  /** Only a refused watch tells how far history has been compacted. */
  async #compactRevision(): Promise<number> {
    const abort = new AbortController();
    try {
      for await (const batch of this.#watchOnce("\0", 1, abort.signal)) {
        throw new Error(`etcd watches at a revision that it refused to read (now at ${batch.revision})`);
      }
    } catch (error) {
      if (error instanceof CompactedError) return error.compactRevision;
      throw error;
    } finally {
      abort.abort();
    }
    throw new Error("etcd ended a watch without saying why");
  }

  /** One stream, up to its first failure. */
  async *#watchOnce(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<StoreWatchBatch> {
    // Starting at the last revision that is known already: should it be compacted, etcd refuses. Starting behind it, a
    // deletion at just the compacted revision could be missing without a word.
    const request = this.#encoder.watch(Buffer.from(prefix || "\0"), rangeEnd(prefix), Math.max(from, 1));
    let delivered = from;
    for await (const message of this.#channel.stream(WATCH, request, signal)) {
      const batch = batchOf(decodeWatch(message), delivered);
      if (batch === undefined) continue;
      delivered = batch.revision;
      yield batch;
    }
  }
}

function batchOf(response: WatchResponse, delivered: number): StoreWatchBatch | undefined {
  if (response.compactRevision > 0) throw new CompactedError(response.compactRevision);
  if (response.canceled) throw new Error(`etcd ended the watch: ${response.cancelReason}`);
  if (response.created) return undefined;
  const events = response.events.filter((event) => event.modRevision > delivered);
  // With events, the header may be ahead of them while more are to come.
  const revision = events.at(-1)?.modRevision ?? (response.events.length > 0 ? 0 : response.revision);
  return revision <= delivered ? undefined : { revision, events };
}

function rangeEnd(prefix: string): Buffer {
  const end = prefixEnd(prefix);
  return end === undefined ? NO_END : Buffer.from(end);
}

function isTransient(error: unknown): boolean {
  const failure = classify(error);
  return failure === "not-sent" || failure === "unavailable";
}
