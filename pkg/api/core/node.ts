import { deepCopy } from "#pkg/apimachinery/index.ts";
import { defineResource } from "../define.ts";
import type { Node, NodeSpec } from "../types/core-v1.ts";
import { cidrWarnings } from "../validation/address-warnings.ts";
import { printNode } from "./print.ts";
import { validateNode, validateNodeUpdate } from "./validation/node.ts";

/** podCIDR repeats the first of podCIDRs; where they differ a client that knows only podCIDR is believed. */
function normalizePodCidrs(spec: NodeSpec): void {
  const first = spec.podCIDRs?.[0];
  if (!spec.podCIDR && first !== undefined) spec.podCIDR = first;
  else if (spec.podCIDR && spec.podCIDR !== first) spec.podCIDRs = [spec.podCIDR];
}

export const node = defineResource<Node>({
  group: "",
  version: "v1",
  kind: "Node",
  printRow: printNode,
  // Kubelets register themselves together with their status.
  initialStatus: "keep",
  strategy: {
    generation: false,
    sharesUnchanged: true,
    allowCreateOnUpdate: false,
    defaults(node) {
      const status = node.status;
      if (status?.capacity !== undefined) status.allocatable ??= deepCopy(status.capacity);
    },
    prepareForCreate({ spec }) {
      if (spec !== undefined) normalizePodCidrs(spec);
    },
    prepareForUpdate({ spec }, old) {
      if (spec !== undefined && spec !== old.spec) normalizePodCidrs(spec);
    },
    validate: validateNode,
    warnings: ({ spec }, old) => [
      ...(spec?.configSource === undefined ? [] : ["spec.configSource: the feature is removed"]),
      ...(spec?.externalID ? ["spec.externalID: this field is deprecated, and is unused by Kubernetes"] : []),
      ...(spec === old?.spec ? [] : (spec?.podCIDRs ?? [])).flatMap((cidr, index) =>
        cidrWarnings(cidr, `spec.podCIDRs[${index}]`),
      ),
    ],
    validateUpdate: validateNodeUpdate,
  },
  status: { validateUpdate: validateNodeUpdate },
});
