/** Tells in one word how far a pod is. Pure. */
import type { ContainerStatus, Pod } from "#pkg/api/types/core-v1.ts";
import type { ContainerStatuses } from "./container-status.ts";
import { awaitingRestart } from "./restart-all.ts";
import { isSidecar, restartsAfter } from "./spec.ts";
import type { StatusInput } from "./status.ts";

/** status.phase; Unknown is written by nobody any more. */
export type Phase = "Pending" | "Running" | "Succeeded" | "Failed";

/** The pod's phase; one that is final stays. */
export function podPhase(
  { pod, observed, terminal, verdict }: StatusInput,
  { init, regular }: ContainerStatuses,
): Phase {
  if (verdict !== undefined) return "Failed";
  return keepTerminalPhase(pod, phaseOf({ pod, init, regular, terminal, restarting: awaitingRestart(pod, observed) }));
}

/** Succeeded and Failed are final: nothing observed later may leave them. */
function keepTerminalPhase(pod: Pod, phase: Phase): Phase {
  const known = pod.status?.phase;
  return known === "Succeeded" || known === "Failed" ? known : phase;
}

interface PhaseInput {
  readonly pod: Pod;
  readonly init: readonly ContainerStatus[];
  readonly regular: readonly ContainerStatus[];
  readonly terminal: boolean;
  /** Containers that run again whatever they ended with, because all are restarted. */
  readonly restarting?: ReadonlySet<string>;
}

/** Source: the pod lifecycle documentation; sidecars do not count. */
function phaseOf({ pod, init, regular, terminal, restarting }: PhaseInput): Phase {
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  let pendingInit = 0;
  for (const status of init) {
    if (sidecars.has(status.name) || (!terminal && restarting?.has(status.name) === true)) continue;
    const ended =
      status.state?.terminated ?? (status.state?.waiting === undefined ? undefined : status.lastState?.terminated);
    if (ended === undefined || status.state?.running !== undefined) pendingInit++;
    else if (ended.exitCode !== 0) {
      const spec = pod.spec.initContainers?.find(({ name }) => name === status.name);
      if (terminal || (spec !== undefined && !restartsAfter(withoutDeletion(pod), "init", spec, ended)))
        return "Failed";
      pendingInit++;
    }
  }
  let waiting = 0;
  let running = 0;
  let succeeded = 0;
  let failed = 0;
  let willRestart = false;
  for (const status of regular) {
    const ended =
      status.state?.terminated ?? (status.state?.waiting === undefined ? undefined : status.lastState?.terminated);
    if (status.state?.running !== undefined) running++;
    else if (ended === undefined) waiting++;
    else if (!terminal && restarting?.has(status.name) === true) willRestart = true;
    else {
      if (ended.exitCode === 0) succeeded++;
      else failed++;
      const spec = pod.spec.containers.find(({ name }) => name === status.name);
      if (spec !== undefined && restartsAfter(withoutDeletion(pod), "regular", spec, ended)) willRestart = true;
    }
  }
  if (terminal) return waiting + running > 0 || failed > 0 || pendingInit > 0 ? "Failed" : "Succeeded";
  if (pendingInit > 0 || waiting > 0) return "Pending";
  if (running > 0 || willRestart) return "Running";
  return failed > 0 ? "Failed" : "Succeeded";
}

/** A deleted pod's containers do not restart, but deletion alone must not make its phase terminal. */
function withoutDeletion(pod: Pod): Pod {
  return pod.metadata.deletionTimestamp === undefined
    ? pod
    : { ...pod, metadata: { ...pod.metadata, deletionTimestamp: undefined } };
}
