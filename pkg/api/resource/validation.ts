import type {
  Device,
  DeviceClaim,
  DeviceClass,
  DeviceRequest,
  DeviceSelector,
  DeviceSubRequest,
  DeviceTaint,
  DeviceToleration,
  ExactDeviceRequest,
  OpaqueDeviceConfiguration,
  ResourceClaim,
  ResourceClaimSpec,
  ResourceClaimTemplate,
  ResourceSlice,
} from "../types/resource-v1.ts";
import type { DeviceTaintRule } from "../types/resource-v1alpha3.ts";
import { validateNodeSelector } from "../core/validation/affinity.ts";
import {
  dnsLabel,
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  isEmpty,
  missing,
  notSupported,
  oneOf,
  qualifiedName,
  required,
  tooLong,
  tooMany,
} from "../validation/rules.ts";

const MAX_DRIVER_NAME = 63;
const MAX_REQUESTS = 32;
const MAX_SUBREQUESTS = 8;
const MAX_SELECTORS = 32;
const MAX_CONFIGS = 32;
const MAX_CONSTRAINTS = 32;
const MAX_DEVICES = 128;
const MAX_RESERVATIONS = 256;
const MAX_EXPRESSION_BYTES = 10 * 1024;
const MAX_PARAMETER_BYTES = 10 * 1024;

function bounded(items: readonly unknown[] | null | undefined, most: number, path: string): FieldError[] {
  const count = (items ?? []).length;
  return count > most ? [tooMany(path, count, most)] : [];
}

function validateDriver(name: string | undefined, path: string): FieldError[] {
  if (isEmpty(name)) return [required(path)];
  const errors = name!.length > MAX_DRIVER_NAME ? [tooLong(path, MAX_DRIVER_NAME)] : [];
  return [...errors, ...dnsSubdomain(name!, path)];
}

function validateSelectors(selectors: readonly DeviceSelector[] | undefined, path: string): FieldError[] {
  return [
    ...bounded(selectors, MAX_SELECTORS, path),
    ...each(selectors, path, ({ cel }, at) => {
      if (cel === undefined) return [required(`${at}.cel`)];
      if (isEmpty(cel.expression)) return [required(`${at}.cel.expression`)];
      return cel.expression.length > MAX_EXPRESSION_BYTES
        ? [tooLong(`${at}.cel.expression`, MAX_EXPRESSION_BYTES)]
        : [];
    }),
  ];
}

const TAINT_EFFECTS = ["None", "NoExecute", "NoSchedule"];

function validateTolerations(tolerations: readonly DeviceToleration[] | undefined, path: string): FieldError[] {
  return each(tolerations, path, ({ key, operator, value, effect }, at) => {
    const errors: FieldError[] = [];
    if (!isEmpty(key)) errors.push(...qualifiedName(key!, `${at}.key`));
    if (operator === "Exists") {
      if (!isEmpty(value)) errors.push(invalid(`${at}.value`, value, "must be empty for operator `Exists`"));
    } else if (operator === "Equal" || isEmpty(operator)) {
      if (isEmpty(operator)) errors.push(required(`${at}.operator`));
      else if (isEmpty(key)) errors.push(required(`${at}.key`));
    } else errors.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists"]));
    return [...errors, ...oneOf(effect, TAINT_EFFECTS, `${at}.effect`, true)];
  });
}

function validateExact(request: ExactDeviceRequest | DeviceSubRequest, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { deviceClassName, allocationMode, count } = request;
  if (isEmpty(deviceClassName)) errors.push(required(`${path}.deviceClassName`));
  else errors.push(...dnsSubdomain(deviceClassName, `${path}.deviceClassName`));
  errors.push(...validateSelectors(request.selectors, `${path}.selectors`));
  if (allocationMode === "All") {
    if (count) errors.push(invalid(`${path}.count`, count, "must not be specified when allocationMode is 'All'"));
  } else if (allocationMode === "ExactCount") {
    if ((count ?? 0) <= 0) errors.push(invalid(`${path}.count`, count ?? 0, "must be greater than zero"));
  } else errors.push(notSupported(`${path}.allocationMode`, allocationMode ?? "", ["All", "ExactCount"]));
  return [...errors, ...validateTolerations(request.tolerations, `${path}.tolerations`)];
}

