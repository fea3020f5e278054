import { defineResource } from "../define.ts";
import type { FlowSchema, PriorityLevelConfiguration } from "../types/flowcontrol-v1.ts";
import { printFlowSchema, printPriorityLevel } from "./print.ts";
import { validateFlowConditions, validateFlowSchema, validatePriorityLevel } from "./validation.ts";

const group = "flowcontrol.apiserver.k8s.io";

export const flowSchema = defineResource<FlowSchema>({
  group,
  version: "v1",
  kind: "FlowSchema",
  printRow: printFlowSchema,
  strategy: { validate: validateFlowSchema },
  status: { validateUpdate: validateFlowConditions },
});
export const priorityLevelConfiguration = defineResource<PriorityLevelConfiguration>({
  group,
  version: "v1",
  kind: "PriorityLevelConfiguration",
  printRow: printPriorityLevel,
  strategy: { validate: validatePriorityLevel },
  status: { validateUpdate: validateFlowConditions },
});
