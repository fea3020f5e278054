import { Duplex } from "node:stream";
import { type CallOptions, InterceptingCall, type Interceptor } from "@grpc/grpc-js";
import { Etcd3, type IOptions } from "etcd3";
import type { IEvent, ITxnRequest, IWatchResponse } from "etcd3/lib/rpc.js";
import { type Clock, type Logger, RealClock, silentLogger, sleep } from "#pkg/util/index.ts";
import { compareKeys, prefixEnd } from "../keys.ts";
import {
  CompactedError,
  FutureRevisionError,
  type KeyValue,
  type RangeOptions,
  type RangeResult,
  type Store,
  type StoreEvent,
  type StoreWatchBatch,
  type WriteOperation,
  type WriteResult,
} from "../store.ts";
import { Leases } from "./leases.ts";
import { type EtcdTls, secureHosts } from "./tls.ts";
import { classify, keyValueOf } from "./translate.ts";

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

const CHANNEL_OPTIONS = {
  // Lists and bursts of events pass the default of 4 MiB easily.
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  // A peer that vanished without a word is noticed within 15 seconds. etcd allows pings every 5 seconds.
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5000,
  "grpc.keepalive_permit_without_calls": 1,
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

/** A member cut off from its cluster shall end our watch instead of keeping it silent. */
const requireLeader: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start(metadata, listener, next) {
      metadata.set("hasleader", "true");
      next(metadata, listener);
    },
  });

/** See {@link Store}; opened by `openEtcdStore`. */
export class EtcdStore implements Store {
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
      defaultCallOptions: (context): CallOptions =>
        context.isStream ? { interceptors: [requireLeader] } : { deadline: clock.now() + CALL_TIMEOUT_MS },
    });
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
    const response = await this.#read(() => this.#client.kv.range({ key: Buffer.from(key), revision: revision ?? 0 }));
    return { kv: response.kvs.map(keyValueOf)[0], revision: revision ?? Number(response.header.revision) };
  }
  async range(prefix: string, { revision, limit, startAfter }: RangeOptions = {}): Promise<RangeResult> {
    const behind = startAfter !== undefined && compareKeys(startAfter, prefix) >= 0;
    const request = {
      key: Buffer.from(behind ? `${startAfter}\0` : prefix || "\0"),
      range_end: rangeEnd(prefix),
      limit: limit ?? 0,
      revision: revision ?? 0,
    };
    const response = await this.#read(() => this.#client.kv.range(request));
    return {
      kvs: response.kvs.map(keyValueOf),
      count: Number(response.count),
      revision: revision ?? Number(response.header.revision),
    };
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
      await sleep(this.#clock, backoffMs, either).catch(() => undefined); // Rejects only when the watch is over.
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
    this.#client.close();
  }

  #readRevision(): Promise<number> {
    this.#nextRevisionRead = undefined;
    const read = this.#read(() => this.#client.kv.range({ key: NO_END, count_only: true })).then(({ header }) =>
      Number(header.revision),
    );
    this.#revisionRead = read;
    const forget = () => {
      if (this.#revisionRead === read) this.#revisionRead = undefined;
    };
    read.then(forget, forget);
    return read;
  }
  async #write({ key, value, expectedModRevision }: WriteOperation, lease: string): Promise<WriteResult> {
    const bytes = Buffer.from(key);
    const request: ITxnRequest = {
      compare:
        expectedModRevision === undefined
          ? []
          : [{ target: "Mod", result: "Equal", key: bytes, mod_revision: expectedModRevision }],
      success: [
        value === undefined
          ? { request_delete_range: { key: bytes } }
          : {
              request_put: { key: bytes, value: Buffer.from(value.buffer, value.byteOffset, value.byteLength), lease },
            },
      ],
      failure: [{ request_range: { key: bytes } }],
    };
    const response = await this.#attempt(
      () => this.#client.kv.txn(request),
      (error) => classify(error) === "not-sent",
    );
    const revision = Number(response.header.revision);
    if (response.succeeded) return { ok: true, revision };
    return { ok: false, current: response.responses[0]?.response_range.kvs.map(keyValueOf)[0], revision };
  }
  /** A read, repeated when that may help, with etcd's refusals in our words. */
  async #read<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await this.#attempt(call, isTransient);
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
    const stream = await this.#client.watchClient.watch();
    if (!(stream instanceof Duplex)) throw new Error("etcd3 no longer hands out Node streams");
    // Without a listener an error after the iteration's end would be thrown at the process.
    stream.on("error", () => undefined);
    const cancel = () => stream.cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      if (signal.aborted) return;
      // Starting at the last revision that is known already: should it be compacted, etcd refuses. Starting behind
      // it, a deletion at just the compacted revision could be missing without a word.
      stream.write({
        create_request: {
          key: Buffer.from(prefix || "\0"),
          range_end: rangeEnd(prefix),
          start_revision: Math.max(from, 1),
          progress_notify: true,
        },
      });
      let delivered = from;
      for await (const response of stream) {
        const batch = batchOf(response as IWatchResponse, delivered);
        if (batch === undefined) continue;
        delivered = batch.revision;
        yield batch;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
      cancel();
    }
  }
}

function batchOf(response: IWatchResponse, delivered: number): StoreWatchBatch | undefined {
  const compactRevision = Number(response.compact_revision);
  if (compactRevision > 0) throw new CompactedError(compactRevision);
  if (response.canceled) throw new Error(`etcd ended the watch: ${response.cancel_reason}`);
  if (response.created) return undefined;
  const events = response.events.map(eventOf).filter((event) => event.modRevision > delivered);
  // With events, the header may be ahead of them while more are to come.
  const revision = events.at(-1)?.modRevision ?? (response.events.length > 0 ? 0 : Number(response.header.revision));
  return revision <= delivered ? undefined : { revision, events };
}

function eventOf({ type, kv }: IEvent): StoreEvent {
  const key = kv.key.toString();
  const modRevision = Number(kv.mod_revision);
  if (String(type).toUpperCase() === "DELETE") return { type: "delete", key, createRevision: 0, modRevision };
  return { type: "put", key, value: kv.value, createRevision: Number(kv.create_revision), modRevision };
}

function rangeEnd(prefix: string): Buffer {
  const end = prefixEnd(prefix);
  return end === undefined ? NO_END : Buffer.from(end);
}

function isTransient(error: unknown): boolean {
  const failure = classify(error);
  return failure === "not-sent" || failure === "unavailable";
}
