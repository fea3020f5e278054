import { StatusError } from "#pkg/apimachinery/index.ts";
import type { AnyObject, ObjectKey } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Clock } from "#pkg/util/index.ts";
import { sleep } from "#pkg/util/index.ts";
import type {
  Client,
  DeleteOptions,
  Draft,
  List,
  ListOptions,
  PatchOptions,
  PatchType,
  RawOptions,
  RequestOptions,
  WatchEvent,
  WatchOptions,
} from "./contract.ts";
import type { EventInterner } from "./event-interner.ts";
import { LeanEvents } from "./lean-events.ts";
import { LineSplitter } from "./lines.ts";
import { listQuery, queryString, resourcePath } from "./paths.ts";
import { statusOf } from "./status.ts";
import { collect } from "./transport/transport.ts";
import type { Transport, TransportResponse } from "./transport/transport.ts";

export interface ClientOptions {
  /** e.g. "kube-scheduler/v1.36.0+kubits.0.1.0": what audit logs and default field managers show. */
  readonly userAgent: string;
  /** With a clock, requests that the server answers with Retry-After are tried again after that time. */
  readonly clock?: Clock;
  /** Shared by clients of one process that watch the same resources. */
  readonly interner?: EventInterner;
  /** Sent with every request, e.g. impersonation. Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
}

const PATCH_TYPES: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
};
const JSON_TYPE = "application/json";
const METADATA_ONLY = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
/** A wish that our API server fulfils for watches: others ignore parameters that they do not know. */
const NO_MANAGED_FIELDS = "managedfields=omit";
const METADATA_ONLY_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/** As client-go: a throttled request is repeated at most this often. */
const MAX_RETRIES = 10;

/** A client over any transport. Closing the transport ends all its requests. */
export function createClient(transport: Transport, options: ClientOptions): Client {
  return new TransportClient(transport, options);
}

class TransportClient implements Client {
  readonly #transport: Transport;
  readonly #clock: Clock | undefined;
  readonly #interner: EventInterner | undefined;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(transport: Transport, options: ClientOptions) {
    this.#transport = transport;
    this.#clock = options.clock;
    this.#interner = options.interner;
    this.#headers = { accept: JSON_TYPE, "user-agent": options.userAgent, ...options.headers };
  }

