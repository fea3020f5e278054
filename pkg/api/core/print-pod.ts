import type { TableRowCondition } from "../resource.ts";
import { age, ageOf, NONE } from "../printers/cells.ts";
import type { ContainerStatus, Pod } from "../types/core-v1.ts";

/** What happened to the containers of a pod, summed up for its row. */
interface Tally {
  ready: number;
  restarts: number;
  lastRestart: string;
}

function countRestart(tally: Tally, status: ContainerStatus): void {
  tally.restarts += status.restartCount;
  const finished = status.lastState?.terminated?.finishedAt ?? "";
  if (finished > tally.lastRestart) tally.lastRestart = finished;
}

function terminatedReason({
  reason,
  signal,
  exitCode,
}: {
  reason?: string;
  signal?: number;
  exitCode: number;
}): string {
  if (reason !== undefined && reason !== "") return reason;
  return signal !== undefined && signal !== 0 ? `Signal:${signal}` : `ExitCode:${exitCode}`;
}

/** The word for an init container that holds the pod up, or undefined when it does not. */
function initProblem(status: ContainerStatus, index: number, total: number, sidecar: boolean): string | undefined {
  const { terminated, waiting } = status.state ?? {};
  if (terminated !== undefined && terminated.exitCode === 0) return undefined;
  if (sidecar && status.started === true) return undefined;
  if (terminated !== undefined) return `Init:${terminatedReason(terminated)}`;
  const reason = waiting?.reason ?? "";
  return reason !== "" && reason !== "PodInitializing" ? `Init:${reason}` : `Init:${index}/${total}`;
}

function hasCondition(pod: Readonly<Pod>, type: string): boolean {
  return pod.status?.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;
}

function phaseReason(pod: Readonly<Pod>): string {
  const gated = pod.status?.conditions?.some(
    ({ type, reason }) => type === "PodScheduled" && reason === "SchedulingGated",
  );
  if (gated === true) return "SchedulingGated";
  return pod.status?.reason || pod.status?.phase || "";
}

function summarise(pod: Readonly<Pod>, tally: Tally): string {
  const initContainers = pod.spec?.initContainers ?? [];
  const sidecars = new Set(initContainers.filter((c) => c.restartPolicy === "Always").map(({ name }) => name));
  const ofSidecars: Tally = { ready: 0, restarts: 0, lastRestart: "" };
  let reason = phaseReason(pod);
  let initializing = false;
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = sidecars.has(status.name);
    countRestart(tally, status);
    if (sidecar) countRestart(ofSidecars, status);
    const problem = initProblem(status, index, initContainers.length, sidecar);
    if (problem !== undefined) {
      reason = problem;
      initializing = true;
      break;
    }
    if (sidecar && status.started === true && status.ready) tally.ready++;
  }
  if (initializing && !hasCondition(pod, "Initialized")) return reason;

  // Restarts of ordinary init containers are history once the pod runs.
  tally.restarts = ofSidecars.restarts;
  tally.lastRestart = ofSidecars.lastRestart;
  let hasRunning = false;
  for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
    countRestart(tally, status);
    const { waiting, terminated, running } = status.state ?? {};
    if (waiting?.reason !== undefined && waiting.reason !== "") reason = waiting.reason;
    else if (terminated !== undefined) reason = terminatedReason(terminated);
    else if (status.ready && running !== undefined) {
      hasRunning = true;
      tally.ready++;
    }
  }
  if (reason === "Completed" && hasRunning) return hasCondition(pod, "Ready") ? "Running" : "NotReady";
  return reason;
}

const OUTCOMES: Readonly<Record<string, readonly TableRowCondition[]>> = {
  Succeeded: [
    { type: "Completed", status: "True", reason: "Succeeded", message: "The pod has completed successfully." },
  ],
  Failed: [{ type: "Completed", status: "True", reason: "Failed", message: "The pod failed." }],
};

/** Has it ended, and how? */
export const podConditions = ({ status }: Readonly<Pod>): readonly TableRowCondition[] =>
  OUTCOMES[status?.phase ?? ""] ?? [];

export function printPod(pod: Readonly<Pod>, now: number): unknown[] {
  const tally: Tally = { ready: 0, restarts: 0, lastRestart: "" };
  let reason = summarise(pod, tally);
  const phase = pod.status?.phase;
  if (pod.metadata.deletionTimestamp !== undefined) {
    if (pod.status?.reason === "NodeLost") reason = "Unknown";
    else if (phase !== "Succeeded" && phase !== "Failed") reason = "Terminating";
  }
  const { spec, status } = pod;
  const sidecars = (spec?.initContainers ?? []).filter((container) => container.restartPolicy === "Always").length;
  const total = (spec?.containers ?? []).length + sidecars;
  const since = tally.restarts > 0 && tally.lastRestart !== "" ? ` (${age(tally.lastRestart, now)} ago)` : "";
  const gates = spec?.readinessGates ?? [];
  const passed = gates.filter(({ conditionType }) => hasCondition(pod, conditionType)).length;
  return [
    pod.metadata.name,
    `${tally.ready}/${total}`,
    reason,
    `${tally.restarts}${since}`,
    ageOf(pod, now),
    status?.podIPs?.[0]?.ip || status?.podIP || NONE,
    spec?.nodeName || NONE,
    status?.nominatedNodeName || NONE,
    gates.length === 0 ? NONE : `${passed}/${gates.length}`,
  ];
}
