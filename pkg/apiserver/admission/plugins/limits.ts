import type { Container, LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod } from "#pkg/api/types/core-v1.ts";
import { podLimits, podRequests, type ResourceList } from "#pkg/api/quota/index.ts";
import { parseQuantity, type Quantity, unshared } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes, AdmissionPlugin } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import { joinErrors, objectAs, refusal } from "../attributes.ts";

type RawList = Readonly<Record<string, string | number>> | undefined;

/** Defaults and bounds of a namespace's LimitRanges for containers, pods and claims. */
export class LimitRanger implements AdmissionPlugin {
  readonly name = "LimitRanger";
  readonly sparesShared = true;
  readonly #ranges: ObjectSource<LimitRange>;
  constructor(ranges: ObjectSource<LimitRange>) {
    this.#ranges = ranges;
  }

  handles({ resource, subresource, operation }: AdmissionAttributes): boolean {
    if (resource.group !== "" || (operation !== "CREATE" && operation !== "UPDATE")) return false;
    if (resource.plural === "persistentvolumeclaims") return subresource === "";
    if (resource.plural !== "pods") return false;
    // A pod's resources change by the resize subresource only.
    return operation === "CREATE" ? subresource === "" : subresource === "resize";
  }

  admit(attributes: AdmissionAttributes): void {
    if (attributes.resource.plural !== "pods" || attributes.operation !== "CREATE") return;
    const ranges = this.#ranges.list(attributes.namespace);
    if (ranges.length === 0) return;
    const pod = objectAs<Pod>(attributes);
    pod.spec = unshared(pod.spec);
    for (const range of ranges) applyDefaults(pod, range);
  }

  validate(attributes: AdmissionAttributes): void {
    const { object } = attributes;
    if (object === undefined || (attributes.operation === "UPDATE" && object.metadata.deletionTimestamp !== undefined))
      return;
    for (const range of this.#ranges.list(attributes.namespace)) {
      const errors =
        attributes.resource.plural === "pods"
          ? podErrors(objectAs<Pod>(attributes), range)
          : claimErrors(objectAs<PersistentVolumeClaim>(attributes), range);
      if (errors.length > 0) throw refusal(attributes, joinErrors(errors));
    }
  }
}

function applyDefaults(pod: Pod, range: LimitRange): void {
  const requests: Record<string, string | number> = {};
  const limits: Record<string, string | number> = {};
  for (const item of range.spec?.limits ?? []) {
    if (item.type !== "Container") continue;
    Object.assign(requests, item.defaultRequest);
    Object.assign(limits, item.default);
  }
  const notes = [
    ...(pod.spec?.containers ?? []).flatMap((container) => mergeContainer(container, requests, limits, "container")),
    ...(pod.spec?.initContainers ?? []).flatMap((container) =>
      mergeContainer(container, requests, limits, "init container"),
    ),
  ];
  if (notes.length > 0)
    (pod.metadata.annotations ??= {})["kubernetes.io/limit-ranger"] = `LimitRanger plugin set: ${notes.join("; ")}`;
}

function mergeContainer(container: Container, requests: RawList, limits: RawList, what: string): string[] {
  const notes: string[] = [];
  const merge = (field: "requests" | "limits", defaults: RawList, word: string): void => {
    const resources = (container.resources ??= {});
    const missing = Object.entries(defaults ?? {}).filter(([name]) => resources[field]?.[name] === undefined);
    if (missing.length === 0) return;
    resources[field] = { ...resources[field], ...Object.fromEntries(missing) } as typeof resources.limits;
    const names = missing
      .map(([name]) => name)
      .sort()
      .join(", ");
    notes.push(`${names} ${word} for ${what} ${container.name}`);
  };
  merge("requests", requests, "request");
  merge("limits", limits, "limit");
  return notes;
}

const parsed = (list: RawList): ResourceList =>
  new Map(Object.entries(list ?? {}).map(([k, v]) => [k, parseQuantity(v)]));

