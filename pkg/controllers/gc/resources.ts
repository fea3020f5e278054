/** Informers for everything that can be collected, following discovery as kinds come and go. */
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { EventHandler, SharedInformer } from "#pkg/client/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import type { Discovered, ServedResource } from "../common/discovery.ts";
import type { ControllerEnv } from "../common/env.ts";

/** Never owners and never owned, and too many to be worth watching. */
const IGNORED = new Set(["events", "events.events.k8s.io"]);

interface Monitor {
  readonly ref: ResourceRef<AnyObject>;
  readonly informer: SharedInformer<AnyObject>;
  readonly detach: () => void;
  readonly own: boolean;
}

function idOf({ group, plural }: ResourceRef<AnyObject>): string {
  return group === "" ? plural : `${plural}.${group}`;
}

function isCollectable({ ref, verbs }: ServedResource): boolean {
  return ["list", "watch", "delete"].every((verb) => verbs.includes(verb)) && !IGNORED.has(idOf(ref));
}

/** Watches every kind that can be deleted and listed, as kinds come and go. */
export class Monitors {
  readonly #env: ControllerEnv;
  readonly #handler: (ref: ResourceRef<AnyObject>) => EventHandler<AnyObject>;
  readonly #byId = new Map<string, Monitor>();
  /** Every served kind, collectable or not, by "apiVersion kind". */
  #kinds = new Map<string, ResourceRef<AnyObject>>();

  constructor(env: ControllerEnv, handler: (ref: ResourceRef<AnyObject>) => EventHandler<AnyObject>) {
    this.#env = env;
    this.#handler = handler;
  }

  /** The resource of an owner reference; versions of one group are interchangeable. */
  resolve(apiVersion: string, kind: string): ResourceRef<AnyObject> | undefined {
    const slash = apiVersion.indexOf("/");
    return this.#kinds.get(`${slash < 0 ? "" : apiVersion.slice(0, slash)} ${kind}`);
  }

  /** Starts what is new and stops what is gone; a group that failed to answer keeps its informers. */
  update(discovered: Discovered, signal: AbortSignal): void {
    const { factory } = this.#env;
    this.#kinds = new Map(discovered.resources.map(({ ref }) => [`${ref.group} ${ref.kind}`, ref]));
    const wanted = new Map(discovered.resources.filter(isCollectable).map(({ ref }) => [idOf(ref), ref]));
    for (const [id, monitor] of this.#byId) {
      const next = wanted.get(id);
      const apiVersion = monitor.ref.group === "" ? monitor.ref.version : `${monitor.ref.group}/${monitor.ref.version}`;
      const unanswered = next === undefined && discovered.failures.has(apiVersion);
      if (unanswered || (next !== undefined && next.version === monitor.ref.version)) continue;
      monitor.detach();
      if (monitor.own) factory.stop(monitor.ref, { metadataOnly: true });
      this.#byId.delete(id);
    }
    for (const [id, ref] of wanted) if (!this.#byId.has(id)) this.#byId.set(id, this.#start(ref));
    factory.start(signal);
  }

  /** Resolves when all informers have listed, or after `patienceMs`: one broken kind must not stop the others. */
  async synced(patienceMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#env;
    const limit = new AbortController();
    const cancel = clock.schedule(patienceMs, () => limit.abort(new Error("some resources did not sync in time")));
    const either = AbortSignal.any([signal, limit.signal]);
    try {
      await Promise.allSettled([...this.#byId.values()].map(({ informer }) => informer.synced(either)));
    } finally {
      cancel();
    }
  }

  stop(): void {
    for (const { detach } of this.#byId.values()) detach();
    this.#byId.clear();
  }

  #start(ref: ResourceRef<AnyObject>): Monitor {
    const { informers, factory } = this.#env;
    // Full objects that another controller caches anyway are not watched a second time.
    const shared = informers.known(ref);
    const informer = shared ?? factory.informer(ref, { metadataOnly: true });
    return { ref, informer, detach: informer.addHandler(this.#handler(ref)), own: shared === undefined };
  }
}
