import { Worker } from "node:worker_threads";
import { type Clock, RealClock } from "#pkg/util/index.ts";
import { ExpiryTimers } from "../expiry-timers.ts";
import { LiveWatches } from "../live-watches.ts";
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
import {
  APPLIED,
  buffersOf,
  FAILED,
  type Operation,
  OUTCOME_NUMBERS,
  packOperations,
  type Reply,
  type RequestBody,
  type Row,
  unpackRows,
} from "./protocol.ts";

export interface SqliteStoreOptions {
  /** The database file; its directory must exist. Created with mode 0600. */
  readonly path: string;
  /** For expiry. */
  readonly clock?: Clock;
  /**
   * Entry of the thread. Default: `worker.ts` beside this file, or `sqlite-worker.js` beside the bundle this file has
   * become part of.
   */
  readonly workerEntry?: URL | string;
  /** Told once when the thread has ended though nobody closed the store, which then rejects everything. */
  readonly onFailure?: (error: Error) => void;
}

interface QueuedWrite extends Operation {
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: Error) => void;
}
interface PendingRequest {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: Error) => void;
}

/** Bounds of one commit. */
const MAX_COMMIT_WRITES = 1000;
const MAX_COMMIT_BYTES = 16 * 1024 * 1024;
/** Writes that may wait for their turn; far more than the API server lets in at a time. */
const MAX_QUEUED_WRITES = 100_000;

