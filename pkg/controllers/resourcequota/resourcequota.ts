/** Recalculates what quotas' namespaces use. Admission charges at once; this corrects, above all after deletions. */
import {
  type AnyObject,
  deepEqual,
  ignoreNotFound,
  keyOf,
  keyString,
  type KubeObject,
  type ObjectKey,
  parseQuantity,
  type Quantity,
} from "#pkg/apimachinery/index.ts";
import {
  type Controller,
  DONE,
  type EventHandler,
  type ReconcileContext,
  type Result,
  type SharedInformer,
} from "#pkg/client/index.ts";
import { consumes, inScope, usageOf } from "#pkg/api/quota/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { persistentVolumeClaims, resourceClaims, resourceQuotas, services } from "#pkg/api/refs.ts";
import type { Pod, ResourceQuota } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import type { Clock } from "#pkg/util/index.ts";
import { every } from "../common/periodic.ts";
import { isPodTerminal } from "../common/pods.ts";

/** A new object has been charged by admission already; look again when caches have settled. */
const AFTER_ADD_MS = 1000;

export function createResourceQuotaController(env: ControllerEnv): Controller {
  const { clock, discovery, informers, options } = env;
  const queue = createQueue(clock);
  const controller = new QuotaController(env, queue);
  const ownHandler: EventHandler<ResourceQuota> = {
    ...enqueueSelf<ResourceQuota>(queue),
    onUpdate(quota, old) {
      // Charges change the status all the time, and are right.
      if (!deepEqual(quota.spec, old.spec) || !deepEqual(quota.status?.hard, quota.spec?.hard))
        queue.add(keyString(keyOf(quota)));
    },
  };
  return createLoop(env, {
    workers: 5,
    queue,
    sources: [
      watching(informers.of(resourceQuotas), ownHandler),
      watching(informers.pods(), controller.podHandler()),
      watching(informers.of(services), controller.handler()),
      watching(informers.of(persistentVolumeClaims), controller.handler()),
      ...discovery.sources(informers),
    ],
    reconcile: (key, context) => controller.reconcile(key, context),
    background: async (signal) => {
      controller.start(signal);
      await every(env, options.resourceQuotaSyncPeriodMs, signal, () => Promise.resolve(controller.resync()));
      controller.stop();
    },
  });
}

function idOf({ group, plural }: ResourceRef<AnyObject>): string {
  return group === "" ? plural : `${plural}.${group}`;
}

class QuotaController {
  readonly #env: ControllerEnv;
  readonly #queue: KeyQueue;
  readonly #counted = new Map<string, { informer: SharedInformer<AnyObject>; detach: () => void }>();
  #signal: AbortSignal | undefined;

  constructor(env: ControllerEnv, queue: KeyQueue) {
    this.#env = env;
    this.#queue = queue;
  }
  start(signal: AbortSignal): void {
    this.#signal = signal;
  }
  stop(): void {
    for (const { detach } of this.#counted.values()) detach();
    this.#counted.clear();
  }
  resync(): void {
    for (const quota of this.#quotas()) this.#queue.add(keyString(keyOf(quota)));
  }
  #quotas(namespace?: string): ResourceQuota[] {
    return this.#env.informers.of(resourceQuotas).lister.list(namespace);
  }
  #add(namespace: string | undefined, delayMs: number): void {
    for (const quota of this.#quotas(namespace)) this.#queue.addAfter(keyString(keyOf(quota)), delayMs);
  }
  handler(): EventHandler<AnyObject> {
    return {
      onAdd: ({ metadata }, initial) => {
        if (!initial) this.#add(metadata.namespace, AFTER_ADD_MS);
      },
      onUpdate: (object, old) => {
        if (object.metadata.generation !== old.metadata.generation || object.metadata.generation === undefined)
          this.#add(object.metadata.namespace, AFTER_ADD_MS);
      },
      onDelete: ({ metadata }) => this.#add(metadata.namespace, 0),
    };
  }
  podHandler(): EventHandler<Pod> {
    return {
      onAdd: ({ metadata }, initial) => {
        if (!initial) this.#add(metadata.namespace, AFTER_ADD_MS);
      },
      onUpdate: (pod, old) => {
        if (isPodTerminal(pod) && !isPodTerminal(old)) this.#add(pod.metadata.namespace, 0);
        else if (pod.metadata.generation !== old.metadata.generation) this.#add(pod.metadata.namespace, AFTER_ADD_MS);
      },
      onDelete: ({ metadata }) => this.#add(metadata.namespace, 0),
    };
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, informers } = this.#env;
    const quota = informers.of(resourceQuotas).lister.get(key);
    if (quota === undefined) return DONE;
    const status = planStatus(quota, await this.#objectsFor(quota, signal), this.#env.clock);
    if (status === undefined) return DONE;
    await ignoreNotFound(client.updateStatus(resourceQuotas, { ...quota, status }, { signal }));
    return DONE;
  }

  /** Everything in the quota's namespace that may count towards it. */
  async #objectsFor({ metadata, spec }: ResourceQuota, signal: AbortSignal): Promise<Counted[]> {
    const counted: Counted[] = [];
    for (const ref of await this.#relevant(Object.keys(spec?.hard ?? {}), signal)) {
      const { group, plural } = ref;
      const { lister } = await this.#informerOf(ref, signal);
      counted.push({ group, plural, objects: lister.list(metadata.namespace ?? "") as KubeObject[] });
    }
    return counted;
  }

