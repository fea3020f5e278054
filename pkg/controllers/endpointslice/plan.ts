import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { Node, Pod, Service } from "#pkg/api/types/core-v1.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { stableJson } from "../common/hash.ts";
import { controllerRef, podsPrefix } from "../common/pod-template.ts";
import {
  HEADLESS_LABEL,
  isHeadless,
  LAST_CHANGE_ANNOTATION,
  podAddresses,
  serviceFamilies,
  shouldBeEndpoint,
} from "../common/services.ts";
import { endpointOf, slicePorts } from "./endpoint.ts";

export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const MANAGED_BY = "endpointslice-controller.k8s.io";

/** The changes that make the slices say what the pods are. */
export interface SlicePlan {
  readonly create: Draft<EndpointSlice>[];
  readonly update: EndpointSlice[];
  readonly delete: EndpointSlice[];
}

/** Endpoints that belong into slices of one address type and one set of ports. */
interface Group {
  readonly addressType: string;
  readonly ports: EndpointPort[];
  readonly endpoints: Map<string, Endpoint>;
}

/** The slices a service should have, changing as few of the present ones as possible. */
export function planSlices(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
  existing: readonly EndpointSlice[],
  options: { readonly maxEndpoints: number; readonly now: string },
): SlicePlan {
  const groups = groupPods(service, pods, nodeOf);
  return planGroups(service, groups, existing, sliceLabels(service), options);
}

/** Labels of the service, and those that name the service and the slice's keeper. */
function sliceLabels(service: Service): Record<string, string> {
  const labels: Record<string, string> = { ...service.metadata.labels };
  delete labels[HEADLESS_LABEL];
  if (isHeadless(service)) labels[HEADLESS_LABEL] = "";
  labels[SERVICE_NAME_LABEL] = service.metadata.name;
  labels[MANAGED_BY_LABEL] = MANAGED_BY;
  return labels;
}

function groupKey(addressType: string, ports: readonly EndpointPort[] | null | undefined): string {
  const normal = (ports ?? []).map(({ name, port, protocol, appProtocol }) => ({
    name: name ?? "",
    port,
    protocol: protocol ?? "TCP",
    appProtocol,
  }));
  return `${addressType} ${stableJson(normal.map(stableJson).sort())}`;
}

function endpointKey(endpoint: Endpoint): string {
  return `${endpoint.targetRef?.uid ?? ""} ${endpoint.addresses.join(",")}`;
}

function groupPods(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const addressType of serviceFamilies(service)) {
    for (const pod of pods) {
      if (!shouldBeEndpoint(pod, true)) continue;
      const address = podAddresses(pod, addressType)[0];
      if (address === undefined) continue;
      // A pod without any of the named ports is an endpoint all the same, in a slice without ports.
      const ports = slicePorts(service, pod);
      const key = groupKey(addressType, ports);
      let group = groups.get(key);
      if (group === undefined) groups.set(key, (group = { addressType, ports, endpoints: new Map() }));
      const endpoint = endpointOf(pod, address, service, nodeOf(pod.spec.nodeName ?? ""));
      group.endpoints.set(endpointKey(endpoint), endpoint);
    }
  }
  return groups;
}

function planGroups(
  service: Service,
  groups: ReadonlyMap<string, Group>,
  existing: readonly EndpointSlice[],
  labels: Record<string, string>,
  { maxEndpoints, now }: { maxEndpoints: number; now: string },
): SlicePlan {
  const plan: SlicePlan = { create: [], update: [], delete: [] };
  const present = new Map<string, EndpointSlice[]>();
  const families = serviceFamilies(service);
  for (const slice of existing) {
    const key = groupKey(slice.addressType, slice.ports);
    if (!groups.has(key) && !(families.includes(slice.addressType) && isPlaceholder(slice))) plan.delete.push(slice);
    else present.set(key, [...(present.get(key) ?? []), slice]);
  }
  for (const [key, group] of groups) {
    fill(service, group, present.get(key) ?? [], labels, maxEndpoints, now, plan);
    present.delete(key);
  }
  for (const addressType of families) {
    const served = [...groups.values()].some((group) => group.addressType === addressType);
    const placeholders = present.get(groupKey(addressType, [])) ?? [];
    // A service without endpoints still has one empty slice: consumers tell "none" from "not yet".
    if (served) plan.delete.push(...placeholders);
    else placeholder(service, addressType, placeholders, labels, plan);
  }
  return plan;
}

