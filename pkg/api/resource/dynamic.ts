import { defineResource, type KindDeclaration } from "../define.ts";
import { printNameAndAge } from "../printers/small.ts";
import type {
  DeviceClass,
  ResourceClaim,
  ResourceClaimSpec,
  ResourceClaimTemplate,
  ResourceSlice,
} from "../types/resource-v1.ts";
import type { DeviceTaintRule, ResourcePoolStatusRequest } from "../types/resource-v1alpha3.ts";
import { printDeviceTaintRule, printPoolStatusRequest, printResourceClaim, printResourceSlice } from "./print.ts";
import {
  validateDeviceClass,
  validateDeviceTaintRule,
  validateResourceClaim,
  validateResourceClaimStatus,
  validateResourceClaimTemplate,
  validateResourceClaimTemplateUpdate,
  validateResourceClaimUpdate,
  validateResourceSlice,
  validateResourceSliceUpdate,
} from "./validation.ts";

const group = "resource.k8s.io";

/** A request for a number of devices asks for one unless it says otherwise. */
function defaultCounts(spec: ResourceClaimSpec | undefined): void {
  for (const { exactly, firstAvailable } of spec?.devices?.requests ?? []) {
    for (const request of [...(exactly === undefined ? [] : [exactly]), ...(firstAvailable ?? [])]) {
      if (request.allocationMode === "ExactCount" && !request.count) request.count = 1;
    }
  }
}

export const deviceClass = defineResource<DeviceClass>({
  group,
  version: "v1",
  kind: "DeviceClass",
  printRow: printNameAndAge,
  strategy: { generation: true, validate: validateDeviceClass },
});
export const resourceClaim = defineResource<ResourceClaim>({
  group,
  version: "v1",
  kind: "ResourceClaim",
  printRow: printResourceClaim,
  strategy: {
    generation: false,
    defaults: ({ spec }) => defaultCounts(spec),
    validate: validateResourceClaim,
    validateUpdate: validateResourceClaimUpdate,
  },
  status: { validateUpdate: validateResourceClaimStatus },
});
export const resourceClaimTemplate = defineResource<ResourceClaimTemplate>({
  group,
  version: "v1",
  kind: "ResourceClaimTemplate",
  printRow: printNameAndAge,
  strategy: {
    defaults: ({ spec }) => defaultCounts(spec?.spec),
    validate: validateResourceClaimTemplate,
    validateUpdate: validateResourceClaimTemplateUpdate,
  },
});
export const resourceSlice = defineResource<ResourceSlice>({
  group,
  version: "v1",
  kind: "ResourceSlice",
  printRow: printResourceSlice,
  strategy: { generation: true, validate: validateResourceSlice, validateUpdate: validateResourceSliceUpdate },
});

export const taintRules: readonly KindDeclaration[] = ["v1beta2", "v1alpha3"].map((version) =>
  defineResource<DeviceTaintRule>({
    group,
    version,
    kind: "DeviceTaintRule",
    printRow: printDeviceTaintRule,
    strategy: { validate: validateDeviceTaintRule },
  }),
);
export const resourcePoolStatusRequest = defineResource<ResourcePoolStatusRequest>({
  group,
  version: "v1alpha3",
  kind: "ResourcePoolStatusRequest",
  printRow: printPoolStatusRequest,
});
