import { deepCopy, deepEqual, findOnce } from "#pkg/apimachinery/index.ts";
import { formatTime } from "#pkg/util/index.ts";
import { defineResource } from "../define.ts";
import { ALL_METADATA } from "../resource.ts";
import type { Container, Pod, PodCondition } from "../types/core-v1.ts";
import { adoptAppArmorAnnotations } from "./app-armor.ts";
import { mergeMatchLabelKeys } from "./match-label-keys.ts";
import { defaultPod } from "./pod-defaults.ts";
import { podConditions, printPod } from "./print-pod.ts";
import { qosClassOf } from "../rules/index.ts";
import { validatePodCreate } from "./validation/pod-spec.ts";
import { validateEphemeralContainersUpdate, validatePodUpdate, validateResize } from "./validation/pod-update.ts";
import { normalizePodIps, validatePodStatusUpdate } from "./validation/pod-status.ts";
import { deadAnnotationWarnings } from "./validation/pod-annotations.ts";
import { hostNameWarnings, podSpecWarnings } from "./validation/pod-warnings.ts";

/** Generation counts changes of the spec, whichever door they come through. */
function bumpGeneration(pod: Pod, old: Readonly<Pod>): void {
  const before = old.metadata.generation;
  const changed = pod.spec !== old.spec && !deepEqual(pod.spec, old.spec);
  pod.metadata.generation = changed ? (before ?? 0) + 1 : before;
}

function keepStatus(pod: Pod, old: Readonly<Pod>): void {
  if (old.status === undefined) delete pod.status;
  else pod.status = old.status;
}

/** A resize changes resources and resize policies of containers that are there, and nothing else. */
function takeResources(containers: Container[] | undefined, wanted: readonly Container[] | undefined): void {
  for (const [index, container] of (containers ?? []).entries()) {
    const source = wanted?.[index];
    if (source === undefined) continue;
    // A name out of place is kept for validation to refuse.
    container.name = source.name;
    for (const field of ["resources", "resizePolicy"] as const) {
      if (source[field] === undefined) delete container[field];
      else Object.assign(container, { [field]: source[field] });
    }
  }
}

/** Seconds a pod gets to end; unscheduled and finished pods need none. */
export function podGracePeriodSeconds(pod: Readonly<Pod>, requested: number | undefined): number {
  const phase = pod.status?.phase;
  if (!pod.spec?.nodeName || phase === "Failed" || phase === "Succeeded") return 0;
  const seconds = Number(requested ?? pod.spec.terminationGracePeriodSeconds ?? 0);
  return seconds < 0 ? 1 : seconds;
}

function gatedCondition(now: number): PodCondition {
  return {
    type: "PodScheduled",
    status: "False",
    reason: "SchedulingGated",
    message: "Scheduling is blocked due to non-empty scheduling gates",
    lastTransitionTime: formatTime(now),
    observedGeneration: 1,
  };
}

export const pod = defineResource<Pod>({
  group: "",
  version: "v1",
  kind: "Pod",
  printRow: printPod,
  rowConditions: podConditions,
  initialStatus: "keep",
  strategy: {
    generation: false,
    sharesUnchanged: true,
    fromTemplates: true,
    defaults: defaultPod,
    prepareForCreate(pod, { now, warnings }) {
      pod.metadata.generation = 1;
      pod.status = { phase: "Pending", qosClass: findOnce(pod.spec!, qosClassOf, () => qosClassOf(pod)) };
      mergeMatchLabelKeys(pod);
      warnings.push(...adoptAppArmorAnnotations(pod));
      if ((pod.spec?.schedulingGates ?? []).length > 0) pod.status.conditions = [gatedCondition(now)];
    },
    prepareForUpdate(pod, old) {
      keepStatus(pod, old);
      bumpGeneration(pod, old);
    },
    validate: validatePodCreate,
    validateUpdate: validatePodUpdate,
    // Of updates, which are many and rarely a person's, nothing is said.
    warnings(pod, old) {
      const { metadata, spec } = pod;
      if (old !== undefined) return [];
      return [
        ...hostNameWarnings(pod, old, "the Pod's hostname"),
        ...findOnce(spec!, podSpecWarnings, () => podSpecWarnings(spec, "spec")),
        ...deadAnnotationWarnings(metadata.annotations, spec, "metadata"),
      ];
    },
    gracePeriodSeconds: podGracePeriodSeconds,
  },
  status: {
    // Owners belong to controllers; a node that reports status must not touch them.
    resetMetadata: ["ownerReferences"],
    prepareForUpdate(pod, old) {
      if (pod.status === undefined) return;
      if (old.status?.qosClass !== undefined) pod.status.qosClass ??= old.status.qosClass;
      normalizePodIps(pod.status);
    },
    validateUpdate: validatePodStatusUpdate,
  },
  updates: {
    ephemeralcontainers: {
      resetMetadata: ALL_METADATA,
      prepareForUpdate(pod, old) {
        const wanted = pod.spec?.ephemeralContainers;
        pod.spec = { ...deepCopy(old.spec!) };
        if (wanted === undefined) delete pod.spec.ephemeralContainers;
        else pod.spec.ephemeralContainers = wanted;
        keepStatus(pod, old);
        bumpGeneration(pod, old);
      },
      validateUpdate: validateEphemeralContainersUpdate,
    },
    resize: {
      resetMetadata: ALL_METADATA,
      prepareForUpdate(pod, old) {
        const wanted = pod.spec;
        pod.spec = deepCopy(old.spec!);
        takeResources(pod.spec.containers, wanted?.containers);
        takeResources(pod.spec.initContainers, wanted?.initContainers);
        if (wanted?.resources !== undefined) pod.spec.resources = wanted.resources;
        keepStatus(pod, old);
        bumpGeneration(pod, old);
      },
      validateUpdate: validateResize,
    },
  },
});