function podErrors(pod: Pod, range: LimitRange): string[] {
  const errors: string[] = [];
  for (const item of range.spec?.limits ?? []) {
    if (item.type === "Container") {
      for (const { resources } of [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])]) {
        errors.push(...itemErrors(item, parsed(resources?.requests as RawList), parsed(resources?.limits as RawList)));
      }
    } else if (item.type === "Pod") errors.push(...itemErrors(item, podRequests(pod), podLimits(pod)));
  }
  return errors;
}

function claimErrors(claim: PersistentVolumeClaim, range: LimitRange): string[] {
  const errors: string[] = [];
  const requests = parsed(claim.spec?.resources?.requests as RawList);
  for (const item of range.spec?.limits ?? []) {
    if (item.type !== "PersistentVolumeClaim") continue;
    for (const [name, bound] of parsed(item.min as RawList))
      push(errors, belowMinimum(name, "PersistentVolumeClaim", bound, requests, new Map()));
    for (const [name, bound] of parsed(item.max as RawList)) {
      const request = requests.get(name);
      const base = `maximum ${name} usage per PersistentVolumeClaim is ${bound.toString()}`;
      if (request === undefined) errors.push(`${base}. No request is specified`);
      else if (request.cmp(bound) > 0) errors.push(`${base}, but request is ${request.toString()}`);
    }
  }
  return errors;
}

function push(errors: string[], error: string | undefined): void {
  if (error !== undefined) errors.push(error);
}

function itemErrors(item: LimitRangeItem, requests: ResourceList, limits: ResourceList): string[] {
  const errors: string[] = [];
  for (const [name, bound] of parsed(item.min as RawList))
    push(errors, belowMinimum(name, item.type, bound, requests, limits));
  for (const [name, bound] of parsed(item.max as RawList))
    push(errors, aboveMaximum(name, item.type, bound, requests, limits));
  for (const [name, bound] of parsed(item.maxLimitRequestRatio as RawList))
    push(errors, aboveRatio(name, item.type, bound, requests, limits));
  return errors;
}

function belowMinimum(
  name: string,
  type: string,
  bound: Quantity,
  requests: ResourceList,
  limits: ResourceList,
): string | undefined {
  const base = `minimum ${name} usage per ${type} is ${bound.toString()}`;
  const request = requests.get(name);
  const limit = limits.get(name);
  if (request === undefined) return `${base}.  No request is specified`;
  if (request.cmp(bound) < 0) return `${base}, but request is ${request.toString()}`;
  if (limit !== undefined && limit.cmp(bound) < 0) return `${base}, but limit is ${limit.toString()}`;
  return undefined;
}

function aboveMaximum(
  name: string,
  type: string,
  bound: Quantity,
  requests: ResourceList,
  limits: ResourceList,
): string | undefined {
  const base = `maximum ${name} usage per ${type} is ${bound.toString()}`;
  const request = requests.get(name);
  const limit = limits.get(name);
  if (limit === undefined) return `${base}.  No limit is specified`;
  if (limit.cmp(bound) > 0) return `${base}, but limit is ${limit.toString()}`;
  if (request !== undefined && request.cmp(bound) > 0) return `${base}, but request is ${request.toString()}`;
  return undefined;
}

function aboveRatio(
  name: string,
  type: string,
  bound: Quantity,
  requests: ResourceList,
  limits: ResourceList,
): string | undefined {
  const base = `${name} max limit to request ratio per ${type} is ${bound.toString()}`;
  const request = requests.get(name)?.toNumber() ?? 0;
  const limit = limits.get(name)?.toNumber() ?? 0;
  if (request === 0) return `${base}, but no request is specified or request is 0`;
  if (limit === 0) return `${base}, but no limit is specified or limit is 0`;
  const ratio = limit / request;
  return ratio > bound.toNumber() ? `${base}, but provided ratio is ${ratio.toFixed(6)}` : undefined;
}
