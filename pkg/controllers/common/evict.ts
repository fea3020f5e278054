import { isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { type Clock, formatTime } from "#pkg/util/index.ts";
import { podCondition } from "./pods.ts";

/** Deletes a pod whose place has become unfit, after saying so on it: Jobs tell such ends from failures by that. */
export async function evictPod(
  { client, clock }: { client: Client; clock: Clock },
  pod: Pod,
  why: { readonly reason: string; readonly message: string },
  signal: AbortSignal,
): Promise<void> {
  const key = keyOf(pod);
  const { uid } = pod.metadata;
  try {
    if (podCondition(pod, "DisruptionTarget")?.reason !== why.reason) {
      const condition = {
        type: "DisruptionTarget",
        status: "True",
        lastTransitionTime: formatTime(clock.now()),
        ...why,
      };
      const patch = { metadata: { uid }, status: { conditions: [condition] } };
      await client.patch(pods, key, "strategic", patch, { subresource: "status", signal });
    }
    await client.delete(pods, key, { preconditions: { uid }, signal });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