  /** Resources that consume any of these names. */
  async #relevant(names: readonly string[], signal: AbortSignal): Promise<ResourceRef<AnyObject>[]> {
    const { resources } = await this.#env.discovery.get(signal);
    return resources
      .filter(({ ref, verbs }) => ref.namespaced && verbs.includes("list") && verbs.includes("watch"))
      .map(({ ref }) => ref)
      .filter((ref) => names.some((name) => consumes(ref.group, ref.plural, name)));
  }

  /** Full objects where amounts are in them, metadata where only their number counts. */
  async #informerOf(ref: ResourceRef<AnyObject>, signal: AbortSignal): Promise<SharedInformer<AnyObject>> {
    const { informers, factory } = this.#env;
    if (ref.group === "resource.k8s.io" && ref.plural === resourceClaims.plural) informers.of(resourceClaims);
    const known = informers.known(ref);
    const id = idOf(ref);
    let entry = this.#counted.get(id);
    if (entry === undefined) {
      const informer = known ?? factory.informer(ref, { metadataOnly: true });
      const watched = ref.group === "" && ["pods", "services", "persistentvolumeclaims"].includes(ref.plural);
      entry = { informer, detach: watched ? () => undefined : informer.addHandler(this.handler()) };
      this.#counted.set(id, entry);
      factory.start(this.#signal ?? signal);
    }
    await entry.informer.synced(signal);
    return entry.informer;
  }
}

/** Objects of one resource in a quota's namespace. */
export interface Counted {
  readonly group: string;
  readonly plural: string;
  readonly objects: readonly KubeObject[];
}

/** The status that a quota should have for what there is; undefined when it has it. Pure. */
export function planStatus(
  quota: ResourceQuota,
  counted: readonly Counted[],
  clock: Clock,
): ResourceQuota["status"] | undefined {
  const hard = quota.spec?.hard ?? {};
  const sums = new Map<string, Quantity>(Object.keys(hard).map((name) => [name, parseQuantity("0")]));
  for (const { group, plural, objects } of counted)
    for (const object of objects) {
      if (!inScope(quota, group, plural, object)) continue;
      for (const [name, amount] of usageOf(group, plural, object, clock)) {
        const sum = sums.get(name);
        if (sum !== undefined) sums.set(name, sum.add(amount));
      }
    }
  const used = Object.fromEntries([...sums].map(([name, sum]) => [name, sum.toString()]));
  if (deepEqual(quota.status?.hard ?? {}, hard) && sameQuantities(quota.status?.used ?? {}, used)) return undefined;
  return { hard: { ...hard }, used };
}

function sameQuantities(a: Record<string, string | number>, b: Record<string, string | number>): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => b[name] !== undefined && parseQuantity(a[name]!).cmp(parseQuantity(b[name])) === 0)
  );
}
