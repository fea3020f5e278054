import { ignoreNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import { pods } from "#pkg/api/refs.ts";
import type { Pod, PodCondition } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";

/** What a pod's condition PodScheduled is to say while it is not. */
export interface SchedulingStatus {
  readonly reason: "Unschedulable" | "SchedulerError" | "SchedulingGated";
  readonly message: string;
  /** undefined leaves the nomination as it is, "" clears it. */
  readonly nominatedNodeName?: string;
}

/** Says in the pod's status why it is not scheduled; writes only what is new. */
export async function reportUnscheduled(
  client: Client,
  clock: Clock,
  pod: Pod,
  { reason, message, nominatedNodeName }: SchedulingStatus,
  signal: AbortSignal,
): Promise<void> {
  const old = pod.status?.conditions?.find(({ type }) => type === "PodScheduled");
  const isNews = old?.status !== "False" || old.reason !== reason || old.message !== message;
  const renominates = nominatedNodeName !== undefined && nominatedNodeName !== (pod.status?.nominatedNodeName ?? "");
  if (!isNews && !renominates) return;
  const now = formatTime(clock.now());
  const { generation } = pod.metadata;
  const condition: PodCondition = {
    type: "PodScheduled",
    status: "False",
    reason,
    message,
    lastTransitionTime: old?.status === "False" ? (old.lastTransitionTime ?? now) : now,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
  const status = {
    ...(isNews ? { conditions: [condition] } : {}),
    // An empty name is removed, not stored.
    ...(renominates ? { nominatedNodeName: nominatedNodeName === "" ? null : nominatedNodeName } : {}),
  };
  const metadata = { uid: pod.metadata.uid };
  // Where the pod has gone, nobody needs to know any more.
  await ignoreNotFound(
    client.patch(pods, keyOf(pod), "strategic", { metadata, status }, { subresource: "status", signal }),
  );
}
