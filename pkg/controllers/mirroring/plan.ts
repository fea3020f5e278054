/** Hand-made Endpoints as EndpointSlices: pure. */
import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { EndpointAddress, Endpoints } from "#pkg/api/types/core-v1.ts";
import type { Endpoint, EndpointPort, EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { controllerRef, podsPrefix } from "../common/pod-template.ts";
import { stableJson } from "../common/hash.ts";
import { familyOf, LAST_CHANGE_ANNOTATION } from "../common/services.ts";
import { MANAGED_BY_LABEL, SERVICE_NAME_LABEL, type SlicePlan } from "../endpointslice/plan.ts";

export const MIRRORED_BY = "endpointslicemirroring-controller.k8s.io";
const SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror";
const LEADER_ANNOTATION = "control-plane.alpha.kubernetes.io/leader";
const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";
const MAX_PER_SUBSET = 1000;

/** Endpoints that are to be mirrored, as far as they themselves tell. */
export function isMirrored({ metadata }: Endpoints): boolean {
  return metadata.labels?.[SKIP_LABEL] !== "true" && metadata.annotations?.[LEADER_ANNOTATION] === undefined;
}

interface Group {
  readonly addressType: string;
  readonly ports: EndpointPort[];
  readonly endpoints: Map<string, Endpoint>;
}

function endpointOf({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined || hostname === "" ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function groups({ subsets = [] }: Endpoints): Group[] {
  const byKey = new Map<string, Group>();
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of subsets) {
    const slicePorts = ports.map(({ name, port, protocol, appProtocol }) => ({
      name: name ?? "",
      port,
      protocol: protocol ?? "TCP",
      ...(appProtocol === undefined ? {} : { appProtocol }),
    }));
    const all = [
      ...addresses.map((address) => [address, true] as const),
      ...notReadyAddresses.map((address) => [address, false] as const),
    ];
    for (const [address, ready] of all.slice(0, MAX_PER_SUBSET)) {
      const addressType = familyOf(address.ip);
      const key = `${addressType} ${stableJson(slicePorts)}`;
      let group = byKey.get(key);
      if (group === undefined) byKey.set(key, (group = { addressType, ports: slicePorts, endpoints: new Map() }));
      if (!group.endpoints.has(address.ip)) group.endpoints.set(address.ip, endpointOf(address, ready));
    }
  }
  return [...byKey.values()];
}

/** Slices that mirror the Endpoints; each group is one slice, replaced when its ports change. */
export function planMirror(endpoints: Endpoints, existing: readonly EndpointSlice[]): SlicePlan {
  const plan: SlicePlan = { create: [], update: [], delete: [] };
  const labels = {
    ...endpoints.metadata.labels,
    [SERVICE_NAME_LABEL]: endpoints.metadata.name,
    [MANAGED_BY_LABEL]: MIRRORED_BY,
  };
  // Neither how the Endpoints were applied nor when what they list has changed is true of the slices.
  const {
    [LAST_APPLIED]: _applied,
    [LAST_CHANGE_ANNOTATION]: _changed,
    ...annotations
  } = endpoints.metadata.annotations ?? {};
  const left = [...existing];
  for (const group of groups(endpoints)) {
    const wanted = [...group.endpoints.values()];
    const index = left.findIndex(
      (slice) => slice.addressType === group.addressType && deepEqual(slice.ports ?? [], group.ports),
    );
    const slice = index < 0 ? undefined : left.splice(index, 1)[0];
    if (slice === undefined) plan.create.push(draft(endpoints, group, wanted, labels, annotations));
    else if (
      !deepEqual(slice.endpoints ?? [], wanted) ||
      !deepEqual(slice.metadata.labels, labels) ||
      !deepEqual(slice.metadata.annotations ?? {}, annotations)
    )
      plan.update.push({ ...slice, metadata: { ...slice.metadata, labels, annotations }, endpoints: wanted });
  }
  plan.delete.push(...left);
  return plan;
}

function draft(
  endpoints: Endpoints,
  { addressType, ports }: Group,
  wanted: Endpoint[],
  labels: Record<string, string>,
  annotations: Record<string, string>,
): Draft<EndpointSlice> {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      generateName: podsPrefix(endpoints.metadata.name),
      namespace: endpoints.metadata.namespace,
      labels,
      annotations,
      ownerReferences: [controllerRef(endpoints, { apiVersion: "v1", kind: "Endpoints" })],
    },
    addressType,
    endpoints: wanted,
    ports,
  };
}
