import type { Node, NodeCondition } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";

/** What this controller remembers of a node: when it last saw a sign of life, by its own clock. */
export interface NodeHealth {
  /** Milliseconds of a clock that is never set: a correction of the time of day must not look like silence. */
  readonly probedAt: number;
  /** Last seen marks; a change of either is a sign of life. */
  readonly renewTime: string | undefined;
  readonly heartbeat: string | undefined;
  readonly readyStatus: string | undefined;
}

const WATCHED = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;

/** The node's own word on whether it is Ready; undefined before its first. */
export function readyCondition(node: Node): NodeCondition | undefined {
  return node.status?.conditions?.find(({ type }) => type === "Ready");
}

/**
 * Brings the memory up to date. The node's own times are compared with each other only, never with our clock, so a node
 * whose clock is wrong is not taken for dead.
 */
export function observe(
  before: NodeHealth | undefined,
  node: Node,
  renewTime: string | undefined,
  monotonic: number,
): NodeHealth {
  const ready = readyCondition(node);
  const heartbeat = ready?.lastHeartbeatTime ?? undefined;
  const seen = { renewTime, heartbeat, readyStatus: ready?.status };
  if (before === undefined) return { probedAt: monotonic, ...seen };
  // "Unknown" is what we write ourselves: no sign of life.
  const posted = ready !== undefined && ready.status !== "Unknown";
  const alive =
    (renewTime !== undefined && renewTime !== before.renewTime) ||
    (posted && (heartbeat !== before.heartbeat || ready.status !== before.readyStatus));
  return { probedAt: alive ? monotonic : before.probedAt, ...seen };
}

/**
 * How long a node may be silent, in milliseconds: one that has been heard of (--node-monitor-grace-period), and one that never
 * was (--node-startup-grace-period).
 */
export interface GracePeriods {
  readonly monitorMs: number;
  readonly startupMs: number;
}

/** Conditions of a node that has been silent too long; undefined when there is nothing to change. */
export function planUnknown(
  node: Node,
  health: NodeHealth,
  grace: GracePeriods,
  { now, monotonic }: { readonly now: number; readonly monotonic: number },
): NodeCondition[] | undefined {
  const graceMs = readyCondition(node) === undefined ? grace.startupMs : grace.monitorMs;
  if (monotonic - health.probedAt <= graceMs) return undefined;
  const time = formatTime(now);
  const conditions = [...(node.status?.conditions ?? [])];
  let changed = false;
  for (const type of WATCHED) {
    const index = conditions.findIndex((condition) => condition.type === type);
    const known = index < 0 ? undefined : conditions[index]!;
    if (known?.status === "Unknown") continue;
    changed = true;
    if (known === undefined)
      conditions.push({
        type,
        status: "Unknown",
        reason: "NodeStatusNeverUpdated",
        message: "Kubelet never posted node status.",
        lastHeartbeatTime: node.metadata.creationTimestamp,
        lastTransitionTime: time,
      });
    else
      conditions[index] = {
        ...known,
        status: "Unknown",
        reason: "NodeStatusUnknown",
        message: "Kubelet stopped posting node status.",
        lastTransitionTime: time,
      };
  }
  return changed ? conditions : undefined;
}
