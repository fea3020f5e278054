/**
 * ConfigMaps and Secrets that pods of this node refer to, each followed by a watch of its own for as long as a pod
 * needs it: the node is allowed to see no others.
 */
import type { ConfigMap, Secret } from "#pkg/api/types/core-v1.ts";
import { configMaps, secrets } from "#pkg/api/refs.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { sleep } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";

const RETRY_MS = 1000;
const MAX_RETRY_MS = 30_000;

/** Plurals of the kinds that pods refer to. */
export type ReferencedKind = "configmaps" | "secrets";

/** An object that a pod refers to. */
export interface Reference {
  readonly kind: ReferencedKind;
  readonly namespace: string;
  readonly name: string;
}

interface Follower {
  readonly users: Set<string>;
  readonly abort: AbortController;
  current: AnyObject | undefined;
  synced: Promise<void>;
}

export class ReferencedObjects {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #onChange: (podUid: string) => void;
  readonly #followers = new Map<string, Follower>();

  constructor(deps: { client: Client; clock: Clock; log: Logger; onChange: (podUid: string) => void }) {
    this.#client = deps.client;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#onChange = deps.onChange;
  }

  /** Follows exactly these objects for the pod from now on. */
  use(podUid: string, references: readonly Reference[]): void {
    const wanted = new Set(references.map(({ kind, namespace, name }) => `${kind}/${namespace}/${name}`));
    for (const [key, follower] of this.#followers) {
      if (!wanted.has(key) && follower.users.delete(podUid) && follower.users.size === 0) {
        follower.abort.abort();
        this.#followers.delete(key);
      }
    }
    for (const reference of references) {
      const key = `${reference.kind}/${reference.namespace}/${reference.name}`;
      (this.#followers.get(key) ?? this.#follow(key, reference)).users.add(podUid);
    }
  }
  release(podUid: string): void {
    this.use(podUid, []);
  }
  stop(): void {
    for (const follower of this.#followers.values()) follower.abort.abort();
    this.#followers.clear();
  }

  /** The object, if it is here already. */
  peek({ kind, namespace, name }: Reference): ConfigMap | Secret | undefined {
    return this.#followers.get(`${kind}/${namespace}/${name}`)?.current as ConfigMap | Secret | undefined;
  }

  async configMap(namespace: string, name: string, signal?: AbortSignal): Promise<ConfigMap | undefined> {
    return (await this.#get({ kind: "configmaps", namespace, name }, signal)) as ConfigMap | undefined;
  }
  async secret(namespace: string, name: string, signal?: AbortSignal): Promise<Secret | undefined> {
    return (await this.#get({ kind: "secrets", namespace, name }, signal)) as Secret | undefined;
  }

  async #get(reference: Reference, signal?: AbortSignal): Promise<AnyObject | undefined> {
    const key = `${reference.kind}/${reference.namespace}/${reference.name}`;
    const follower = this.#followers.get(key);
    if (follower === undefined) throw new Error(`${key} is not followed for any pod`);
    await untilAborted(
      follower.synced,
      AbortSignal.any([follower.abort.signal, ...(signal === undefined ? [] : [signal])]),
    );
    return follower.current;
  }

  #follow(key: string, reference: Reference): Follower {
    const abort = new AbortController();
    const { promise, resolve } = Promise.withResolvers<void>();
    const follower: Follower = { users: new Set(), abort, current: undefined, synced: promise };
    this.#followers.set(key, follower);
    const ref: ResourceRef<ConfigMap> | ResourceRef<Secret> = reference.kind === "configmaps" ? configMaps : secrets;
    void this.#run(ref as ResourceRef<AnyObject>, reference, follower, resolve);
    return follower;
  }

  async #run(ref: ResourceRef<AnyObject>, reference: Reference, follower: Follower, synced: () => void): Promise<void> {
    const { signal } = follower.abort;
    const options = { namespace: reference.namespace, fieldSelector: `metadata.name=${reference.name}`, signal };
    let first = true;
    const set = (object: AnyObject | undefined) => {
      const before = follower.current;
      if (before?.metadata.resourceVersion === object?.metadata.resourceVersion) return;
      follower.current = object;
      // Nobody has used an earlier state: who needs the object waits for the first.
      if (first) return;
      for (const uid of follower.users) this.#onChange(uid);
    };
    let delayMs = RETRY_MS;
    while (!signal.aborted) {
      try {
        const list = await this.#client.list(ref, options);
        set(list.items[0]);
        first = false;
        synced();
        delayMs = RETRY_MS;
        if ((follower.current as { immutable?: boolean } | undefined)?.immutable === true) return;
        const { resourceVersion } = list.metadata;
        const since = this.#clock.monotonic();
        for await (const event of this.#client.watch(ref, { ...options, resourceVersion, allowWatchBookmarks: true })) {
          if (event.type !== "BOOKMARK") set(event.type === "DELETED" ? undefined : event.object);
        }
        // A server that ends watches at once must not be asked without a pause.
        if (this.#clock.monotonic() - since < RETRY_MS) await sleep(this.#clock, RETRY_MS, signal);
      } catch (err) {
        if (signal.aborted) return;
        this.#log.debug({ err, ...reference }, "Following a referenced object failed");
        try {
          await sleep(this.#clock, delayMs, signal);
        } catch {
          return; // aborted
        }
        delayMs = Math.min(delayMs * 2, MAX_RETRY_MS);
      }
    }
  }
}

/** Waits for the promise, or rejects with the signal's reason; leaves no listener behind. */
async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