/**
 * Opens the embedded store: one SQLite file, written by a thread of its own. Writes that arrive while a commit is on
 * its way to disk share the next one; each resolves when it is durable.
 * Rejects when the file cannot be opened, is of an unknown format, or is in use by another process.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const worker = new Worker(options.workerEntry ?? defaultWorkerEntry(), {
    workerData: { path: options.path },
    name: "sqlite",
  });
  const opened = await new Promise<Extract<Reply, { kind: "opened" }>>((resolve, reject) => {
    const onExit = () => reject(new Error("the SQLite thread ended before it had opened the database"));
    worker.once("error", reject);
    worker.once("exit", onExit);
    worker.once("message", (reply: Extract<Reply, { kind: "opened" }>) => {
      worker.off("error", reject);
      worker.off("exit", onExit);
      resolve(reply);
    });
  });
  return new SqliteStore(worker, opened, options.clock ?? new RealClock(), options.onFailure);
}

function defaultWorkerEntry(): URL {
  const entry = import.meta.url.endsWith(".ts") ? "./worker.ts" : "./sqlite-worker.js";
  return new URL(entry, import.meta.url);
}

class SqliteStore implements Store {
  readonly #worker: Worker;
  readonly #clock: Clock;
  readonly #watches: LiveWatches;
  readonly #expiry: ExpiryTimers;
  readonly #requests = new Map<number, PendingRequest>();
  #lastId = 0;
  #queue: QueuedWrite[] = [];
  #committing = false;
  #closing: Promise<void> | undefined;
  /** Told when no write is queued or under way. */
  #idle: (() => void) | undefined;
  /** Why the thread is gone. */
  #failure: Error | undefined;

  constructor(
    worker: Worker,
    opened: Extract<Reply, { kind: "opened" }>,
    clock: Clock,
    onFailure: SqliteStoreOptions["onFailure"],
  ) {
    this.#worker = worker;
    this.#clock = clock;
    this.#watches = new LiveWatches(opened.revision, (prefix, from, to) => this.#history(prefix, from, to));
    this.#expiry = new ExpiryTimers(clock, async (key, expectedModRevision) => {
      await this.write({ key, value: undefined, expectedModRevision });
    });
    const { keys, numbers } = opened.expiries;
    for (const [index, key] of keys.entries()) this.#expiry.set(key, numbers[index * 2]!, numbers[index * 2 + 1]!);
    worker.on("message", (reply: Reply) => this.#receive(reply));
    const failed = (error: Error) => {
      if (this.#failure === undefined) onFailure?.(error);
      this.#fail(error);
    };
    worker.on("error", (cause) => failed(new Error("the SQLite thread failed", { cause })));
    worker.on("exit", () => {
      if (this.#closing === undefined) failed(new Error("the SQLite thread ended"));
      else this.#fail(new Error("the store is closed"));
    });
  }
  async currentRevision(): Promise<number> {
    this.#checkOpen();
    return this.#watches.revision;
  }
  async get(
    key: string,
    { revision }: { revision?: number } = {},
  ): Promise<{ kv: KeyValue | undefined; revision: number }> {
    const reply = await this.#rows({ kind: "get", key, revision });
    return { kv: reply.rows.map(keyValueOf)[0], revision: reply.revision };
  }
  async range(prefix: string, { revision, limit, startAfter }: RangeOptions = {}): Promise<RangeResult> {
    const reply = await this.#rows({ kind: "range", prefix, revision, limit, startAfter });
    return { kvs: reply.rows.map(keyValueOf), count: reply.count, revision: reply.revision };
  }
  write({ key, value, expectedModRevision = -1, ttlSeconds }: WriteOperation): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#checkOpen();
      if (this.#queue.length >= MAX_QUEUED_WRITES) throw new Error("too many writes are waiting for the disk");
      const expiresAt = ttlSeconds === undefined || value === undefined ? 0 : this.#clock.now() + ttlSeconds * 1000;
      this.#queue.push({ key, value, expectedModRevision, expiresAt, resolve, reject });
      // What else is written in this turn of the event loop shares the commit.
      if (this.#queue.length === 1 && !this.#committing) queueMicrotask(() => this.#flush());
    });
  }
  watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncIterable<StoreWatchBatch> {
    return this.#watches.watch(prefix, fromRevision, signal);
  }
  async compact(revision: number): Promise<void> {
    await this.#request({ kind: "compact", revision });
  }
  async size(): Promise<number> {
    const reply = await this.#request({ kind: "size" });
    if (reply.kind !== "number") throw unexpected(reply);
    return reply.value;
  }
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#expiry.close();
    this.#watches.close();
    if (this.#failure !== undefined) return;
    const exited = new Promise<void>((resolve) => this.#worker.once("exit", () => resolve()));
    // Behind what is queued: an accepted write is still carried out.
    while (this.#queue.length > 0 || this.#committing) await new Promise<void>((resolve) => (this.#idle = resolve));
    if (this.#failure === undefined) await this.#send({ kind: "close" }, []);
    await exited;
  }
  #flush(): void {
    if (this.#committing || this.#queue.length === 0 || this.#failure !== undefined) return;
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && count < MAX_COMMIT_WRITES && bytes < MAX_COMMIT_BYTES) {
      bytes += this.#queue[count++]!.value?.length ?? 0;
    }
    const writes = count === this.#queue.length ? this.#queue : this.#queue.slice(0, count);
    this.#queue = count === this.#queue.length ? [] : this.#queue.slice(count);
    this.#committing = true;
    const operations = packOperations(writes);
    this.#send({ kind: "commit", operations }, buffersOf(operations)).then(
      (reply) => this.#committed(writes, reply),
      (error: Error) => {
        this.#committing = false;
        for (const write of writes) write.reject(error);
        this.#next();
      },
    );
  }
  #committed(writes: readonly QueuedWrite[], reply: Reply): void {
    if (reply.kind !== "committed") throw unexpected(reply);
    this.#committing = false;
    this.#next(); // The disk need not wait for us.
    const { revision, outcomes } = reply;
    const current = (reply.current === undefined ? [] : unpackRows(reply.current)).values();
    const events: StoreEvent[] = [];
    const results = writes.map(({ key, value, expiresAt }, index): WriteResult => {
      const at = index * OUTCOME_NUMBERS;
      const status = outcomes[at];
      const createRevision = outcomes[at + 1]!;
      const modRevision = outcomes[at + 2]!;
      if (status === FAILED) {
        const row = outcomes[at + 3] === 1 ? current.next().value : undefined;
        return { ok: false, current: row === undefined ? undefined : keyValueOf(row), revision: modRevision };
      }
      if (status === APPLIED) {
        events.push(eventOf({ key, value, createRevision, modRevision }));
        if (expiresAt === 0) this.#expiry.clear(key);
        else this.#expiry.set(key, modRevision, expiresAt);
      }
      return { ok: true, revision: modRevision };
    });
    // Watchers first: a write that resolves has been published.
    if (revision > this.#watches.revision) this.#watches.publish(events, revision);
    for (const [index, write] of writes.entries()) write.resolve(results[index]!);
  }
  #next(): void {
    if (this.#queue.length > 0) this.#flush();
    else this.#idle?.();
  }

  async #history(prefix: string, from: number, to: number): Promise<StoreWatchBatch> {
    const { rows, revision } = await this.#rows({ kind: "history", prefix, from, to });
    return { revision, events: rows.map(eventOf) };
  }
  async #rows(request: RequestBody): Promise<{ rows: Row[]; count: number; revision: number }> {
    const reply = await this.#request(request);
    if (reply.kind !== "rows") throw unexpected(reply);
    return { rows: unpackRows(reply.rows), count: reply.count, revision: reply.revision };
  }
  #request(request: RequestBody): Promise<Reply> {
    this.#checkOpen();
    return this.#send(request, []);
  }
  #send(request: RequestBody, transfer: ArrayBuffer[]): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#requests.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id }, transfer);
    });
  }
  #receive(reply: Reply): void {
    if (reply.kind === "opened") return;
    const pending = this.#requests.get(reply.id);
    this.#requests.delete(reply.id);
    if (reply.kind === "compacted") pending?.reject(new CompactedError(reply.compactRevision));
    else if (reply.kind === "future") pending?.reject(new FutureRevisionError(reply.currentRevision));
    else if (reply.kind === "failed") pending?.reject(new Error(`SQLite: ${reply.message}`));
    else pending?.resolve(reply);
  }
  #checkOpen(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#closing !== undefined) throw new Error("the store is closed");
  }
  #fail(error: Error): void {
    this.#failure ??= error;
    this.#expiry.close();
    this.#watches.close();
    for (const write of this.#queue.splice(0)) write.reject(this.#failure);
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.reject(this.#failure);
    this.#idle?.();
  }
}

function keyValueOf({ key, value, createRevision, modRevision }: Row): KeyValue {
  return { key, value: value ?? new Uint8Array(), createRevision, modRevision };
}

function eventOf({ key, value, createRevision, modRevision }: Row): StoreEvent {
  return value === undefined
    ? { type: "delete", key, createRevision, modRevision }
    : { type: "put", key, value, createRevision, modRevision };
}

function unexpected(reply: Reply): Error {
  return new Error(`unexpected reply of the SQLite thread: ${reply.kind}`);
}
