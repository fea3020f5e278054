import { deepEqual } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import type { Pod } from "../types/core-v1.ts";
import { defaultPod } from "./pod-defaults.ts";
import { printPod } from "./print-pod.ts";
import { qosClassOf } from "./qos.ts";

/** Generation counts changes of the spec, whichever door they come through. */
function bumpGeneration(pod: Pod, old: Readonly<Pod>): void {
  const before = old.metadata.generation;
  const changed = !deepEqual(pod.spec, old.spec);
  pod.metadata.generation = changed ? (before ?? 0) + 1 : before;
}

/** Seconds a pod gets to end; unscheduled and finished pods need none. */
export function podGracePeriodSeconds(pod: Readonly<Pod>, requested: number | undefined): number | undefined {
  const phase = pod.status?.phase;
  if (!pod.spec?.nodeName || phase === "Failed" || phase === "Succeeded") return undefined;
  const seconds = requested ?? pod.spec.terminationGracePeriodSeconds ?? 0;
  if (seconds === 0) return undefined;
  return seconds < 0 ? 1 : seconds;
}

export const pod = defineResource<Pod>({
  group: "",
  version: "v1",
  kind: "Pod",
  printRow: printPod,
  initialStatus: "keep",
  strategy: {
    generation: false,
    defaults: defaultPod,
    prepareForCreate(pod) {
      pod.metadata.generation = 1;
      pod.status = { phase: "Pending", qosClass: qosClassOf(pod) };
    },
    prepareForUpdate(pod, old) {
      if (old.status === undefined) delete pod.status;
      else pod.status = old.status;
      bumpGeneration(pod, old);
    },
    gracePeriodSeconds: podGracePeriodSeconds,
  },
  updates: {
    ephemeralcontainers: {
      prepareForUpdate(pod, old) {
        const wanted = pod.spec?.ephemeralContainers;
        pod.spec = { ...old.spec!, ...(wanted === undefined ? {} : { ephemeralContainers: wanted }) };
        pod.status = old.status;
        bumpGeneration(pod, old);
      },
    },
    resize: {
      prepareForUpdate(pod, old) {
        pod.status = old.status;
        bumpGeneration(pod, old);
      },
    },
  },
});
