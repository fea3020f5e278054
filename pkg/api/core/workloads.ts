import { deepEqual } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import type { PodTemplate, ReplicationController } from "../types/core-v1.ts";
import { defaultPodTemplate } from "./pod-defaults.ts";
import { printPodTemplate, printReplicationController } from "./print.ts";
import { validatePodTemplate } from "./validation/pod-spec.ts";
import { templateWarnings, workloadWarnings } from "./validation/pod-warnings.ts";
import { validateReplicationController } from "./validation/policies.ts";

export const replicationController = defineResource<ReplicationController>({
  group: "",
  version: "v1",
  kind: "ReplicationController",
  printRow: printReplicationController,
  initialStatus: { replicas: 0 },
  strategy: {
    defaultGarbageCollection: "orphan",
    defaults(controller) {
      const labels = controller.spec?.template?.metadata?.labels;
      if (controller.spec !== undefined && labels !== undefined) {
        if (Object.keys(controller.spec.selector ?? {}).length === 0) controller.spec.selector = { ...labels };
        if (Object.keys(controller.metadata.labels ?? {}).length === 0) controller.metadata.labels = { ...labels };
      }
      defaultPodTemplate(controller.spec?.template);
    },
    validate: validateReplicationController,
    warnings: workloadWarnings,
  },
});

export const podTemplate = defineResource<PodTemplate>({
  group: "",
  version: "v1",
  kind: "PodTemplate",
  printRow: printPodTemplate,
  strategy: {
    generation: false,
    defaults(template) {
      defaultPodTemplate(template.template);
    },
    warnings: (object, old) => templateWarnings(object, old, object.template, "template"),
    prepareForCreate(template) {
      template.metadata.generation = 1;
    },
    prepareForUpdate(template, old) {
      const before = old.metadata.generation ?? 0;
      template.metadata.generation = deepEqual(template.template, old.template) ? before : before + 1;
    },
    validate: ({ template }) => validatePodTemplate(template, "template"),
  },
});
