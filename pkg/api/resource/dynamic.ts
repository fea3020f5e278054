import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { formatTime } from "#pkg/util/index.ts";
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
import { ALL_METADATA, type Strategy } from "../resource.ts";
import { fromV1beta1, toV1beta1 } from "./convert-v1beta1.ts";
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

/** When a taint was added is known to the server where the driver did not say. */
function stampTaints(slice: ResourceSlice, now: number): void {
  for (const device of slice.spec?.devices ?? []) {
    for (const taint of device.taints ?? []) taint.timeAdded ??= formatTime(now);
  }
}

/** v1beta2 and v1 have the same fields. */
function currentKinds(version: "v1" | "v1beta2"): KindDeclaration[] {
  return [
    defineResource<DeviceClass>({
      group,
      version,
      kind: "DeviceClass",
      printRow: printNameAndAge,
      strategy: { generation: true, validate: validateDeviceClass },
    }),
    defineResource<ResourceClaim>({
      group,
      version,
      kind: "ResourceClaim",
      printRow: printResourceClaim,
      strategy: {
        generation: false,
        defaults: ({ spec }) => defaultCounts(spec),
        validate: validateResourceClaim,
        validateUpdate: validateResourceClaimUpdate,
      },
      status: { resetMetadata: ALL_METADATA, validateUpdate: validateResourceClaimStatus },
    }),
    defineResource<ResourceClaimTemplate>({
      group,
      version,
      kind: "ResourceClaimTemplate",
      printRow: printNameAndAge,
      strategy: {
        defaults: ({ spec }) => defaultCounts(spec?.spec),
        validate: validateResourceClaimTemplate,
        validateUpdate: validateResourceClaimTemplateUpdate,
      },
    }),
    defineResource<ResourceSlice>({
      group,
      version,
      kind: "ResourceSlice",
      printRow: printResourceSlice,
      strategy: {
        generation: true,
        prepareForCreate: (slice, { now }) => stampTaints(slice, now),
        prepareForUpdate: (slice, _old, { now }) => stampTaints(slice, now),
        validate: validateResourceSlice,
        validateUpdate: validateResourceSliceUpdate,
      },
    }),
  ];
}

/** A rule of v1 applied to objects of v1beta1, which it sees in v1's shape. */
function throughV1(strategy: Strategy | undefined): Strategy | undefined {
  const { validate, validateUpdate } = strategy ?? {};
  if (validate === undefined && validateUpdate === undefined) return strategy;
  return {
    ...(strategy?.generation === undefined ? {} : { generation: strategy.generation }),
    ...(validate === undefined ? {} : { validate: (object) => validate(fromV1beta1(object)) }),
    ...(validateUpdate === undefined
      ? {}
      : { validateUpdate: (object, old) => validateUpdate(fromV1beta1(object), fromV1beta1(old)) }),
  };
}

/** Requests of v1beta1 that are not alternatives take the defaults that v1 has under `exactly`. */
function defaultFlatRequests(object: KubeObject): void {
  type Requests = {
    devices?: { requests?: { firstAvailable?: unknown[]; allocationMode?: string; count?: number }[] };
  };
  const spec = object["spec"] as Requests & { spec?: Requests };
  for (const request of (spec?.spec ?? spec)?.devices?.requests ?? []) {
    if ((request.firstAvailable ?? []).length > 0) continue;
    request.allocationMode ||= "ExactCount";
    if (request.allocationMode === "ExactCount" && !request.count) request.count = 1;
  }
}

function oldestKinds(current: readonly KindDeclaration[]): KindDeclaration[] {
  return current.map((declaration) => ({
    ...declaration,
    version: "v1beta1",
    strategy: {
      ...throughV1(declaration.strategy),
      ...(declaration.kind.startsWith("ResourceClaim") ? { defaults: defaultFlatRequests } : {}),
    },
    status: throughV1(declaration.status),
    printRow: (object, now) => declaration.printRow!(fromV1beta1(object), now),
    toStorage: fromV1beta1,
    fromStorage: toV1beta1,
  }));
}

const current = currentKinds("v1");
/** Classes, claims, templates and slices in every version. */
export const dynamicResources: readonly KindDeclaration[] = [
  ...current,
  ...currentKinds("v1beta2"),
  ...oldestKinds(current),
];

export const taintRules: readonly KindDeclaration[] = ["v1beta2", "v1alpha3"].map((version) =>
  defineResource<DeviceTaintRule>({
    group,
    version,
    kind: "DeviceTaintRule",
    printRow: printDeviceTaintRule,
    strategy: { validate: validateDeviceTaintRule },
    status: { resetMetadata: ALL_METADATA },
  }),
);
export const resourcePoolStatusRequest = defineResource<ResourcePoolStatusRequest>({
  group,
  version: "v1alpha3",
  kind: "ResourcePoolStatusRequest",
  printRow: printPoolStatusRequest,
});
