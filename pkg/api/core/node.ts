import { deepCopy } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import type { Node } from "../types/core-v1.ts";
import { printNode } from "./print.ts";

export const node = defineResource<Node>({
  group: "",
  version: "v1",
  kind: "Node",
  printRow: printNode,
  // Kubelets register themselves together with their status.
  initialStatus: "keep",
  strategy: {
    generation: false,
    allowCreateOnUpdate: false,
    defaults(node) {
      const status = node.status;
      if (status?.capacity !== undefined) status.allocatable ??= deepCopy(status.capacity);
    },
  },
});
