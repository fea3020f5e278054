/**
 * How components talk to the API: Client for requests, SharedInformer and Lister for cached reads, Reconciler for
 * control loops. Components (controllers, scheduler, kubelet, proxy, add-ons) depend on these and on nothing behind them.
 */
import type { AnyObject, ObjectKey } from "#pkg/apimachinery/index.ts";
import type { ObjectMeta } from "#pkg/api/types/meta-v1.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Logger } from "#pkg/util/index.ts";

/** An object about to be created: metadata need not be complete yet. */
export type Draft<T> = Omit<T, "metadata"> & { metadata: ObjectMeta };

/** Options of every request. */
export interface RequestOptions {
  readonly signal?: AbortSignal;
  /** Writes only: go through validation and admission without storing anything. */
  readonly dryRun?: boolean;
}
export interface RawOptions extends RequestOptions {
  /** The form of JSON wanted, where a path has several. Default: application/json. */
  readonly accept?: string;
}
/** What to list, and how current the list must be. */
export interface ListOptions extends RequestOptions {
  /** undefined or "" lists all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: "Exact" | "NotOlderThan";
  readonly limit?: number;
  readonly continue?: string;
  /** Only apiVersion, kind and metadata of each object (PartialObjectMetadata). */
  readonly metadataOnly?: boolean;
}
/** A page of a list. */
export interface List<T> {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
  items: T[];
}
/** A change of an object, or a bookmark: how far the watch has come. */
export type WatchEvent<T> =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T }
  | {
      readonly type: "BOOKMARK";
      readonly object: { metadata: { resourceVersion: string; annotations?: Record<string, string> } };
    };
/** What to watch, and from where on. */
export interface WatchOptions extends Omit<ListOptions, "limit" | "continue"> {
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: boolean;
  readonly timeoutSeconds?: number;
  /** Leaves metadata.managedFields out of the objects, which is cheaper. */
  readonly omitManagedFields?: boolean;
}
/** How to delete, and only if what. */
export interface DeleteOptions extends RequestOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: "Background" | "Foreground" | "Orphan";
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}
/** JSON patch (RFC 6902), merge patch (RFC 7386), strategic merge patch, server-side apply. */
export type PatchType = "json" | "merge" | "strategic" | "apply";
/** What a patch is applied to, and in whose name. */
export interface PatchOptions extends RequestOptions {
  readonly subresource?: string;
  /** Required for "apply". */
  readonly fieldManager?: string;
  readonly force?: boolean;
}

/** A typed API client. Every method rejects with StatusError for an API failure, ConnectionError when there was none. */
export interface Client {
  get<T extends AnyObject>(resource: ResourceRef<T>, key: ObjectKey, options?: RequestOptions): Promise<T>;
  list<T extends AnyObject>(resource: ResourceRef<T>, options?: ListOptions): Promise<List<T>>;
  /** Events until the server ends the watch or `signal` aborts. An ERROR event is thrown as StatusError. */
  watch<T extends AnyObject>(resource: ResourceRef<T>, options?: WatchOptions): AsyncIterable<WatchEvent<T>>;
  create<T extends AnyObject>(resource: ResourceRef<T>, object: Draft<T>, options?: RequestOptions): Promise<T>;
  update<T extends AnyObject>(resource: ResourceRef<T>, object: T, options?: RequestOptions): Promise<T>;
  updateStatus<T extends AnyObject>(resource: ResourceRef<T>, object: T, options?: RequestOptions): Promise<T>;
  patch<T extends AnyObject>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    type: PatchType,
    patch: unknown,
    options?: PatchOptions,
  ): Promise<T>;
  delete<T extends AnyObject>(resource: ResourceRef<T>, key: ObjectKey, options?: DeleteOptions): Promise<void>;
  deleteCollection<T extends AnyObject>(
    resource: ResourceRef<T>,
    namespace: string,
    options?: DeleteOptions & Pick<ListOptions, "labelSelector" | "fieldSelector">,
  ): Promise<void>;
  /** POST to a subresource: binding, eviction, token. Returns the parsed response. */
  createSubresource<T extends AnyObject, B, R>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    subresource: string,
    body: B,
    options?: RequestOptions,
  ): Promise<R>;
  /** PUT to a subresource: scale, finalize, approval, resize. */
  updateSubresource<T extends AnyObject, B, R>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    subresource: string,
    body: B,
    options?: RequestOptions,
  ): Promise<R>;
  /** Any other request (discovery, raw paths). Returns parsed JSON. */
  raw<R>(method: string, path: string, body?: unknown, options?: RawOptions): Promise<R>;
}

