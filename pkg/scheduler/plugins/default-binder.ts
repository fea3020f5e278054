import { isNotFound, isStatusError, keyOf } from "#pkg/apimachinery/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { sleep } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import { failed } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const ASK_AGAIN_MS = 1_000;

/** Binds through the pod's binding subresource. */
export function defaultBinder(client: Client, clock: Clock): Plugin {
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
        await client.createSubresource(pods, keyOf(pod), "binding", binding, { signal });
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
      await sleep(clock, ASK_AGAIN_MS, signal).catch(() => undefined);
    }
  }
}