function validateRequest(request: DeviceRequest, path: string): FieldError[] {
  const errors: FieldError[] = isEmpty(request.name)
    ? [required(`${path}.name`)]
    : dnsLabel(request.name, `${path}.name`);
  const { exactly, firstAvailable = [] } = request;
  if (exactly === undefined && firstAvailable.length === 0) {
    return [...errors, required(path, "exactly one of `exactly` or `firstAvailable` is required")];
  }
  if (exactly !== undefined && firstAvailable.length > 0) {
    return [
      ...errors,
      invalid(path, null, "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"),
    ];
  }
  if (exactly !== undefined) return [...errors, ...validateExact(exactly, `${path}.exactly`)];
  const names = new Set<string>();
  return [
    ...errors,
    ...bounded(firstAvailable, MAX_SUBREQUESTS, `${path}.firstAvailable`),
    ...each(firstAvailable, `${path}.firstAvailable`, (sub, at) => {
      const found: FieldError[] = isEmpty(sub.name) ? [required(`${at}.name`)] : dnsLabel(sub.name, `${at}.name`);
      if (names.has(sub.name)) found.push(duplicate(at, sub.name));
      names.add(sub.name);
      return [...found, ...validateExact(sub, at)];
    }),
  ];
}

function validateOpaque(opaque: OpaqueDeviceConfiguration | undefined, path: string): FieldError[] {
  if (opaque === undefined) return [required(path)];
  const errors = validateDriver(opaque.driver, `${path}.driver`);
  if (opaque.parameters === undefined) errors.push(required(`${path}.parameters`));
  else if (JSON.stringify(opaque.parameters).length > MAX_PARAMETER_BYTES) {
    errors.push(tooLong(`${path}.parameters`, MAX_PARAMETER_BYTES));
  }
  return errors;
}

/** Names by which constraints and configuration may refer to requests. */
function requestNames(claim: DeviceClaim): Set<string> {
  const names = new Set<string>();
  for (const { name, firstAvailable } of claim.requests ?? []) {
    names.add(name);
    for (const sub of firstAvailable ?? []) names.add(`${name}/${sub.name}`);
  }
  return names;
}

function validateRequestRefs(
  refs: readonly string[] | undefined,
  known: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return each(refs, path, (ref, at) => {
    if (seen.has(ref)) return [duplicate(at, ref)];
    seen.add(ref);
    return known.has(ref)
      ? []
      : [
          invalid(
            at,
            ref,
            "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'",
          ),
        ];
  });
}

function validateClaimSpec({ devices = {} }: ResourceClaimSpec, path: string): FieldError[] {
  const at = `${path}.devices`;
  const known = requestNames(devices);
  const names = new Set<string>();
  return [
    ...bounded(devices.requests, MAX_REQUESTS, `${at}.requests`),
    ...each(devices.requests, `${at}.requests`, (request, item) => {
      const errors = validateRequest(request, item);
      if (names.has(request.name)) errors.push(duplicate(item, request.name));
      names.add(request.name);
      return errors;
    }),
    ...bounded(devices.constraints, MAX_CONSTRAINTS, `${at}.constraints`),
    ...each(devices.constraints, `${at}.constraints`, ({ requests, matchAttribute, distinctAttribute }, item) => [
      ...validateRequestRefs(requests, known, `${item}.requests`),
      ...(isEmpty(matchAttribute) && isEmpty(distinctAttribute) ? [required(`${item}.matchAttribute`)] : []),
    ]),
    ...bounded(devices.config, MAX_CONFIGS, `${at}.config`),
    ...each(devices.config, `${at}.config`, ({ requests, opaque }, item) => [
      ...validateRequestRefs(requests, known, `${item}.requests`),
      ...validateOpaque(opaque, `${item}.opaque`),
    ]),
  ];
}

export const validateResourceClaim = ({ spec }: ResourceClaim): FieldError[] => validateClaimSpec(spec, "spec");

export const validateResourceClaimUpdate = (claim: ResourceClaim, old: Readonly<ResourceClaim>): FieldError[] => [
  ...immutable(claim.spec, old.spec, "spec"),
  ...validateResourceClaim(claim),
];

