/** Removes pods whose devices have NoExecute taints that their claims do not tolerate, or not any longer. */
import { keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { resourceClaims, resourceSlices } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { DeviceTaint, ResourceClaim, ResourceSlice } from "#pkg/api/types/resource-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { evictPod } from "../common/evict.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { claimNames } from "../resourceclaim/plan.ts";
import { claimEndsAt, podEndsAt, taintedDevices } from "./plan.ts";

const WORKERS = 8;

/** device-taint-eviction-controller. */
export function createDeviceTaintEvictionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const eviction = new DeviceTaintEviction(env);
  const see = (pod: Pod) => {
    if ((pod.spec.resourceClaims ?? []).length > 0) queue.add(keyString(keyOf(pod)));
  };
  const seeClaim = ({ metadata, status }: ResourceClaim) => {
    for (const { resource, name: pod } of status?.reservedFor ?? [])
      if (resource === "pods") queue.add(`${metadata.namespace}/${pod}`);
  };
  const seeSlice = () => {
    eviction.slicesChanged();
    for (const claim of informers.of(resourceClaims).lister.list()) seeClaim(claim);
  };
  return createLoop(env, {
    workers: WORKERS,
    queue,
    sources: [
      watching(informers.of(resourceSlices), { onAdd: seeSlice, onUpdate: seeSlice, onDelete: seeSlice }),
      watching(informers.of(resourceClaims), { onAdd: seeClaim, onUpdate: seeClaim }),
      watching(informers.pods(), { onAdd: see, onUpdate: see, onDelete: see }),
    ],
    reconcile: (key, context) => eviction.reconcile(key, context),
  });
}

class DeviceTaintEviction {
  readonly #env: ControllerEnv;
  #tainted: Map<string, DeviceTaint[]> | undefined;
  /** Pods whose end is set, by key. */
  readonly #scheduled = new Set<string>();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }
  slicesChanged(): void {
    this.#tainted = undefined;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers, clock, recorder } = this.#env;
    const id = keyString(key);
    const pod = informers.pods().lister.get(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) {
      this.#scheduled.delete(id);
      return DONE;
    }
    const now = clock.now();
    const claims = [...claimNames(pod).values()].flatMap(
      (name) => informers.of(resourceClaims).lister.get({ namespace: key.namespace, name }) ?? [],
    );
    const tainted = this.#devices();
    const end = podEndsAt(pod, claims, (claim) => claimEndsAt(claim, (device) => tainted.get(device) ?? [], now));
    if (end === Infinity) {
      if (this.#scheduled.delete(id))
        recorder.event(pod, "Normal", "DeviceTaintManagerEviction", "Cancelling deletion");
      return DONE;
    }
    if (end > now) {
      this.#scheduled.add(id);
      return { requeueAfterMs: end - now };
    }
    recorder.event(pod, "Normal", "DeviceTaintManagerEviction", "Marking for deletion");
    const message = "Device Taint manager: deleting due to NoExecute taint";
    await evictPod(this.#env, pod, { reason: "DeletionByDeviceTaintManager", message }, signal);
    this.#scheduled.delete(id);
    return DONE;
  }

  #devices(): Map<string, DeviceTaint[]> {
    const slices: ResourceSlice[] = this.#env.informers.of(resourceSlices).lister.list();
    this.#tainted ??= taintedDevices(slices);
    return this.#tainted;
  }
}
