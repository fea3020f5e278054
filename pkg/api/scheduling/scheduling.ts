import { defineResource } from "../define.ts";
import { ALL_METADATA } from "../resource.ts";
import type { PriorityClass } from "../types/scheduling-v1.ts";
import type { PodGroup, Workload } from "../types/scheduling-v1alpha2.ts";
import { validatePriorityClass, validatePriorityClassUpdate } from "../policy/validation.ts";
import { validateRequired } from "../validation/required.ts";
import { printPodGroup, printPriorityClass, printWorkload } from "./print.ts";

const group = "scheduling.k8s.io";

export const priorityClass = defineResource<PriorityClass>({
  group,
  version: "v1",
  kind: "PriorityClass",
  printRow: printPriorityClass,
  strategy: { generation: true, validate: validatePriorityClass, validateUpdate: validatePriorityClassUpdate },
});
export const workload = defineResource<Workload>({
  group,
  version: "v1alpha2",
  kind: "Workload",
  printRow: printWorkload,
  strategy: {
    validate: ({ spec }) => validateRequired("io.k8s.api.scheduling.v1alpha2.WorkloadSpec", spec, "spec"),
  },
});
export const podGroup = defineResource<PodGroup>({
  group,
  version: "v1alpha2",
  kind: "PodGroup",
  printRow: printPodGroup,
  strategy: {
    validate: ({ spec }) => validateRequired("io.k8s.api.scheduling.v1alpha2.PodGroupSpec", spec, "spec"),
  },
  status: { resetMetadata: ALL_METADATA },
});