const MAX_DEVICE_CONDITIONS = 8;
const MAX_DEVICE_DATA_BYTES = 10 * 1024;

/** What drivers report about devices of the claim; about others they have nothing to say. */
function validateDeviceStatuses({ status }: ResourceClaim): FieldError[] {
  const keyOf = (device: { driver: string; pool: string; device: string; shareID?: string }): string =>
    [device.driver, device.pool, device.device, ...(device.shareID === undefined ? [] : [device.shareID])].join("/");
  const allocated = new Set((status?.allocation?.devices?.results ?? []).map(keyOf));
  const seen = new Set<string>();
  return each(status?.devices, "status.devices", (device, at) => {
    const errors = validateDriver(device.driver, `${at}.driver`);
    if (isEmpty(device.pool)) errors.push(required(`${at}.pool`));
    if (isEmpty(device.device)) errors.push(required(`${at}.device`));
    else errors.push(...dnsLabel(device.device, `${at}.device`));
    const key = keyOf(device);
    if (!allocated.has(key)) errors.push(invalid(at, key, "must be an allocated device in the claim"));
    if (seen.has(key)) errors.push(duplicate(at, key));
    seen.add(key);
    errors.push(...bounded(device.conditions, MAX_DEVICE_CONDITIONS, `${at}.conditions`));
    if (device.data !== undefined && JSON.stringify(device.data).length > MAX_DEVICE_DATA_BYTES) {
      errors.push(tooLong(`${at}.data`, MAX_DEVICE_DATA_BYTES));
    }
    return errors;
  });
}

export function validateResourceClaimStatus(claim: ResourceClaim, old: Readonly<ResourceClaim>): FieldError[] {
  const { allocation, reservedFor = [] } = claim.status ?? {};
  const errors = bounded(reservedFor, MAX_RESERVATIONS, "status.reservedFor");
  const uids = new Set<string>();
  errors.push(
    ...each(reservedFor, "status.reservedFor", ({ resource, name, uid }, at) => {
      const found: FieldError[] = [];
      if (isEmpty(resource)) found.push(required(`${at}.resource`));
      if (isEmpty(name)) found.push(required(`${at}.name`));
      if (isEmpty(uid)) found.push(required(`${at}.uid`));
      if (uids.has(uid)) found.push(duplicate(`${at}.uid`, uid));
      uids.add(uid);
      return found;
    }),
  );
  if (reservedFor.length > 0 && allocation === undefined) {
    errors.push(forbidden("status.reservedFor", "may not be specified when `allocated` is not set"));
  }
  const before = old.status?.allocation;
  if (before !== undefined && allocation !== undefined) {
    errors.push(...immutable(allocation, before, "status.allocation"));
  }
  errors.push(...validateDeviceStatuses(claim));
  if (allocation === undefined) return errors;
  const known = requestNames(claim.spec.devices ?? {});
  return [
    ...errors,
    ...validateNodeSelector(allocation.nodeSelector, "status.allocation.nodeSelector"),
    ...each(
      allocation.devices?.results,
      "status.allocation.devices.results",
      ({ request, driver, pool, device }, at) => [
        ...(known.has(request) ? [] : [missing(`${at}.request`, request)]),
        ...validateDriver(driver, `${at}.driver`),
        ...(isEmpty(pool) ? [required(`${at}.pool`)] : []),
        ...(isEmpty(device) ? [required(`${at}.device`)] : dnsLabel(device, `${at}.device`)),
      ],
    ),
  ];
}

export const validateResourceClaimTemplate = ({ spec }: ResourceClaimTemplate): FieldError[] =>
  validateClaimSpec(spec?.spec ?? {}, "spec.spec");

export const validateResourceClaimTemplateUpdate = (
  template: ResourceClaimTemplate,
  old: Readonly<ResourceClaimTemplate>,
): FieldError[] => [...immutable(template.spec, old.spec, "spec"), ...validateResourceClaimTemplate(template)];

