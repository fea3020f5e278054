import { defineResource } from "../define.ts";
import type { ComponentStatus, Endpoints, LimitRange, LimitRangeItem, ResourceQuota } from "../types/core-v1.ts";
import { printComponentStatus, printEndpoints, printResourceQuota } from "./print.ts";
import { ipWarnings } from "../validation/address-warnings.ts";
import { validateEndpoints } from "./validation/endpoints.ts";
import { validateLimitRange } from "./validation/limit-range.ts";
import {
  validateResourceQuota,
  validateResourceQuotaStatus,
  validateResourceQuotaUpdate,
} from "./validation/policies.ts";

export const componentStatus = defineResource<ComponentStatus>({
  group: "",
  version: "v1",
  kind: "ComponentStatus",
  printRow: printComponentStatus,
  deprecationWarning: "v1 ComponentStatus is deprecated in v1.19+",
});

const MANAGED_BY = "endpoints.kubernetes.io/managed-by";

/** Of addresses, unless the controller wrote them, which writes them as they should be, and often. */
function endpointsWarnings({ metadata, subsets }: Endpoints): string[] {
  if (metadata.labels?.[MANAGED_BY] === "endpoint-controller") return [];
  return (subsets ?? []).flatMap((subset, index) =>
    (["addresses", "notReadyAddresses"] as const).flatMap((field) =>
      (subset[field] ?? []).flatMap(({ ip }, i) => ipWarnings(ip, `subsets[${index}].${field}[${i}].ip`)),
    ),
  );
}

export const endpoints = defineResource<Endpoints>({
  group: "",
  version: "v1",
  kind: "Endpoints",
  printRow: printEndpoints,
  deprecationWarning: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  strategy: { allowCreateOnUpdate: true, validate: validateEndpoints, warnings: endpointsWarnings },
});

/** What a container gets when it asks for nothing: its maximum as limit, its limit or minimum as request. */
function defaultLimitRangeItem(item: LimitRangeItem): void {
  if (item.type !== "Container") return;
  item.default = { ...item.max, ...item.default };
  item.defaultRequest = { ...item.min, ...item.default, ...item.defaultRequest };
}

export const limitRange = defineResource<LimitRange>({
  group: "",
  version: "v1",
  kind: "LimitRange",
  strategy: {
    defaults(range) {
      for (const item of range.spec?.limits ?? []) defaultLimitRangeItem(item);
    },
    validate: validateLimitRange,
  },
});

export const resourceQuota = defineResource<ResourceQuota>({
  group: "",
  version: "v1",
  kind: "ResourceQuota",
  printRow: printResourceQuota,
  strategy: {
    generation: false,
    validate: validateResourceQuota,
    validateUpdate: validateResourceQuotaUpdate,
  },
  status: { validateUpdate: validateResourceQuotaStatus },
});
