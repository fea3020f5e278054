import { defineResource } from "../define.ts";
import { validateRuntimeClass, validateRuntimeClassUpdate } from "../policy/validation.ts";
import { nodeLabelWarning } from "../validation/node-labels.ts";
import { printRuntimeClass } from "../printers/small.ts";
import type { RuntimeClass } from "../types/node-v1.ts";

export const runtimeClass = defineResource<RuntimeClass>({
  group: "node.k8s.io",
  version: "v1",
  kind: "RuntimeClass",
  printRow: printRuntimeClass,
  strategy: {
    allowUnconditionalUpdate: false,
    validate: validateRuntimeClass,
    validateUpdate: validateRuntimeClassUpdate,
    warnings: ({ scheduling }) =>
      Object.keys(scheduling?.nodeSelector ?? {}).flatMap((label) =>
        nodeLabelWarning(label, "scheduling.nodeSelector"),
      ),
  },
});
