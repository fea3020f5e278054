/** List and watch: the half of an informer that talks to the server. */
import { isExpired, isStatusError } from "#pkg/apimachinery/index.ts";
import type { AnyObject, StatusError } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { sleep, pause } from "#pkg/util/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { Client, InformerOptions, WatchEvent, WatchOptions } from "../contract.ts";
import { Backoff } from "../queue/backoff.ts";

/** Where a reflector delivers what it sees. */
export interface ReflectorSink<T> {
  /** The complete present state. */
  replace(objects: T[]): void;
  apply(type: "ADDED" | "MODIFIED" | "DELETED", object: T): void;
}

export interface ReflectorDeps<T extends AnyObject> {
  readonly client: Client;
  readonly resource: ResourceRef<T>;
  readonly options: InformerOptions;
  readonly sink: ReflectorSink<T>;
  readonly clock: Clock;
  readonly random: Random | undefined;
  readonly log: Logger;
}

const INITIAL_EVENTS_END = "k8s.io/initial-events-end";
/** As client-go: a watch ends by itself after five to ten minutes. */
const MIN_WATCH_SECONDS = 300;
/** A watch that ended this soon without an event says that something is wrong with the server. */
const VERY_SHORT_WATCH_MS = 1_000;
const LIST_PAGE = 500;

/**
 * Keeps a sink equal to what the server has: the present state first (streamed, or listed where the server cannot),
 * then every change in order. Survives broken connections by resuming, lost history by starting over.
 */
export class Reflector<T extends AnyObject> {
  readonly #deps: ReflectorDeps<T>;
  readonly #backoff: Backoff;
  #resourceVersion = "";
  #streamsInitialState = true;

  constructor(deps: ReflectorDeps<T>) {
    this.#deps = deps;
    this.#backoff = new Backoff({ baseMs: 800, maxMs: 30_000, resetAfterMs: 120_000, jitter: 1, ...deps });
  }

  /** Runs until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, clock, resource } = this.#deps;
    while (!signal.aborted) {
      try {
        await this.#listAndWatch(signal);
      } catch (err) {
        if (signal.aborted) return;
        if (isExpired(err)) log.debug({ resource: resource.plural }, "Watch history is gone, listing again");
        else log.warn({ resource: resource.plural, err }, "Failed to list or watch");
      }
      this.#resourceVersion = "";
      await pause(clock, this.#backoff.next(), signal);
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<void> {
    if (this.#streamsInitialState) {
      const streamed = await this.#streamInitialState(signal);
      if (streamed) return;
    }
    await this.#list(signal);
    await this.#resume(signal);
  }

  /** One watch that begins with the state as events and goes on with changes. False when the server cannot do that. */
  async #streamInitialState(signal: AbortSignal): Promise<boolean> {
    let initial: Map<string, T> | undefined = new Map();
    const options: WatchOptions = {
      ...this.#watchOptions(signal),
      sendInitialEvents: true,
      resourceVersion: "",
      resourceVersionMatch: "NotOlderThan",
    };
    try {
      for await (const event of this.#deps.client.watch(this.#deps.resource, options)) {
        if (initial === undefined) this.#apply(event);
        else if (event.type === "BOOKMARK") {
          if (event.object.metadata.annotations?.[INITIAL_EVENTS_END] !== "true") continue;
          this.#resourceVersion = event.object.metadata.resourceVersion;
          this.#deps.sink.replace([...initial.values()]);
          initial = undefined;
        } else {
          const key = `${event.object.metadata.namespace ?? ""}/${event.object.metadata.name}`;
          if (event.type === "DELETED") initial.delete(key);
          else initial.set(key, event.object);
        }
      }
    } catch (error) {
      if (initial !== undefined && isUnsupported(error)) {
        this.#streamsInitialState = false;
        return false;
      }
      // The state is here; only the stream of changes broke, and that can be taken up again.
      if (initial !== undefined || !this.#mayResume(error, signal)) throw error;
      await sleep(this.#deps.clock, this.#backoff.next(), signal);
    }
    if (initial !== undefined) throw new Error("the watch ended before the initial state was complete");
    await this.#resume(signal);
    return true;
  }

  /** Watches on from the last version seen, again and again, until history is lost. */
  async #resume(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps;
    for (;;) {
      signal.throwIfAborted();
      const startedAt = clock.monotonic();
      const outcome = await this.#watchOnce(signal);
      const suspicious = outcome === "empty" && clock.monotonic() - startedAt < VERY_SHORT_WATCH_MS;
      if (outcome === "broken" || suspicious) await sleep(clock, this.#backoff.next(), signal);
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { client, resource, options, sink } = this.#deps;
    const items: T[] = [];
    let next: string | undefined;
    let resourceVersion = "";
    do {
      const page = await client.list(resource, {
        ...options,
        signal,
        limit: LIST_PAGE,
        ...(next === undefined ? {} : { continue: next }),
      });
      for (const item of page.items) {
        delete item.metadata.managedFields; // as the watch leaves them out
        items.push(item);
      }
      resourceVersion = page.metadata.resourceVersion;
      next = page.metadata.continue;
    } while (next !== undefined && next !== "");
    this.#resourceVersion = resourceVersion;
    sink.replace(items);
  }

  /** One watch to its end. "broken": the connection was lost, our position in the history is not. */
  async #watchOnce(signal: AbortSignal): Promise<"ended" | "empty" | "broken"> {
    const options = { ...this.#watchOptions(signal), resourceVersion: this.#resourceVersion };
    let outcome: "ended" | "empty" = "empty";
    try {
      for await (const event of this.#deps.client.watch(this.#deps.resource, options)) {
        outcome = "ended";
        this.#apply(event);
      }
      return outcome;
    } catch (error) {
      if (!this.#mayResume(error, signal)) throw error;
      return "broken";
    }
  }

  #apply(event: WatchEvent<T>): void {
    this.#resourceVersion = event.object.metadata.resourceVersion ?? this.#resourceVersion;
    if (event.type !== "BOOKMARK") this.#deps.sink.apply(event.type, event.object);
  }

  /** Connection trouble and throttling leave our position in the history intact. */
  #mayResume(error: unknown, signal: AbortSignal): boolean {
    return !signal.aborted && (!isStatusError(error) || error.code === 429 || error.code >= 500);
  }

  #watchOptions(signal: AbortSignal): WatchOptions {
    const extraSeconds = Math.floor((this.#deps.random?.float() ?? 0.5) * MIN_WATCH_SECONDS);
    return {
      ...this.#deps.options,
      allowWatchBookmarks: true,
      omitManagedFields: true,
      timeoutSeconds: MIN_WATCH_SECONDS + extraSeconds,
      signal,
    };
  }
}

/** The server refuses the parameters themselves: it does not know streamed lists. */
function isUnsupported(error: unknown): error is StatusError {
  return isStatusError(error) && (error.code === 400 || error.code === 422);
}
