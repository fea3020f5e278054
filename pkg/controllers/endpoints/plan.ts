import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service } from "#pkg/api/types/core-v1.ts";
import { stableJson } from "../common/hash.ts";
import { isPodReady } from "../common/pods.ts";
import {
  endpointHostname,
  HEADLESS_LABEL,
  isHeadless,
  LAST_CHANGE_ANNOTATION,
  podAddresses,
  podPort,
  serviceFamilies,
  shouldBeEndpoint,
} from "../common/services.ts";

/** An Endpoints object holds no more addresses than this; the rest is cut off and an annotation says so. */
const MAX_CAPACITY = 1000;
const OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by";

/** The write that makes the Endpoints right, if one is needed. */
export type EndpointsPlan =
  | { readonly action: "none" }
  | { readonly action: "create" | "update"; readonly endpoints: Draft<Endpoints> };

/** The Endpoints object a service with a selector should have. */
export function planEndpoints(
  service: Service,
  pods: readonly Pod[],
  current: Endpoints | undefined,
  now: string,
): EndpointsPlan {
  const { subsets, truncated } = subsetsOf(service, pods);
  const labels: Record<string, string> = { ...service.metadata.labels, [MANAGED_BY_LABEL]: "endpoint-controller" };
  if (isHeadless(service)) labels[HEADLESS_LABEL] = "";
  else delete labels[HEADLESS_LABEL];
  const annotations: Record<string, string> = { ...current?.metadata.annotations };
  if (truncated) annotations[OVER_CAPACITY] = "truncated";
  else delete annotations[OVER_CAPACITY];
  const subsetsEqual = current !== undefined && deepEqual(current.subsets ?? [], subsets);
  const same =
    current !== undefined &&
    subsetsEqual &&
    deepEqual(current.metadata.labels ?? {}, labels) &&
    deepEqual(withoutTrigger(current.metadata.annotations), withoutTrigger(annotations));
  if (same) return { action: "none" };
  if (!subsetsEqual && subsets.length > 0) annotations[LAST_CHANGE_ANNOTATION] = now;
  const endpoints: Draft<Endpoints> = {
    ...(current ?? { apiVersion: "v1", kind: "Endpoints" }),
    metadata: {
      ...(current?.metadata ?? { name: service.metadata.name, namespace: service.metadata.namespace }),
      labels,
      annotations,
    },
    subsets,
  };
  return { action: current === undefined ? "create" : "update", endpoints };
}

function withoutTrigger(annotations: Record<string, string> | undefined): Record<string, string> {
  const { [LAST_CHANGE_ANNOTATION]: _, ...rest } = annotations ?? {};
  return rest;
}

function subsetsOf(service: Service, pods: readonly Pod[]): { subsets: EndpointSubset[]; truncated: boolean } {
  const publishNotReady = service.spec.publishNotReadyAddresses === true;
  const family = serviceFamilies(service)[0]!;
  /** Subset by its ports; ready and not ready addresses apart. */
  const byPorts = new Map<string, { ports: EndpointPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }>();
  const selected = pods.filter((pod) => shouldBeEndpoint(pod, publishNotReady));
  selected.sort(
    (a, b) => Number(isPodReady(b)) - Number(isPodReady(a)) || (a.metadata.name < b.metadata.name ? -1 : 1),
  );
  let count = 0;
  for (const pod of selected) {
    const ip = podAddresses(pod, family)[0];
    const ports = ip === undefined ? undefined : portsOf(service, pod);
    if (ip === undefined || ports === undefined) continue;
    if (++count > MAX_CAPACITY) continue;
    const key = stableJson(ports);
    let subset = byPorts.get(key);
    if (subset === undefined) byPorts.set(key, (subset = { ports, ready: [], notReady: [] }));
    (isPodReady(pod) || publishNotReady ? subset.ready : subset.notReady).push(addressOf(pod, ip, service));
  }
  const subsets = [...byPorts.entries()]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, { ports, ready, notReady }]) => ({
      ...(ready.length > 0 ? { addresses: ready.sort(byIp) } : {}),
      ...(notReady.length > 0 ? { notReadyAddresses: notReady.sort(byIp) } : {}),
      ...(ports.length > 0 ? { ports } : {}),
    }));
  return { subsets, truncated: count > MAX_CAPACITY };
}

/** undefined: the pod offers none of the service's ports. A headless service may have no ports at all. */
function portsOf(service: Service, pod: Pod): EndpointPort[] | undefined {
  const wanted = service.spec.ports ?? [];
  if (wanted.length === 0) return isHeadless(service) ? [] : undefined;
  const ports = wanted.flatMap((port): EndpointPort[] => {
    const number = podPort(pod, port);
    if (number === undefined) return [];
    return [
      {
        ...(port.name === undefined || port.name === "" ? {} : { name: port.name }),
        port: number,
        protocol: port.protocol ?? "TCP",
        ...(port.appProtocol === undefined ? {} : { appProtocol: port.appProtocol }),
      },
    ];
  });
  return ports.length === 0 ? undefined : ports;
}

function addressOf(pod: Pod, ip: string, service: Service): EndpointAddress {
  const hostname = endpointHostname(pod, service);
  return {
    ip,
    ...(pod.spec.nodeName === undefined || pod.spec.nodeName === "" ? {} : { nodeName: pod.spec.nodeName }),
    ...(hostname === undefined ? {} : { hostname }),
    targetRef: { kind: "Pod", namespace: pod.metadata.namespace, name: pod.metadata.name, uid: pod.metadata.uid },
  };
}

function byIp(a: EndpointAddress, b: EndpointAddress): number {
  return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : (a.targetRef?.uid ?? "") < (b.targetRef?.uid ?? "") ? -1 : 1;
}
