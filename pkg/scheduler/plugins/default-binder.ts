import { isNotFound, isStatusError, keyOf } from "#pkg/apimachinery/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { pause } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import { failed } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const ASK_AGAIN_MS = 1_000;
/** Less than what is left of a leader's lease when it has to stop. */
const LANDING_MS = 3_000;

/** Binds through the pod's binding subresource. */
export function defaultBinder(client: Client, clock: Clock): Plugin {
  const landing = new WeakMap<AbortSignal, AbortSignal>();
  /** Aborts some time after the other: whoever schedules next must find what was on its way, and not fill the place again. */
  const late = (signal: AbortSignal): AbortSignal => {
    let later = landing.get(signal);
    if (later !== undefined) return later;
    const abort = new AbortController();
    signal.addEventListener("abort", () => void clock.schedule(LANDING_MS, () => abort.abort(signal.reason)), {
      once: true,
    });
    landing.set(signal, (later = abort.signal));
    return later;
  };
  return {
    name: "DefaultBinder",
    bind: async ({ pod }, nodeName, _cycle, signal) => {
      const { name, namespace, uid } = pod.metadata;
      const binding = {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { name, namespace, uid },
        target: { kind: "Node", name: nodeName },
      };
      try {
        await client.createSubresource(pods, keyOf(pod), "binding", binding, { signal: late(signal) });
        return undefined;
      } catch (error) {
        if (isStatusError(error) || signal.aborted) return failed(error);
        // No answer came, but the binding may have been written: its place must not go to another pod before we know.
        return (await isOn(client, clock, pod, nodeName, signal)) ? undefined : failed(error);
      }
    },
  };
}

/** Asks until the API answers: is the pod on the node? */
async function isOn(client: Client, clock: Clock, pod: Pod, nodeName: string, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    try {
      const { metadata, spec } = await client.get(pods, keyOf(pod), { signal });
      return metadata.uid === pod.metadata.uid && spec.nodeName === nodeName;
    } catch (error) {
      if (isNotFound(error) || signal.aborted) return false;
      await pause(clock, ASK_AGAIN_MS, signal);
    }
  }
}