function isPlaceholder(slice: EndpointSlice): boolean {
  return (slice.ports ?? []).length === 0;
}

function placeholder(
  service: Service,
  addressType: string,
  present: readonly EndpointSlice[],
  labels: Record<string, string>,
  plan: SlicePlan,
): void {
  const [first, ...rest] = present;
  plan.delete.push(...rest);
  if (first === undefined) plan.create.push(draft(service, addressType, [], [], labels));
  else if (!deepEqual(first.metadata.labels, labels) || (first.endpoints ?? []).length > 0)
    plan.update.push({ ...first, metadata: { ...first.metadata, labels }, endpoints: [] });
}

/** Puts a group's endpoints into its slices: stays where it is, then gaps in changed slices, then new slices. */
function fill(
  service: Service,
  group: Group,
  slices: readonly EndpointSlice[],
  labels: Record<string, string>,
  maxEndpoints: number,
  now: string,
  plan: SlicePlan,
): void {
  const left = new Map(group.endpoints);
  const kept = slices.map((slice) => {
    const before = slice.endpoints ?? [];
    const endpoints: Endpoint[] = [];
    for (const endpoint of before) {
      const wanted = left.get(endpointKey(endpoint));
      if (wanted === undefined || endpoints.length >= maxEndpoints) continue;
      endpoints.push(wanted);
      left.delete(endpointKey(endpoint));
    }
    return { slice, endpoints, changed: !deepEqual(before, endpoints) || !deepEqual(slice.metadata.labels, labels) };
  });
  const rest = [...left.values()];
  for (const entry of kept) {
    if (!entry.changed) continue;
    entry.endpoints.push(...rest.splice(0, Math.max(0, maxEndpoints - entry.endpoints.length)));
  }
  while (rest.length >= maxEndpoints)
    plan.create.push(draft(service, group.addressType, group.ports, rest.splice(0, maxEndpoints), labels, now));
  if (rest.length > 0) {
    // One write either way: rather the fullest slice that takes them all than a further slice.
    const roomy = kept
      .filter(
        ({ endpoints, changed }) => !changed && endpoints.length > 0 && endpoints.length + rest.length <= maxEndpoints,
      )
      .sort((a, b) => b.endpoints.length - a.endpoints.length)[0];
    if (roomy === undefined) plan.create.push(draft(service, group.addressType, group.ports, rest, labels, now));
    else {
      roomy.endpoints.push(...rest);
      roomy.changed = true;
    }
  }
  for (const { slice, endpoints, changed } of kept) {
    if (endpoints.length === 0) plan.delete.push(slice);
    else if (changed) plan.update.push(updated(slice, endpoints, labels, now));
  }
}

function updated(
  slice: EndpointSlice,
  endpoints: Endpoint[],
  labels: Record<string, string>,
  now: string,
): EndpointSlice {
  const annotations = { ...slice.metadata.annotations, [LAST_CHANGE_ANNOTATION]: now };
  return { ...slice, metadata: { ...slice.metadata, labels, annotations }, endpoints };
}

function draft(
  service: Service,
  addressType: string,
  ports: EndpointPort[],
  endpoints: Endpoint[],
  labels: Record<string, string>,
  now?: string,
): Draft<EndpointSlice> {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: podsPrefix(service.metadata.name),
      namespace: service.metadata.namespace,
      labels,
      ...(now === undefined ? {} : { annotations: { [LAST_CHANGE_ANNOTATION]: now } }),
      ownerReferences: [controllerRef(service, { apiVersion: "v1", kind: "Service" })],
    },
    addressType,
    endpoints,
    ports,
  };
}
