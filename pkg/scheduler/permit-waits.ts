import type { Clock } from "#pkg/util/index.ts";
import type { Placement } from "./binding.ts";
import { failed, unschedulable } from "./framework/status.ts";
import type { Status } from "./framework/status.ts";
import type { Plugin } from "./framework/types.ts";

/** As upstream: no plugin holds a pod longer than this. */
const MAX_WAIT_MS = 15 * 60_000;

interface Wait {
  readonly pending: Set<string>;
  settle(status: Status | undefined): void;
}

/** Pods that Permit plugins hold back until somebody decides. */
export class PermitWaits {
  readonly #clock: Clock;
  readonly #waits = new Map<string, Wait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }
  /** Removes one plugin's objection to a waiting pod; when none is left the pod goes on. */
  allow(uid: string, plugin: string): void {
    const wait = this.#waits.get(uid);
    if (wait?.pending.delete(plugin) === true && wait.pending.size === 0) wait.settle(undefined);
  }
  reject(uid: string, plugin: string, message: string): void {
    this.#waits.get(uid)?.settle({ ...unschedulable(message), plugin });
  }
  /** undefined when all Permit plugins agree, now or in time. */
  permit(placement: Placement, signal: AbortSignal): Promise<Status | undefined> | Status | undefined {
    const { profile, pod, nodeName, cycle } = placement;
    const pending = new Map<string, number>();
    for (const plugin of profile.permit) {
      let result: ReturnType<NonNullable<Plugin["permit"]>>;
      try {
        result = plugin.permit!(pod, nodeName, cycle);
      } catch (error) {
        return { ...failed(error), plugin: plugin.name };
      }
      if (result === undefined) continue;
      if (result.status.code !== "Wait") return { ...result.status, plugin: plugin.name };
      pending.set(plugin.name, Math.min(result.timeoutMs ?? MAX_WAIT_MS, MAX_WAIT_MS));
    }
    return pending.size === 0 ? undefined : this.#wait(pod.uid, pending, signal);
  }

  #wait(uid: string, pending: ReadonlyMap<string, number>, signal: AbortSignal): Promise<Status | undefined> {
    return new Promise((resolve) => {
      const timers = [...pending].map(([plugin, timeoutMs]) =>
        this.#clock.schedule(timeoutMs, () =>
          settle({
            ...unschedulable(`rejected due to timeout after waiting ${timeoutMs / 1000}s at plugin ${plugin}`),
            plugin,
          }),
        ),
      );
      const onAbort = () => settle(failed(signal.reason));
      const settle = (status: Status | undefined) => {
        for (const cancel of timers) cancel();
        signal.removeEventListener("abort", onAbort);
        this.#waits.delete(uid);
        resolve(status);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waits.set(uid, { pending: new Set(pending.keys()), settle });
    });
  }
}