/** No response came: connection refused, reset, TLS failure, timeout. `cause` has the reason. */
export class ConnectionError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "ConnectionError";
  }
}

/** Read access to an informer's cache. Objects are shared: never change them (copy first). */
export interface Lister<T> {
  get(key: ObjectKey): T | undefined;
  /** undefined or "": all namespaces. */
  list(namespace?: string): T[];
  /** Objects whose index function returned `value`; the index was named when the informer was made. */
  byIndex(index: string, value: string): T[];
}
/** Told of every change of an informer's cache, after the cache has it. */
export interface EventHandler<T> {
  onAdd?(object: T, isInInitialList: boolean): void;
  onUpdate?(object: T, old: T): void;
  onDelete?(object: T): void;
}
/** A cache that follows a resource, and whoever wants to hear of its changes. */
export interface SharedInformer<T> {
  readonly lister: Lister<T>;
  /** Resolves when the first list has been delivered to the cache and its handlers. */
  synced(signal?: AbortSignal): Promise<void>;
  addHandler(handler: EventHandler<T>): () => void;
  /** Adds an index (before or after start); one of the same name must be the same and is added once. Keys are strings the function derives from an object. */
  addIndex(name: string, keys: (object: T) => string[]): void;
}
/** What an informer caches of its resource; by default everything. */
export interface InformerOptions {
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  readonly namespace?: string;
  /** Cache only PartialObjectMetadata. */
  readonly metadataOnly?: boolean;
}
/** One informer per resource, shared by all components of a process; started together. */
export interface InformerFactory {
  informer<T extends AnyObject>(resource: ResourceRef<T>, options?: InformerOptions): SharedInformer<T>;
  /** Stops the informer of this resource and options and forgets it (a CRD has gone). */
  stop<T extends AnyObject>(resource: ResourceRef<T>, options?: InformerOptions): void;
  /** Starts all informers made so far (idempotent) until the signal aborts. */
  start(signal: AbortSignal): void;
  /** Resolves when every started informer has synced. */
  synced(signal?: AbortSignal): Promise<void>;
}

/** What a reconciler is given besides the key. */
export interface ReconcileContext {
  readonly log: Logger;
  readonly signal: AbortSignal;
}
/** When to look again; by default when something changes. */
export type Result = { readonly requeueAfterMs?: number };
/** There is nothing to do until something changes. */
export const DONE: Result = Object.freeze({});

/** A control loop's body. Throw to retry with backoff, throw TerminalError to give up until the next event. */
export interface Reconciler<K = ObjectKey> {
  reconcile(key: K, context: ReconcileContext): Promise<Result>;
}
/** A failure that repeating cannot mend. */
export class TerminalError extends Error {}

/** Work queue: a key is held once however often it is added, and never processed by two workers at once. */
export interface WorkQueue<K> {
  add(key: K): void;
  addAfter(key: K, delayMs: number): void;
  /** With per-key exponential backoff: 5 ms doubling to 1000 s, as upstream's default limiter. */
  addRateLimited(key: K): void;
  forget(key: K): void;
  readonly length: number;
}

/** A control loop as the list of controllers names it: what it watches and how it starts. */
export interface Controller {
  /** Upstream's name, e.g. "replicaset-controller". */
  readonly name: string;
  /** Runs until the signal aborts; resolves after its workers have stopped. */
  run(signal: AbortSignal): Promise<void>;
}

/** Records Events with upstream's aggregation and spam filter. Never rejects; failures are logged. */
export interface EventRecorder {
  /** `fieldPath` names the part of the object meant, e.g. `spec.containers{web}`. */
  event(object: AnyObject, type: "Normal" | "Warning", reason: string, message: string, fieldPath?: string): void;
}

/** Something that was done about an object, in the terms of events.k8s.io/v1. */
export interface EventReport {
  readonly regarding: AnyObject;
  /** The other object that took part, e.g. the pod for which this one had to go. */
  readonly related?: AnyObject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  /** What was done or tried, e.g. Binding. */
  readonly action: string;
  readonly note: string;
  /** Who reports, e.g. the name of the scheduler's profile. */
  readonly controller: string;
}
/** Records events.k8s.io/v1 Events, repeated ones as a series. Never rejects; failures are logged. */
export interface SeriesRecorder {
  report(report: EventReport): void;
}
