/**
 * Watches: events of the watch cache, framed for one client. What all watchers of an event see alike is encoded once.
 */
import { encodeEnvelope, encodeWatchFrame } from "#pkg/apimachinery/protobuf/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { Status } from "#pkg/api/types/meta-v1.ts";
import { CompactedError } from "#pkg/storage/index.ts";
import { expired, internalError, notAcceptable, StatusError } from "#pkg/apimachinery/index.ts";
import type { CacheEntry, CacheEvent, CacheWatchOptions } from "#pkg/storage/cacher/index.ts";
import type { ResponseStream } from "../contract.ts";
import { contentTypeOf, type Encoding, type Negotiated } from "../http/negotiate.ts";
import { encodeStatus } from "../http/reply.ts";
import type { Call } from "./call.ts";
import type { InstalledResource } from "./installed.ts";
import { type ListOptions, parseListOptions, parseRevision } from "./options.ts";
import {
  encodeEntry,
  encodePartial,
  type IncludeObject,
  includeObjectOf,
  negotiate,
  partialJson,
  partialOf,
} from "./represent.ts";
import { selectionOf } from "./selection.ts";
import { tableOf } from "./table.ts";

export type EventType = "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";

const watchHeaders = (encoding: Encoding) =>
  Object.freeze({ "content-type": contentTypeOf(encoding, true), "cache-control": "no-cache, private" });
const WATCH_HEADERS = {
  json: watchHeaders("json"),
  yaml: watchHeaders("yaml"),
  protobuf: watchHeaders("protobuf"),
};

/** A watch without timeoutSeconds ends after half an hour to an hour, so that clients spread over servers again. */
const MIN_TIMEOUT_SECONDS = 1800;
const INITIAL_EVENTS_END = "k8s.io/initial-events-end";

/** GET with watch=true. Resolves when the watch has ended. */
export async function watchObjects(call: Call): Promise<void> {
  const { installed, services, target } = call;
  const options = parseListOptions(target.query, true);
  const negotiated = negotiate(call);
  if (negotiated.encoding === "yaml") throw notAcceptable("watches are served as JSON or protobuf");
  if (negotiated.transform === "Table" && negotiated.encoding === "protobuf") {
    throw notAcceptable("Table is served as application/json or application/yaml");
  }
  const selection = selectionOf(installed, target, options);
  const start = await startOf(call, options);
  if (call.request.signal.aborted) return;
  const stream = call.response.stream(200, WATCH_HEADERS[negotiated.encoding]);
  const framer = new Framer(call, negotiated, includeObjectOf(call));
  const { matches } = selection;
  const abort = new AbortController();
  const seconds =
    options.timeoutSeconds !== undefined && options.timeoutSeconds > 0
      ? options.timeoutSeconds
      : MIN_TIMEOUT_SECONDS + services.random.int(MIN_TIMEOUT_SECONDS);
  const stopTimer = services.clock.schedule(seconds * 1000, () => abort.abort());
  const onClientGone = (): void => abort.abort();
  call.request.signal.addEventListener("abort", onClientGone, { once: true });
  const initial = start.initial;
  framer.started = initial === "none";
  const inOrder = new InOrder(installed, () => abort.abort());
  await new Promise<void>((resolve) => {
    installed.cache!.watch({
      namespace: selection.namespace,
      ...(selection.name === undefined ? {} : { name: selection.name }),
      ...(selection.index === undefined ? {} : { index: selection.index }),
      ...(start.fromRevision === undefined ? {} : { fromRevision: start.fromRevision }),
      signal: abort.signal,
      onEvent: inOrder.events((event) => {
        const frame = matches === undefined ? framer.plain(event) : framer.selected(event, matches);
        if (frame === undefined) return undefined;
        installed.sentEvents.add(frame.length);
        return stream.write(frame) ? undefined : stream.drained();
      }),
      onProgress: inOrder.after((revision: number) => {
        // The first progress only says that the initial state is complete.
        const initialDone = !framer.started && initial !== "none";
        framer.started = true;
        if (initialDone) call.turn?.release();
        if (initialDone) {
          if (initial === "events-and-bookmark") stream.write(framer.bookmark(revision, true));
        } else if (options.allowWatchBookmarks) stream.write(framer.bookmark(revision, false));
      }),
      onEnd: inOrder.after((reason: EndReason, error?: Error) => {
        endStream(stream, framer, reason, inOrder.failure ?? (reason === "expired" ? tooOld(start, error) : error));
        resolve();
      }),
    });
    if (initial === "none") call.turn?.release();
  });
  stopTimer();
  call.request.signal.removeEventListener("abort", onClientGone);
}

