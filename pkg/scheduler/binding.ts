import type { Logger } from "#pkg/util/index.ts";
import type { PodInfo } from "./cache/pod-info.ts";
import type { Extenders } from "./extenders.ts";
import type { Profile } from "./framework/profile.ts";
import { failed, messageOf } from "./framework/status.ts";
import type { Status } from "./framework/status.ts";
import type { CycleState, Plugin } from "./framework/types.ts";
import type { PermitWaits } from "./permit-waits.ts";

/** A decision on its way to the API. */
export interface Placement {
  readonly profile: Profile;
  readonly pod: PodInfo;
  readonly nodeName: string;
  readonly cycle: CycleState;
}

/** Lets plugins set things aside, in order; a refusal gives back what was taken. */
export function reserve({ profile, pod, nodeName, cycle }: Placement): Status | undefined {
  for (const plugin of profile.reserve) {
    const status = contained(plugin, () => plugin.reserve?.(pod, nodeName, cycle));
    if (status !== undefined) return status;
  }
  return undefined;
}

/** Has every plugin give back what it reserved, the last one first; one that fails does not keep the others. */
export function unreserve({ profile, pod, nodeName, cycle }: Placement, log: Logger): void {
  for (const plugin of profile.reserve.toReversed()) {
    try {
      plugin.unreserve?.(pod, nodeName, cycle);
    } catch (err) {
      log.error({ err, plugin: plugin.name, pod: pod.key }, "Plugin failed to give back what it reserved");
    }
  }
}

/** Permit, PreBind and Bind. undefined: the pod is bound. Never rejects. */
export async function bind(
  placement: Placement,
  waits: PermitWaits,
  extenders: Extenders,
  signal: AbortSignal,
): Promise<Status | undefined> {
  const { profile, pod, nodeName, cycle } = placement;
  const permitted = await waits.permit(placement, signal);
  if (permitted !== undefined) return permitted;
  for (const plugin of profile.preBind) {
    const status = await containedAsync(plugin, () => plugin.preBind!(pod, nodeName, cycle, signal));
    if (status !== undefined) return status;
  }
  try {
    if (await extenders.bind(pod, nodeName, signal)) return undefined;
  } catch (error) {
    return failed(error);
  }
  for (const plugin of profile.bind) {
    const status = await containedAsync(plugin, () => plugin.bind!(pod, nodeName, cycle, signal));
    if (status?.code !== "Skip") return status;
  }
  return failed(new Error(`all bind plugins skipped pod ${pod.key}`));
}

/** Tells every plugin that wants to know of the binding; one that fails does not keep the others. */
export function postBind({ profile, pod, nodeName, cycle }: Placement, log: Logger): void {
  for (const plugin of profile.postBind) {
    try {
      plugin.postBind!(pod, nodeName, cycle);
    } catch (err) {
      log.error({ err, plugin: plugin.name, pod: pod.key }, "Plugin failed after binding");
    }
  }
}

function contained(plugin: Plugin, call: () => Status | undefined): Status | undefined {
  let status: Status | undefined;
  try {
    status = call();
  } catch (error) {
    status = failed(error);
  }
  return status === undefined ? undefined : { plugin: plugin.name, ...status };
}

async function containedAsync(plugin: Plugin, call: () => Promise<Status | undefined>): Promise<Status | undefined> {
  let status: Status | undefined;
  try {
    status = await call();
  } catch (error) {
    status = failed(error);
  }
  return status === undefined ? undefined : { plugin: plugin.name, ...status };
}

/** What the event of a failed binding says. */
export function bindingMessage(status: Status): string {
  return status.code === "Error"
    ? `binding rejected: running Bind plugin "${status.plugin ?? "extender"}": ${messageOf(status)}`
    : messageOf(status);
}