  get<T extends AnyObject>(resource: ResourceRef<T>, key: ObjectKey, options?: RequestOptions): Promise<T> {
    return this.#request("GET", resourcePath(resource, key.namespace, key.name), undefined, options);
  }
  async list<T extends AnyObject>(resource: ResourceRef<T>, options: ListOptions = {}): Promise<List<T>> {
    const path = resourcePath(resource, options.namespace ?? "") + queryString(listQuery(options));
    const accept = options.metadataOnly === true ? `${JSON_TYPE};${METADATA_ONLY_LIST}` : JSON_TYPE;
    const list = await this.#request<List<T>>("GET", path, undefined, options, { accept });
    list.items ??= [];
    if (options.metadataOnly === true) return list;
    // Items of a list do not name their kind on the wire; everybody who shares them wants to know it.
    const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
    for (const item of list.items) {
      item.apiVersion ??= apiVersion;
      item.kind ??= resource.kind;
    }
    return list;
  }
  async *watch<T extends AnyObject>(
    resource: ResourceRef<T>,
    options: WatchOptions = {},
  ): AsyncGenerator<WatchEvent<T>> {
    const query = { ...listQuery(options), watch: "true" };
    const path = resourcePath(resource, options.namespace ?? "") + queryString(query);
    const lean = options.omitManagedFields === true;
    const form = options.metadataOnly === true ? `;${METADATA_ONLY}` : lean ? `;${NO_MANAGED_FIELDS}` : "";
    const headers = { ...this.#headers, accept: `${JSON_TYPE}${form}` };
    const response = await this.#transport.stream({ method: "GET", path, headers, signal: options.signal });
    if (response.status >= 400) throw statusOf(await collect(response));
    const parse = lean ? this.#leanParser() : (line: Buffer) => JSON.parse(line.toString()) as unknown;
    const read = (line: Buffer) => {
      const event = parse(line) as WatchEvent<T> | { type: "ERROR"; object: StatusError["status"] };
      if (event.type === "ERROR") throw new StatusError(event.object);
      return event;
    };
    const lines = new LineSplitter();
    for await (const chunk of response.body) for (const line of lines.push(chunk)) yield read(line);
    for (const line of lines.end()) yield read(line);
  }
  create<T extends AnyObject>(resource: ResourceRef<T>, object: Draft<T>, options?: RequestOptions): Promise<T> {
    const path = resourcePath(resource, object.metadata.namespace ?? "") + queryString(writeQuery(options));
    return this.#request("POST", path, typed(resource, object), options);
  }
  update<T extends AnyObject>(resource: ResourceRef<T>, object: T, options?: RequestOptions): Promise<T> {
    return this.#put(resource, object, undefined, options);
  }
  updateStatus<T extends AnyObject>(resource: ResourceRef<T>, object: T, options?: RequestOptions): Promise<T> {
    return this.#put(resource, object, "status", options);
  }
  patch<T extends AnyObject>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    type: PatchType,
    patch: unknown,
    options: PatchOptions = {},
  ): Promise<T> {
    const query = {
      ...writeQuery(options),
      ...(options.fieldManager === undefined ? {} : { fieldManager: options.fieldManager }),
      ...(options.force === undefined ? {} : { force: String(options.force) }),
    };
    const path = resourcePath(resource, key.namespace, key.name, options.subresource) + queryString(query);
    return this.#request("PATCH", path, patch, options, { "content-type": PATCH_TYPES[type] });
  }
  async delete<T extends AnyObject>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    options: DeleteOptions = {},
  ): Promise<void> {
    await this.#request("DELETE", resourcePath(resource, key.namespace, key.name), deleteBody(options), options);
  }
  async deleteCollection<T extends AnyObject>(
    resource: ResourceRef<T>,
    namespace: string,
    options: DeleteOptions & Pick<ListOptions, "labelSelector" | "fieldSelector"> = {},
  ): Promise<void> {
    const { labelSelector, fieldSelector } = options;
    const path = resourcePath(resource, namespace) + queryString(listQuery({ labelSelector, fieldSelector }));
    await this.#request("DELETE", path, deleteBody(options), options);
  }
  createSubresource<T extends AnyObject, B, R>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    subresource: string,
    body: B,
    options?: RequestOptions,
  ): Promise<R> {
    const path = resourcePath(resource, key.namespace, key.name, subresource) + queryString(writeQuery(options));
    return this.#request("POST", path, body, options);
  }
  updateSubresource<T extends AnyObject, B, R>(
    resource: ResourceRef<T>,
    key: ObjectKey,
    subresource: string,
    body: B,
    options?: RequestOptions,
  ): Promise<R> {
    const path = resourcePath(resource, key.namespace, key.name, subresource) + queryString(writeQuery(options));
    return this.#request("PUT", path, body, options);
  }
  raw<R>(method: string, path: string, body?: unknown, options: RawOptions = {}): Promise<R> {
    const { accept } = options;
    return this.#request(method, path, body, options, accept === undefined ? {} : { accept });
  }

  #leanParser(): (line: Buffer) => unknown {
    const interner = this.#interner;
    if (interner !== undefined) return (line) => interner.parse(line.toString());
    const events = new LeanEvents();
    return (line) => events.parse(line);
  }
  #put<T extends AnyObject>(
    resource: ResourceRef<T>,
    object: T,
    subresource: string | undefined,
    options: RequestOptions | undefined,
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const path = resourcePath(resource, namespace ?? "", name ?? "", subresource) + queryString(writeQuery(options));
    return this.#request("PUT", path, typed(resource, object), options);
  }

  async #request<R>(
    method: string,
    path: string,
    body: unknown,
    options: RequestOptions = {},
    extra: Readonly<Record<string, string>> = {},
  ): Promise<R> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const contentType: Record<string, string> = bytes === undefined ? {} : { "content-type": JSON_TYPE };
    const headers = { ...this.#headers, ...contentType, ...extra };
    for (let attempt = 0; ; attempt++) {
      const response = await this.#transport.request({ method, path, headers, body: bytes, signal: options.signal });
      if (response.status < 400) return parseBody(response) as R;
      const waitMs = retryAfterMs(response);
      if (waitMs === undefined || attempt >= MAX_RETRIES || this.#clock === undefined) throw statusOf(response);
      await sleep(this.#clock, waitMs, options.signal);
    }
  }
}

/** Only answers that say so may be repeated: the server has not acted on the request. */
function retryAfterMs({ status, headers }: TransportResponse): number | undefined {
  const seconds = Number(headers["retry-after"]);
  if ((status !== 429 && status < 500) || !Number.isInteger(seconds) || seconds < 0) return undefined;
  return headers["retry-after"] === "" ? undefined : seconds * 1000;
}

function parseBody({ headers, body }: TransportResponse): unknown {
  const type = headers["content-type"] ?? JSON_TYPE;
  const text = body.toString("utf8");
  if (!type.startsWith(JSON_TYPE)) return text;
  return text === "" ? undefined : JSON.parse(text);
}

function typed<T extends AnyObject>(resource: ResourceRef<T>, object: Draft<T>): unknown {
  if (object.apiVersion !== undefined && object.kind !== undefined) return object;
  const apiVersion = resource.group === "" ? resource.version : `${resource.group}/${resource.version}`;
  return { apiVersion, kind: resource.kind, ...object };
}

function writeQuery(options: RequestOptions | undefined): Record<string, string> {
  return options?.dryRun === true ? { dryRun: "All" } : {};
}

function deleteBody({ gracePeriodSeconds, propagationPolicy, preconditions, dryRun }: DeleteOptions): unknown {
  const dry = dryRun === true ? { dryRun: ["All"] } : {};
  return { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds, propagationPolicy, preconditions, ...dry };
}
