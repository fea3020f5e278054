/** Marks ServiceCIDRs ready, and keeps deleted ones until no address of theirs is in use. */
import { deepEqual, isNotFound, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { iPAddresses, serviceCIDRs } from "#pkg/api/refs.ts";
import type { Condition } from "#pkg/api/types/meta-v1.ts";
import type { IPAddress, ServiceCIDR } from "#pkg/api/types/networking-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { type Cidr, parseCidr, parseIp } from "../nodeipam/cidr.ts";

const FINALIZER = "networking.k8s.io/service-cidr-finalizer";

function rangesOf({ spec }: ServiceCIDR): Cidr[] {
  return (spec.cidrs ?? []).flatMap((text) => {
    try {
      return [parseCidr(text)];
    } catch {
      return []; // validated by the server
    }
  });
}

function holds(ranges: readonly Cidr[], address: string): boolean {
  const bits = address.includes(":") ? 128 : 32;
  const ip = parseIp(address);
  return ranges.some(
    (range) => range.bits === bits && ip >> BigInt(bits - range.prefix) === range.base >> BigInt(bits - range.prefix),
  );
}

/** Addresses that only this ServiceCIDR covers. */
export function orphanedAddresses(
  going: ServiceCIDR,
  others: readonly ServiceCIDR[],
  addresses: readonly IPAddress[],
): IPAddress[] {
  const own = rangesOf(going);
  const rest = others.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(rangesOf);
  return addresses.filter(
    ({ metadata }) => holds(own, metadata.name) && !rest.some((ranges) => holds(ranges, metadata.name)),
  );
}

/** What becomes of a range of service addresses. */
export type RangePlan =
  /** Deleted by somebody, and not held by us. */
  | { readonly type: "leave" }
  | { readonly type: "ready"; readonly protect: boolean }
  /** Somebody has addresses that only this range covers. */
  | { readonly type: "hold" }
  | { readonly type: "release" };

/** What a range needs: protection and readiness while it lives; when it goes, to be held while it is used. Pure. */
export function planRange(
  cidr: ServiceCIDR,
  others: readonly ServiceCIDR[],
  addresses: readonly IPAddress[],
): RangePlan {
  const isProtected = cidr.metadata.finalizers?.includes(FINALIZER) === true;
  if (cidr.metadata.deletionTimestamp === undefined) return { type: "ready", protect: !isProtected };
  if (!isProtected) return { type: "leave" };
  return { type: orphanedAddresses(cidr, others, addresses).length > 0 ? "hold" : "release" };
}

/** service-cidr-controller. */
export function createServiceCidrController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const addAll = () => {
    for (const cidr of informers.of(serviceCIDRs).lister.list()) queue.add(keyString(keyOf(cidr)));
  };
  const addDeleted: EventHandler<IPAddress> = {
    onDelete() {
      for (const cidr of informers.of(serviceCIDRs).lister.list())
        if (cidr.metadata.deletionTimestamp !== undefined) queue.add(keyString(keyOf(cidr)));
    },
  };
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [
      watching(informers.of(serviceCIDRs), { onAdd: addAll, onUpdate: addAll, onDelete: addAll }),
      watching(informers.of(iPAddresses), addDeleted),
    ],
    reconcile: (key, context) => reconcile(env, key, context),
  });
}

async function reconcile(env: ControllerEnv, key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
  const { client, informers, clock } = env;
  const cidr = informers.of(serviceCIDRs).lister.get(key);
  if (cidr === undefined) return DONE;
  const ranges = informers.of(serviceCIDRs).lister.list();
  const others = ranges.filter(({ metadata }) => metadata.uid !== cidr.metadata.uid);
  const plan = planRange(cidr, others, informers.of(iPAddresses).lister.list());
  const finalizers = cidr.metadata.finalizers ?? [];
  const withFinalizers = (next: string[]) => ({ ...cidr, metadata: { ...cidr.metadata, finalizers: next } });
  try {
    if (plan.type === "ready") {
      let current = cidr;
      if (plan.protect)
        current = await client.update(serviceCIDRs, withFinalizers([...finalizers, FINALIZER]), { signal });
      await setReady(env, current, "True", "", "Kubernetes Service CIDR is ready", clock.now(), signal);
    } else if (plan.type === "hold") {
      const message =
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
      await setReady(env, cidr, "False", "Terminating", message, clock.now(), signal);
    } else if (plan.type === "release")
      await client.update(serviceCIDRs, withFinalizers(finalizers.filter((other) => other !== FINALIZER)), { signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  return DONE;
}

async function setReady(
  { client }: ControllerEnv,
  cidr: ServiceCIDR,
  status: string,
  reason: string,
  message: string,
  now: number,
  signal: AbortSignal,
): Promise<void> {
  const conditions = cidr.status?.conditions ?? [];
  const current = conditions.find(({ type }) => type === "Ready");
  const lastTransitionTime = current?.status === status ? current.lastTransitionTime : formatTime(now);
  const ready: Condition = { type: "Ready", status, reason, message, lastTransitionTime };
  if (current !== undefined && deepEqual({ ...current, reason: current.reason ?? "" }, ready)) return;
  const next = [...conditions.filter(({ type }) => type !== "Ready"), ready];
  await client.updateStatus(serviceCIDRs, { ...cidr, status: { ...cidr.status, conditions: next } }, { signal });
}
