import { isQualifiedName, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { ContainerResizePolicy, PodSpec, ResourceClaim, ResourceRequirements } from "../../types/core-v1.ts";
import {
  allInvalid,
  dnsLabel,
  duplicate,
  each,
  type FieldError,
  forbidden,
  invalid,
  isEmpty,
  missing,
  notSupported,
  required,
} from "../../validation/rules.ts";
import { aggregateRequests, isPodLevelResource } from "../pod-defaults.ts";

const STANDARD_CONTAINER = new Set(["cpu", "memory", "ephemeral-storage"]);
const DEFAULT_PREFIX = "kubernetes.io/";

const isHugePages = (name: string): boolean => name.startsWith("hugepages-");

/** Belongs to Kubernetes itself: it has no prefix, or kubernetes.io's. */
function isNativeResource(name: string): boolean {
  return !name.includes("/") || name.includes(DEFAULT_PREFIX);
}

function isExtendedResource(name: string): boolean {
  if (isNativeResource(name) || name.startsWith("requests.")) return false;
  return isQualifiedName(`requests.${name}`).length === 0;
}

/** May more of it be promised than there is? */
export function isOvercommitAllowed(name: string): boolean {
  return isNativeResource(name) && !isHugePages(name);
}

const INTEGER_RESOURCES = new Set([
  "pods",
  "services",
  "replicationcontrollers",
  "resourcequotas",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
]);

function isIntegerResource(name: string): boolean {
  return INTEGER_RESOURCES.has(name) || isExtendedResource(name);
}

/** More thousandths than Go can count do not pass for an integer. */
const MAX_COUNT = 2 ** 63 / 1000;

export function validateResourceQuantity(name: string, amount: string | number, path: string): FieldError[] {
  const quantity = parseQuantity(amount);
  const errors: FieldError[] = [];
  if (quantity.sign < 0) errors.push(invalid(path, quantity.toString(), "must be greater than or equal to 0"));
  if (isIntegerResource(name) && (!quantity.isInteger() || Math.abs(quantity.value()) > MAX_COUNT)) {
    errors.push(invalid(path, quantity.toString(), "must be an integer"));
  }
  return errors;
}

/** Words without a prefix that name a resource somewhere: of containers, quotas or volumes. */
const STANDARD_RESOURCES: ReadonlySet<string> = new Set([
  ...INTEGER_RESOURCES,
  "cpu",
  "memory",
  "ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "storage",
  "requests.storage",
]);

function isStandardResource(name: string): boolean {
  return STANDARD_RESOURCES.has(name) || isQuotaHugePages(name);
}

export const isQuotaHugePages = (name: string): boolean => isHugePages(name) || name.startsWith("requests.hugepages-");

/** Errors of the name of any resource. */
export function validateResourceName(name: string, path: string): FieldError[] {
  const errors = allInvalid(path, name, isQualifiedName(name));
  if (errors.length > 0 || name.includes("/") || isStandardResource(name)) return errors;
  return [invalid(path, name, "must be a standard resource type or fully qualified")];
}

export function validateContainerResourceName(name: string, path: string): FieldError[] {
  if (STANDARD_CONTAINER.has(name)) return [];
  const errors = validateResourceName(name, path);
  if (!name.includes("/")) {
    if (!isHugePages(name)) errors.push(invalid(path, name, "must be a standard resource for containers"));
  } else if (!isNativeResource(name) && !isExtendedResource(name)) {
    errors.push(invalid(path, name, "doesn't follow extended resource name standard"));
  }
  return errors;
}

/** Huge pages are counted in whole pages. */
function validateHugePages(name: string, amount: string | number, path: string): FieldError[] {
  const size = parseQuantitySafe(name.slice("hugepages-".length));
  const quantity = parseQuantity(amount);
  const bytes = quantity.value();
  if (size !== undefined && size > 0 && bytes % size === 0) return [];
  const text = quantity.toString();
  return [invalid(path, text, `${text} is not positive integer multiple of ${name}`)];
}

function parseQuantitySafe(text: string): number | undefined {
  try {
    return parseQuantity(text).value();
  } catch {
    return undefined;
  }
}

type NameRule = (name: string, path: string) => FieldError[];

function validateLimits(limits: ResourceRequirements["limits"], path: string, validateName: NameRule): FieldError[] {
  const errors: FieldError[] = [];
  for (const name in limits) {
    const at = `${path}[${name}]`;
    errors.push(...validateName(name, at), ...validateResourceQuantity(name, limits[name]!, at));
    if (isHugePages(name)) errors.push(...validateHugePages(name, limits[name]!, at));
  }
  return errors;
}

function validateRequests(resources: ResourceRequirements, path: string, validateName: NameRule): FieldError[] {
  const errors: FieldError[] = [];
  const list = `${path}.requests`;
  for (const [name, amount] of Object.entries(resources.requests ?? {})) {
    const at = `${list}[${name}]`;
    errors.push(...validateName(name, at), ...validateResourceQuantity(name, amount, at));
    const quantity = parseQuantity(amount);
    const limit = resources.limits?.[name];
    if (limit !== undefined) {
      const most = parseQuantity(limit);
      const order = quantity.cmp(most);
      if (order !== 0 && !isOvercommitAllowed(name)) {
        errors.push(invalid(list, quantity.toString(), `must be equal to ${name} limit of ${most}`));
      } else if (order > 0) {
        errors.push(invalid(list, quantity.toString(), `must be less than or equal to ${name} limit of ${most}`));
      }
    } else if (!isOvercommitAllowed(name)) {
      errors.push(required(`${path}.limits`, "Limit must be set for non overcommitable resources"));
    }
    if (isHugePages(name)) errors.push(...validateHugePages(name, amount, at));
  }
  return errors;
}

function needsCpuOrMemory(resources: ResourceRequirements, path: string): FieldError[] {
  const names = [...Object.keys(resources.limits ?? {}), ...Object.keys(resources.requests ?? {})];
  const alone = names.some(isHugePages) && !names.includes("cpu") && !names.includes("memory");
  return alone ? [forbidden(path, "HugePages require cpu or memory")] : [];
}

function validateClaims(
  claims: readonly ResourceClaim[] | undefined,
  podClaims: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return each(claims, path, ({ name, request }, at) => {
    if (isEmpty(name)) return [required(at)];
    const errors: FieldError[] = [];
    if (seen.has(name)) errors.push(duplicate(at, name));
    else {
      const key = isEmpty(request) ? name : `${name}/${request}`;
      if (!isEmpty(request)) errors.push(...dnsLabel(request!, `${at}.request`));
      // All of a claim overlaps with any part of it.
      const overlaps = seen.has(key) || (key === name && [...seen].some((other) => other.startsWith(`${name}/`)));
      if (overlaps) errors.push(duplicate(at, key));
      seen.add(key);
    }
    if (!podClaims.has(name)) {
      const names = podClaims.size === 0 ? " which is empty" : `: ${[...podClaims].sort().join(", ")}`;
      const error = missing(at, name);
      errors.push({
        ...error,
        message: `${error.message}: must be one of the names in pod.spec.resourceClaims${names}`,
      });
    }
    return errors;
  });
}

/** Requests, limits and claims of a container. */
export function validateResources(
  resources: ResourceRequirements | undefined,
  podClaims: ReadonlySet<string>,
  path: string,
): FieldError[] {
  if (resources === undefined) return [];
  return [
    ...validateLimits(resources.limits, `${path}.limits`, validateContainerResourceName),
    ...validateRequests(resources, path, validateContainerResourceName),
    ...needsCpuOrMemory(resources, path),
    ...validateClaims(resources.claims, podClaims, `${path}.claims`),
  ];
}

/** What a pod asks for as a whole covers what its containers ask for, and no container may use more than the pod. */
function validatePodCoversContainers(spec: PodSpec, path: string): FieldError[] {
  const { requests = {}, limits = {} } = spec.resources ?? {};
  const errors: FieldError[] = [];
  const needed = aggregateRequests(spec);
  for (const [name, amount] of Object.entries(requests)) {
    const sum = needed.get(name);
    if (sum === undefined || parseQuantity(amount).cmp(sum) >= 0) continue;
    const why = `must be greater than or equal to aggregate container requests of ${sum}`;
    errors.push(invalid(`${path}.resources.requests[${name}]`, String(amount), why));
  }
  for (const [index, { resources }] of (spec.containers ?? []).entries()) {
    for (const [name, limit] of Object.entries(limits)) {
      const own = resources?.limits?.[name];
      if (own === undefined || parseQuantity(own).cmp(parseQuantity(limit)) <= 0) continue;
      const why = `must be less than or equal to pod limits of ${parseQuantity(limit)}`;
      const at = `${path}.resources.containers[${index}][${name}].limits`;
      errors.push(invalid(at, parseQuantity(own).toString(), why));
    }
  }
  return errors;
}

/** Requests and limits of a pod as a whole (KEP-2837). */
export function validatePodResources(spec: PodSpec, path: string): FieldError[] {
  const resources = spec.resources;
  if (resources === undefined) return [];
  const at = `${path}.resources`;
  const supported = (name: string, item: string): FieldError[] => {
    const errors = validateResourceName(name, item);
    if (errors.length > 0 || isPodLevelResource(name)) return errors;
    return [notSupported(item, name, ["cpu", "hugepages-", "memory"])];
  };
  return [
    ...((resources.claims ?? []).length > 0
      ? [forbidden(`${at}.claims`, "claims cannot be set for Resources at pod-level")]
      : []),
    ...validateLimits(resources.limits, `${at}.limits`, supported),
    ...validateRequests(resources, at, supported),
    ...needsCpuOrMemory(resources, at),
    ...validatePodCoversContainers(spec, path),
  ];
}

export function validateResizePolicies(
  policies: readonly ContainerResizePolicy[] | undefined,
  podRestartPolicy: string | undefined,
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return each(policies, path, ({ resourceName, restartPolicy }, at) => {
    const errors: FieldError[] = [];
    if (seen.has(resourceName)) errors.push(duplicate(at, resourceName));
    seen.add(resourceName);
    if (isEmpty(resourceName)) errors.push(required(path));
    else if (resourceName !== "cpu" && resourceName !== "memory") {
      errors.push(notSupported(path, resourceName, ["cpu", "memory"]));
    }
    if (isEmpty(restartPolicy)) errors.push(required(path));
    else if (restartPolicy !== "NotRequired" && restartPolicy !== "RestartContainer") {
      errors.push(notSupported(path, restartPolicy, ["NotRequired", "RestartContainer"]));
    }
    if (podRestartPolicy === "Never" && restartPolicy !== "NotRequired") {
      errors.push(invalid(path, restartPolicy, "must be 'NotRequired' when `restartPolicy` is 'Never'"));
    }
    return errors;
  });
}
