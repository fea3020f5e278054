import { isQualifiedName, parseQuantity } from "#pkg/apimachinery/index.ts";
import type { ContainerResizePolicy, PodSpec, ResourceClaim, ResourceRequirements } from "../../types/core-v1.ts";
import {
  allInvalid,
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

export function validateResourceQuantity(name: string, amount: string | number, path: string): FieldError[] {
  const quantity = parseQuantity(amount);
  if (quantity.sign < 0) return [invalid(path, quantity.toString(), "must be greater than or equal to 0")];
  if (isIntegerResource(name) && !quantity.isInteger())
    return [invalid(path, quantity.toString(), "must be an integer")];
  return [];
}

export function validateContainerResourceName(name: string, path: string): FieldError[] {
  if (STANDARD_CONTAINER.has(name)) return [];
  const errors = allInvalid(path, name, isQualifiedName(name));
  if (errors.length > 0) return errors;
  if (!name.includes("/")) {
    if (STANDARD_CONTAINER.has(name) || isHugePages(name)) return [];
    return [invalid(path, name, "must be a standard resource for containers")];
  }
  if (isNativeResource(name) || isExtendedResource(name)) return [];
  return [invalid(path, name, "doesn't follow extended resource name standard")];
}

/** Huge pages are counted in whole pages. */
function validateHugePages(name: string, amount: string | number, path: string): FieldError[] {
  const size = parseQuantitySafe(name.slice("hugepages-".length));
  if (size === undefined || size <= 0) return [invalid(path, name, "must be a valid page size")];
  const bytes = parseQuantity(amount).value();
  return bytes % size === 0 ? [] : [invalid(path, String(amount), "must be a multiple of the page size")];
}

function parseQuantitySafe(text: string): number | undefined {
  try {
    return parseQuantity(text).value();
  } catch {
    return undefined;
  }
}

function validateRequests(resources: ResourceRequirements, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = `${path}.requests`;
  for (const [name, amount] of Object.entries(resources.requests ?? {})) {
    const quantity = parseQuantity(amount);
    const limit = resources.limits?.[name];
    if (limit !== undefined) {
      const order = quantity.cmp(parseQuantity(limit));
      if (order !== 0 && !isOvercommitAllowed(name)) {
        errors.push(invalid(at, quantity.toString(), `must be equal to ${name} limit of ${limit}`));
      } else if (order > 0) {
        errors.push(invalid(at, quantity.toString(), `must be less than or equal to ${name} limit of ${limit}`));
      }
    } else if (!isOvercommitAllowed(name)) {
      errors.push(required(`${path}.limits`, "Limit must be set for non overcommitable resources"));
    }
  }
  return errors;
}

function validateList(
  list: ResourceRequirements["limits"],
  path: string,
  validateName: (name: string, path: string) => FieldError[],
): FieldError[] {
  const errors: FieldError[] = [];
  if (list === undefined) return errors;
  for (const [name, amount] of Object.entries(list)) {
    const at = `${path}[${name}]`;
    errors.push(...validateName(name, at), ...validateResourceQuantity(name, amount, at));
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
    if (isEmpty(name)) return [required(`${at}.name`)];
    const errors: FieldError[] = [];
    const key = request === undefined ? name : `${name}/${request}`;
    if (seen.has(key) || (request !== undefined && seen.has(name))) errors.push(duplicate(at, key));
    seen.add(key);
    if (!podClaims.has(name)) errors.push(missing(`${at}.name`, name));
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
    ...validateList(resources.limits, `${path}.limits`, validateContainerResourceName),
    ...validateList(resources.requests, `${path}.requests`, validateContainerResourceName),
    ...validateRequests(resources, path),
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
      const why = `must be less than or equal to pod limits of ${limit}`;
      errors.push(invalid(`${path}.containers[${index}].resources.limits[${name}]`, String(own), why));
    }
  }
  return errors;
}

/** Requests and limits of a pod as a whole (KEP-2837). */
export function validatePodResources(spec: PodSpec, path: string): FieldError[] {
  const resources = spec.resources;
  if (resources === undefined) return [];
  const at = `${path}.resources`;
  const supported = (name: string, item: string): FieldError[] =>
    isPodLevelResource(name) ? [] : [notSupported(item, name, ["cpu", "hugepages-", "memory"])];
  return [
    ...((resources.claims ?? []).length > 0
      ? [forbidden(`${at}.claims`, "claims cannot be set for Resources at pod-level")]
      : []),
    ...validateList(resources.limits, `${at}.limits`, supported),
    ...validateList(resources.requests, `${at}.requests`, supported),
    ...validateRequests(resources, at),
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
  return each(policies, path, ({ resourceName, restartPolicy }) => {
    const errors: FieldError[] = [];
    if (seen.has(resourceName)) errors.push(duplicate(path, resourceName));
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