export function validateDeviceClass({ spec = {} }: DeviceClass): FieldError[] {
  const errors = [
    ...validateSelectors(spec.selectors, "spec.selectors"),
    ...bounded(spec.config, MAX_CONFIGS, "spec.config"),
    ...each(spec.config, "spec.config", ({ opaque }, at) => validateOpaque(opaque, `${at}.opaque`)),
  ];
  const name = spec.extendedResourceName;
  if (!isEmpty(name)) errors.push(...qualifiedName(name!, "spec.extendedResourceName"));
  return errors;
}

function validateTaint({ key, value, effect }: DeviceTaint, path: string): FieldError[] {
  const errors: FieldError[] = isEmpty(key) ? [required(`${path}.key`)] : qualifiedName(key, `${path}.key`);
  if (!isEmpty(value)) errors.push(...qualifiedName(value!, `${path}.value`));
  return [...errors, ...oneOf(effect, TAINT_EFFECTS, `${path}.effect`)];
}

const ATTRIBUTE_KINDS = ["int", "bool", "string", "version", "ints", "bools", "strings", "versions"] as const;

function validateDevice(device: Device, path: string): FieldError[] {
  const errors: FieldError[] = isEmpty(device.name)
    ? [required(`${path}.name`)]
    : dnsLabel(device.name, `${path}.name`);
  for (const [name, attribute] of Object.entries(device.attributes ?? {})) {
    const at = `${path}.attributes[${name}]`;
    const set = ATTRIBUTE_KINDS.filter((kind) => attribute[kind] !== undefined);
    if (set.length === 0) errors.push(required(at, "exactly one value must be specified"));
    else if (set.length > 1) errors.push(invalid(at, attribute, "exactly one value must be specified"));
  }
  return [...errors, ...each(device.taints, `${path}.taints`, validateTaint)];
}

export function validateResourceSlice({ spec }: ResourceSlice): FieldError[] {
  const errors = validateDriver(spec.driver, "spec.driver");
  const { pool, nodeName, nodeSelector, allNodes, perDeviceNodeSelection } = spec;
  if (isEmpty(pool?.name)) errors.push(required("spec.pool.name"));
  else for (const part of pool.name.split("/")) errors.push(...dnsSubdomain(part, "spec.pool.name"));
  if ((pool?.resourceSliceCount ?? 0) <= 0) {
    errors.push(invalid("spec.pool.resourceSliceCount", pool?.resourceSliceCount ?? 0, "must be greater than zero"));
  }
  if ((pool?.generation ?? 0) < 0) {
    errors.push(invalid("spec.pool.generation", pool.generation, "must be greater than or equal to zero"));
  }
  const chosen = [!isEmpty(nodeName), nodeSelector !== undefined, allNodes === true, perDeviceNodeSelection === true];
  const count = chosen.filter(Boolean).length;
  const which = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  if (count === 0) errors.push(required("spec", which));
  else if (count > 1) errors.push(invalid("spec", null, `${which}, but multiple fields are set`));
  if (!isEmpty(nodeName)) errors.push(...dnsSubdomain(nodeName!, "spec.nodeName"));
  if (nodeSelector !== undefined) errors.push(...validateNodeSelector(nodeSelector, "spec.nodeSelector"));
  const names = new Set<string>();
  return [
    ...errors,
    ...bounded(spec.devices, MAX_DEVICES, "spec.devices"),
    ...each(spec.devices, "spec.devices", (device, at) => {
      const found = validateDevice(device, at);
      if (names.has(device.name)) found.push(duplicate(`${at}.name`, device.name));
      names.add(device.name);
      return found;
    }),
  ];
}

export const validateResourceSliceUpdate = (slice: ResourceSlice, old: Readonly<ResourceSlice>): FieldError[] => [
  ...validateResourceSlice(slice),
  ...immutable(slice.spec.nodeName, old.spec.nodeName, "spec.nodeName"),
  ...immutable(slice.spec.driver, old.spec.driver, "spec.driver"),
  ...immutable(slice.spec.pool?.name, old.spec.pool?.name, "spec.pool.name"),
];

export const validateDeviceTaintRule = ({ spec }: DeviceTaintRule): FieldError[] =>
  validateTaint(spec.taint ?? { key: "", effect: "" }, "spec.taint");
