/**
 * Restarting all containers of a pod in place, because one of them has ended with a code that asks for it (KEP-5532): its
 * sandbox and volumes stay, everything else begins anew with the first init container. Pure. Each container carries the id of
 * the one whose end it was started after, so that neither a restart of the kubelet nor a clock that is set matters.
 */
import type { Pod, PodCondition } from "#pkg/api/types/core-v1.ts";
import { ANNOTATIONS } from "./annotations.ts";
import { newestContainer } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { containersOf, findContainer, matchingAction } from "./spec.ts";

const ACTION = "RestartAllContainers";

/** The latest container whose end asks for all to be restarted, as long as the runtime remembers it. */
export function restartTrigger(pod: Pod, { containers }: ObservedPod): ObservedContainer | undefined {
  if (pod.metadata.deletionTimestamp !== undefined || !mayRestartAll(pod)) return undefined;
  return containers.find((container) => {
    const found = findContainer(pod, container.metadata.name);
    if (container.state !== "Exited" || found === undefined || found.kind === "ephemeral") return false;
    return matchingAction(found.spec, container.exitCode) === ACTION;
  });
}

/** Whether the container ran before all were restarted. */
export function isOutdated(container: ObservedContainer, trigger: ObservedContainer | undefined): boolean {
  return trigger !== undefined && container.annotations[ANNOTATIONS.restartedAfter] !== trigger.id;
}

/** Containers that have not begun anew yet. */
export function awaitingRestart(pod: Pod, observed: ObservedPod): ReadonlySet<string> {
  const trigger = restartTrigger(pod, observed);
  const names = containersOf(pod)
    .filter(({ kind }) => kind !== "ephemeral")
    .map(({ spec }) => spec.name);
  return new Set(
    names.filter((name) => {
      const newest = newestContainer(observed, name);
      return newest !== undefined && isOutdated(newest, trigger);
    }),
  );
}

function mayRestartAll(pod: Pod): boolean {
  return containersOf(pod).some(
    ({ spec }) => spec.restartPolicyRules?.some(({ action }) => action === ACTION) === true,
  );
}

/** True from the end of the container that asks for it until the first begins anew; only pods with such a rule have it. */
export function restartingCondition(pod: Pod, observed: ObservedPod, phase: string): PodCondition | undefined {
  if (!mayRestartAll(pod)) return undefined;
  const type = "AllContainersRestarting";
  if (phase === "Succeeded") return { type, status: "False", reason: "PodCompleted" };
  if (phase === "Failed") return { type, status: "False", reason: "PodFailed" };
  const trigger = restartTrigger(pod, observed);
  if (trigger === undefined || observed.containers.some((container) => !isOutdated(container, trigger)))
    return { type, status: "False" };
  const message = "container exited with restart policy rule";
  return { type, status: "True", reason: "RestartAllContainersStarted", message };
}