type EndReason = "aborted" | "slow" | "expired" | "error";

/** Events whose objects a conversion webhook is asked for at the same time. */
const MAX_WAITING_EVENTS = 100;

/** Hands events on one after the other, each when its objects can be read in the watcher's version. */
class InOrder {
  readonly #installed: InstalledResource;
  readonly #onFailure: () => void;
  #last: Promise<void> | undefined;
  #waiting = 0;
  /** Why the watch cannot go on. */
  failure: StatusError | undefined;

  constructor(installed: InstalledResource, onFailure: () => void) {
    this.#installed = installed;
    this.#onFailure = onFailure;
  }
  events(deliver: CacheWatchOptions["onEvent"]): CacheWatchOptions["onEvent"] {
    return (event) => {
      if (this.#last === undefined && !this.#installed.convertsByAsking) return deliver(event);
      if (this.failure !== undefined) return undefined;
      this.#waiting++;
      const prepared = this.#installed.prepare([event.entry, event.previous]);
      this.#append(async () => {
        await prepared;
        this.#waiting--;
        if (this.failure === undefined) await deliver(event);
      });
      // Nobody may be waiting for it yet when it fails.
      prepared?.catch(() => undefined);
      return this.#waiting < MAX_WAITING_EVENTS ? undefined : this.#last;
    };
  }
  /** The callback, run when everything before it has been delivered. */
  after<T extends unknown[]>(callback: (...args: T) => void): (...args: T) => void {
    return (...args) => {
      if (this.#last === undefined) callback(...args);
      else this.#append(() => callback(...args));
    };
  }
  #append(work: () => void | Promise<void>): void {
    this.#last = (this.#last ?? Promise.resolve()).then(work).catch((error: unknown) => {
      this.failure ??= error instanceof StatusError ? error : internalError(String(error));
      this.#onFailure();
    });
  }
}

/** Why a watch cannot go on: with the revisions asked for and remembered, where they are known. */
function tooOld({ fromRevision }: WatchStart, error: Error | undefined): StatusError {
  const known = fromRevision !== undefined && error instanceof CompactedError;
  return expired(`too old resource version${known ? `: ${fromRevision} (${error.compactRevision})` : ""}`);
}

function endStream(stream: ResponseStream, framer: Framer, reason: EndReason, error: Error | undefined): void {
  if (error instanceof StatusError) stream.write(framer.error(error.status));
  else if (reason === "error") {
    stream.write(framer.error(internalError(error?.message ?? "the watch failed").status));
  }
  stream.end();
}

interface WatchStart {
  /** undefined: the present state comes first, as ADDED events. */
  readonly fromRevision: number | undefined;
  readonly initial: "none" | "events" | "events-and-bookmark";
}

/** Where a watch begins under the rules about resourceVersion and sendInitialEvents. */
async function startOf(call: Call, options: ListOptions): Promise<WatchStart> {
  const { resourceVersion, sendInitialEvents, allowWatchBookmarks } = options;
  const unset = resourceVersion === "" || resourceVersion === "0";
  const revision = unset ? 0 : parseRevision(resourceVersion);
  if (sendInitialEvents === true) {
    // Not older than the revision asked for: the state at that moment or later comes first.
    if (revision > 0) await call.installed.cache!.get("", "-", { atLeast: revision });
    return { fromRevision: undefined, initial: allowWatchBookmarks ? "events-and-bookmark" : "events" };
  }
  if (sendInitialEvents === false && unset) {
    const { revision: present } = await call.installed.cache!.list({ limit: 1, name: "-" });
    return { fromRevision: present, initial: "none" };
  }
  return unset ? { fromRevision: undefined, initial: "events" } : { fromRevision: revision, initial: "none" };
}

/** Turns events into frames of one encoding. Those of the latest events are shared by all watchers. */
class Framer {
  readonly #installed: InstalledResource;
  readonly #encoding: Encoding;
  readonly #transform: Negotiated["transform"];
  readonly #metaVersion: Negotiated["metaVersion"];
  /** Without metadata.managedFields, where they can be left out. */
  readonly #lean: boolean;
  readonly #include: IncludeObject;
  readonly #clock: Call["services"]["clock"];
  /** Names what this watch's frames look like, by type of event. */
  readonly #forms: Readonly<Record<EventType, string>>;
  #columnsSent = false;
  /** The initial state has been sent. */
  started = false;

