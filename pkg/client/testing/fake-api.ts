import { alreadyExists, conflict, expired, isRecord, notFound, StatusError } from "#pkg/apimachinery/index.ts";
import type { AnyObject, KubeObject } from "#pkg/apimachinery/index.ts";
import { applyMergePatch } from "#pkg/apimachinery/index.ts";
import type { HandlerRequest, HandlerResponse, HandlerStream, RequestHandler } from "../transport/handler.ts";

interface Watcher {
  readonly collection: string;
  readonly namespace: string;
  readonly stream: HandlerStream;
}
interface Change {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly path: string;
  readonly object: KubeObject;
  readonly revision: number;
}

/** A small working API server for the client's tests: any resource, whole objects, list and watch with history. */
export class FakeApi implements RequestHandler {
  readonly objects = new Map<string, KubeObject>();
  readonly requests: { method: string; url: string; body: string }[] = [];
  /** Set to answer requests with a failure: return undefined to serve them. */
  intercept: (request: HandlerRequest) => StatusError | undefined = () => undefined;
  knowsStreamedLists = true;
  #revision = 100;
  #history: Change[] = [];
  #watchers = new Set<Watcher>();

  get revision(): number {
    return this.#revision;
  }
  get watcherCount(): number {
    return this.#watchers.size;
  }
  /** Loses history: watches from older revisions are answered with 410. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.#revision;
  }
  #compacted = 0;
  /** Breaks all watches as a dying connection does. */
  dropWatches(): void {
    for (const watcher of this.#watchers) watcher.stream.destroy();
    this.#watchers.clear();
  }
  put(collection: string, object: AnyObject): KubeObject {
    const path = objectPath(collection, object);
    const type = this.objects.has(path) ? "MODIFIED" : "ADDED";
    return this.#commit(type, path, object);
  }
  remove(collection: string, namespace: string, name: string): void {
    const path = objectPath(collection, { metadata: { namespace, name } });
    const object = this.objects.get(path);
    if (object !== undefined) this.#commit("DELETED", path, object);
  }

  async handle(request: HandlerRequest, response: HandlerResponse): Promise<void> {
    const body = (await request.body()).toString();
    this.requests.push({ method: request.method, url: request.url, body });
    try {
      const failure = this.intercept(request);
      if (failure !== undefined) throw failure;
      this.#serve(request, body, response);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      const seconds = error.details?.retryAfterSeconds;
      const headers: Record<string, string> = seconds === undefined ? {} : { "retry-after": String(seconds) };
      send(response, error.code, error.status, headers);
    }
  }

  #serve(request: HandlerRequest, body: string, response: HandlerResponse): void {
    const url = new URL(request.url, "http://fake");
    const target = parsePath(url.pathname);
    if (target.name === "" && request.method === "GET") {
      if (url.searchParams.get("watch") === "true") this.#watch(target, url.searchParams, request, response);
      else this.#list(target, response);
      return;
    }
    const subject = { group: "", resource: target.collection.split("/").at(-1) ?? "" };
    if (request.method === "POST" && target.name === "") {
      const draft = JSON.parse(body) as KubeObject;
      const object = { ...draft, metadata: { ...draft.metadata, uid: `uid-${this.#revision + 1}` } };
      const path = objectPath(target.collection, object);
      if (this.objects.has(path)) throw alreadyExists(subject, object.metadata.name ?? "");
      send(response, 201, this.#commit("ADDED", path, object));
      return;
    }
    const path = `${target.collection}|${target.namespace}|${target.name}`;
    const current = this.objects.get(path);
    if (current === undefined) throw notFound(subject, target.name);
    if (request.method === "GET") send(response, 200, current);
    else if (request.method === "DELETE") send(response, 200, this.#commit("DELETED", path, current));
    else if (request.method === "PATCH") {
      send(response, 200, this.#commit("MODIFIED", path, applyMergePatch(current, JSON.parse(body)) as KubeObject));
    } else {
      const object = JSON.parse(body) as KubeObject;
      const expected = object.metadata.resourceVersion;
      if (expected !== undefined && expected !== current.metadata.resourceVersion) {
        throw conflict(subject, target.name, "the object has been modified");
      }
      send(response, 200, this.#commit("MODIFIED", path, object));
    }
  }

  #list({ collection, namespace }: Target, response: HandlerResponse): void {
    const items = this.#matching(collection, namespace).map(({ apiVersion: _a, kind: _k, ...item }) => item);
    send(response, 200, { kind: "List", metadata: { resourceVersion: String(this.#revision) }, items });
  }
  #watch(
    { collection, namespace }: Target,
    query: URLSearchParams,
    request: HandlerRequest,
    response: HandlerResponse,
  ): void {
    const streamed = query.get("sendInitialEvents") === "true";
    if (streamed && !this.knowsStreamedLists) {
      throw new StatusError({
        status: "Failure",
        reason: "Invalid",
        code: 422,
        message: "sendInitialEvents is forbidden",
      });
    }
    const from = Number(query.get("resourceVersion") ?? "0");
    if (!streamed && from < this.#compacted) throw expired("too old resource version");
    const stream = response.stream(200, { "content-type": "application/json" });
    if (streamed) {
      for (const object of this.#matching(collection, namespace)) stream.write(line({ type: "ADDED", object }));
      const annotations = { "k8s.io/initial-events-end": "true" };
      const metadata = { resourceVersion: String(this.#revision), annotations };
      stream.write(line({ type: "BOOKMARK", object: { metadata } }));
    } else {
      for (const { type, path, object, revision } of this.#history) {
        if (revision > from && matches(path, collection, namespace)) stream.write(line({ type, object }));
      }
    }
    const watcher = { collection, namespace, stream };
    this.#watchers.add(watcher);
    request.signal.addEventListener("abort", () => this.#watchers.delete(watcher));
  }

  #matching(collection: string, namespace: string): KubeObject[] {
    return [...this.objects].filter(([path]) => matches(path, collection, namespace)).map(([, object]) => object);
  }
  #commit(type: Change["type"], path: string, draft: AnyObject): KubeObject {
    const revision = ++this.#revision;
    const object = { ...draft, metadata: { ...draft.metadata, resourceVersion: String(revision) } };
    if (type === "DELETED") this.objects.delete(path);
    else this.objects.set(path, object);
    this.#history.push({ type, path, object, revision });
    for (const { collection, namespace, stream } of this.#watchers) {
      if (matches(path, collection, namespace)) stream.write(line({ type, object }));
    }
    return object;
  }
}

interface Target {
  readonly collection: string;
  readonly namespace: string;
  readonly name: string;
}

function parsePath(path: string): Target {
  const [, prefix, root, namespace = "", plural, name = ""] =
    /^(\/api\/v1|\/apis\/[^/]+\/[^/]+)(\/namespaces\/([^/]+)(?=\/[^/]))?\/([^/]+)(?:\/([^/]+))?(?:\/[^/]+)?$/.exec(
      path,
    ) ?? [];
  if (prefix === undefined || plural === undefined)
    throw notFound({ group: "", resource: "path" }, `${path}${root ?? ""}`);
  return { collection: `${prefix}/${plural}`, namespace, name };
}
function objectPath(collection: string, object: AnyObject): string {
  return `${collection}|${object.metadata.namespace ?? ""}|${object.metadata.name ?? ""}`;
}
function matches(path: string, collection: string, namespace: string): boolean {
  return path.startsWith(namespace === "" ? `${collection}|` : `${collection}|${namespace}|`);
}
function line(event: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(event)}\n`);
}
function send(response: HandlerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  if (!isRecord(body)) throw new Error("a response body is an object");
  response.send(status, { "content-type": "application/json", ...headers }, Buffer.from(JSON.stringify(body)));
}
