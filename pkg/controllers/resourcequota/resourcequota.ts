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
import { persistentVolumeClaims, pods, resourceClaims, resourceQuotas, services } from "#pkg/api/refs.ts";
import type { Pod, ResourceQuota } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, enqueueSelf, type KeyQueue, watching } from "../common/loop.ts";
import type { Clock } from "#pkg/util/index.ts";
import { every } from "../common/periodic.ts";
import { isPodTerminal } from "../common/pods.ts";

/** A new object has been charged by admission already; look again when caches have settled. */
const AFTER_ADD_MS = 1000;

/** resourcequota-controller. */
export function createResourceQuotaController(env: ControllerEnv): Controller {
  const { clock, discovery, informers, options } = env;
  const queue = createQueue(clock);
  const controller = new QuotaController(env, queue);
  const self = enqueueSelf<ResourceQuota>(queue);
  const ownHandler: EventHandler<ResourceQuota> = {
    onAdd(quota, initial) {
      controller.changed(quota);
      self.onAdd?.(quota, initial);
    },
    onDelete: (quota) => controller.forget(quota),
    onUpdate(quota, old) {
      controller.changed(quota);
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
      watching(informers.of(services), controller.handler(services)),
      watching(informers.of(persistentVolumeClaims), controller.handler(persistentVolumeClaims)),
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

function idOf({ group, plural }: Pick<ResourceRef<AnyObject>, "group" | "plural">): string {
  return group === "" ? plural : `${plural}.${group}`;
}

class QuotaController {
  readonly #env: ControllerEnv;
  readonly #queue: KeyQueue;
  readonly #counted = new Map<string, { informer: SharedInformer<AnyObject>; detach: () => void }>();
  /** The revision of the newest change seen of each resource. */
  readonly #seen = new Map<string, bigint>();
  /** Monotonic time of each quota's last change. */
  readonly #changedAt = new Map<string, number>();
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
  changed(quota: ResourceQuota): void {
    this.#changedAt.set(keyString(keyOf(quota)), this.#env.clock.monotonic());
  }
  forget(quota: ResourceQuota): void {
    this.#changedAt.delete(keyString(keyOf(quota)));
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
  #see(ref: ResourceRef<AnyObject>, { metadata }: AnyObject): void {
    const id = idOf(ref);
    const revision = BigInt(metadata.resourceVersion ?? 0);
    if (revision > (this.#seen.get(id) ?? 0n)) this.#seen.set(id, revision);
  }
  handler(ref: ResourceRef<AnyObject>): EventHandler<AnyObject> {
    return {
      onAdd: (object, initial) => {
        this.#see(ref, object);
        if (!initial) this.#add(object.metadata.namespace, AFTER_ADD_MS);
      },
      onUpdate: (object, old) => {
        this.#see(ref, object);
        if (object.metadata.generation !== old.metadata.generation || object.metadata.generation === undefined)
          this.#add(object.metadata.namespace, AFTER_ADD_MS);
      },
      onDelete: (object) => {
        this.#see(ref, object);
        this.#add(object.metadata.namespace, 0);
      },
    };
  }
  podHandler(): EventHandler<Pod> {
    return {
      ...this.handler(pods),
      onUpdate: (pod, old) => {
        this.#see(pods, pod);
        if (isPodTerminal(pod) && !isPodTerminal(old)) this.#add(pod.metadata.namespace, 0);
        else if (pod.metadata.generation !== old.metadata.generation) this.#add(pod.metadata.namespace, AFTER_ADD_MS);
      },
    };
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { client, clock, informers } = this.#env;
    const quota = informers.of(resourceQuotas).lister.get(key);
    if (quota === undefined) return DONE;
    const counted = await this.#objectsFor(quota, signal);
    const planned = planStatus(quota, counted, clock);
    if (planned === undefined) return DONE;
    const restMs = clock.monotonic() - (this.#changedAt.get(keyString(key)) ?? 0);
    const late = restMs < AFTER_ADD_MS ? counted.filter((each) => this.#mayBeLate(each, quota)) : [];
    const status = holdBack(quota, planned, late);
    if (!isStatusOf(quota, status))
      await ignoreNotFound(client.updateStatus(resourceQuotas, { ...quota, status }, { signal }));
    return status === planned ? DONE : { requeueAfterMs: AFTER_ADD_MS - restMs };
  }

  /** Has the cache of these not shown anything as new as the quota's last charge? */
  #mayBeLate(counted: Counted, quota: ResourceQuota): boolean {
    return (this.#seen.get(idOf(counted)) ?? 0n) < BigInt(quota.metadata.resourceVersion);
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
      entry = { informer, detach: watched ? () => undefined : informer.addHandler(this.handler(ref)) };
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
export function planStatus(quota: ResourceQuota, counted: readonly Counted[], clock: Clock): Status | undefined {
  const hard = quota.spec?.hard ?? {};
  const sums = new Map<string, Quantity>();
  for (const name of Object.keys(hard)) {
    // Of what nobody counts (the kind may come later) nothing is said but what has been said before.
    const isCounted = counted.some(({ group, plural }) => consumes(group, plural, name));
    const before = isCounted ? "0" : quota.status?.used?.[name];
    if (before !== undefined) sums.set(name, parseQuantity(before));
  }
  for (const { group, plural, objects } of counted)
    for (const object of objects) {
      if (!inScope(quota, group, plural, object)) continue;
      for (const [name, amount] of usageOf(group, plural, object, clock)) {
        const sum = sums.get(name);
        if (sum !== undefined) sums.set(name, sum.add(amount));
      }
    }
  const used = Object.fromEntries([...sums].map(([name, sum]) => [name, sum.toString()]));
  const status = { hard: { ...hard }, used };
  return isStatusOf(quota, status) ? undefined : status;
}

type Status = NonNullable<ResourceQuota["status"]>;

function isStatusOf(quota: ResourceQuota, { hard = {}, used = {} }: Status): boolean {
  return deepEqual(quota.status?.hard ?? {}, hard) && sameQuantities(quota.status?.used ?? {}, used);
}

/**
 * The planned status without what falls because of objects that may only be late: admission charges for an object before
 * any cache can show it, and a charge that is taken back lets one in too many. Pure.
 */
export function holdBack(
  quota: ResourceQuota,
  planned: Status,
  late: readonly Pick<Counted, "group" | "plural">[],
): Status {
  const charged = Object.entries(quota.status?.used ?? {}).filter(([name, amount]) => {
    const next = planned.used?.[name];
    const falls = next !== undefined && parseQuantity(next).cmp(parseQuantity(amount)) < 0;
    return falls && late.some(({ group, plural }) => consumes(group, plural, name));
  });
  return charged.length === 0 ? planned : { ...planned, used: { ...planned.used, ...Object.fromEntries(charged) } };
}

function sameQuantities(a: Record<string, string | number>, b: Record<string, string | number>): boolean {
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => b[name] !== undefined && parseQuantity(a[name]!).cmp(parseQuantity(b[name])) === 0)
  );
}