  constructor(call: Call, negotiated: Negotiated, include: IncludeObject) {
    this.#installed = call.installed;
    this.#encoding = negotiated.encoding;
    this.#transform = negotiated.transform;
    this.#metaVersion = negotiated.metaVersion;
    this.#lean = negotiated.lean && negotiated.encoding === "json" && negotiated.transform === "none";
    this.#include = include;
    this.#clock = call.services.clock;
    const form = `${negotiated.encoding}/${negotiated.transform}/${negotiated.metaVersion}${this.#lean ? "/lean" : ""}`;
    this.#forms = {
      ADDED: `ADDED ${form}`,
      MODIFIED: `MODIFIED ${form}`,
      DELETED: `DELETED ${form}`,
      BOOKMARK: `BOOKMARK ${form}`,
      ERROR: `ERROR ${form}`,
    };
  }
  plain(event: CacheEvent): Buffer {
    return this.#frame(event.type, event.entry);
  }
  /** An object that begins to match is ADDED for this watcher, one that stops matching DELETED. */
  selected(event: CacheEvent, matches: (entry: CacheEntry) => boolean): Buffer | undefined {
    const { type, entry, previous } = event;
    const before = previous !== undefined && matches(previous);
    if (type === "DELETED")
      return before || (previous === undefined && matches(entry)) ? this.#frame(type, entry) : undefined;
    const now = matches(entry);
    if (now) return this.#frame(before ? "MODIFIED" : "ADDED", entry);
    if (!before) return undefined;
    // The last state that matched, at the revision of the change.
    const object = this.#installed.object(previous);
    const metadata = { ...object.metadata, resourceVersion: String(event.revision) };
    return this.#frameObject("DELETED", { ...object, metadata });
  }
  bookmark(revision: number, initialEventsEnd: boolean): Buffer {
    const { apiVersion, definition } = this.#installed;
    const annotations = initialEventsEnd ? { annotations: { [INITIAL_EVENTS_END]: "true" } } : {};
    const metadata = { resourceVersion: String(revision), ...annotations };
    const object = { kind: definition.kind, apiVersion, metadata } as unknown as KubeObject;
    return this.#frameObject("BOOKMARK", object);
  }
  error(status: Status): Buffer {
    return this.#wrap("ERROR", encodeStatus(this.#encoding, status));
  }

  #frame(type: EventType, entry: CacheEntry): Buffer {
    const installed = this.#installed;
    // The first Table of a watch differs from the others.
    if (this.#transform === "Table") return this.#frameObject(type, installed.object(entry));
    const form = this.#forms[type];
    const frames = installed.frames.of(entry);
    return frames.get(form) ?? installed.frames.add(frames, form, this.#make(type, entry));
  }
  #make(type: EventType, entry: CacheEntry): Buffer {
    const installed = this.#installed;
    if (this.#lean) return wrapJson(type, installed.leanJson(entry));
    if (this.#transform === "none") return this.#wrap(type, encodeEntry(installed, entry, this.#encoding));
    if (this.#encoding === "json") return wrapJson(type, partialJson(installed, entry, this.#metaVersion));
    return this.#frameObject(type, installed.object(entry));
  }
  #frameObject(type: EventType, object: Readonly<KubeObject>): Buffer {
    const { definition } = this.#installed;
    if (this.#transform === "Table") {
      const metadata = { resourceVersion: object.metadata.resourceVersion };
      const objects = type === "BOOKMARK" ? [] : [object];
      const now = this.#clock.now();
      const table = tableOf(definition, metadata, objects, this.#include, now, this.#metaVersion, !this.#columnsSent);
      this.#columnsSent = true;
      return this.#wrap(type, Buffer.from(JSON.stringify(table)));
    }
    if (this.#transform !== "none")
      return this.#wrap(type, encodePartial(this.#encoding, partialOf(object, this.#metaVersion)));
    if (this.#encoding === "protobuf") return this.#wrap(type, encodeEnvelope(definition.protobufMessage!, object));
    return this.#wrap(type, Buffer.from(JSON.stringify(object)));
  }
  #wrap(type: EventType, object: Buffer): Buffer {
    return this.#encoding === "protobuf" ? encodeWatchFrame(type, object) : wrapJson(type, [object]);
  }
}

/** A line of a JSON watch; `parts` together are the object. */
function wrapJson(type: EventType, parts: readonly Buffer[]): Buffer {
  const head = `{"type":"${type}","object":`;
  let length = head.length + 2;
  for (const part of parts) length += part.length;
  const frame = Buffer.allocUnsafe(length);
  let at = frame.write(head, 0, "latin1");
  for (const part of parts) at += part.copy(frame, at);
  frame[at] = 0x7d;
  frame[at + 1] = 0x0a;
  return frame;
}
