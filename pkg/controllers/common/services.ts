/** What Endpoints and EndpointSlices have in common: which pods stand behind a service, on which ports. */
import { type Selector, selectorFromSet } from "#pkg/apimachinery/index.ts";
import type { Pod, Service, ServicePort } from "#pkg/api/types/core-v1.ts";
import { isPodTerminal } from "./pods.ts";

export const HEADLESS_LABEL = "service.kubernetes.io/headless";
export const LAST_CHANGE_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";

/** undefined: the service has no selector, its endpoints are somebody else's. */
export function serviceSelector(service: Service): Selector | undefined {
  const { selector } = service.spec;
  return selector === undefined || Object.keys(selector).length === 0 || service.spec.type === "ExternalName"
    ? undefined
    : selectorFromSet(selector);
}

/** Has the service no address of its own, on purpose? */
export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === "None";
}

/** Has an address and is not finished; terminating pods count only where asked for. */
export function shouldBeEndpoint(pod: Pod, includeTerminating: boolean): boolean {
  if (isPodTerminal(pod)) return false;
  if ((pod.status?.podIP ?? "") === "" && (pod.status?.podIPs ?? []).length === 0) return false;
  return includeTerminating || pod.metadata.deletionTimestamp === undefined;
}

/** Port number that `port` of a service has on this pod; undefined when a named port is not there. */
export function podPort(pod: Pod, port: ServicePort): number | undefined {
  const target = port.targetPort;
  if (target === undefined || target === 0 || target === "") return port.port;
  if (typeof target === "number") return target;
  const protocol = port.protocol ?? "TCP";
  const sidecars = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  for (const container of [...pod.spec.containers, ...sidecars])
    for (const candidate of container.ports ?? [])
      if (candidate.name === target && (candidate.protocol ?? "TCP") === protocol) return candidate.containerPort;
  return undefined;
}

/** Addresses of a pod, of the given family ("IPv4" or "IPv6"). */
export function podAddresses(pod: Pod, family: string): string[] {
  const all = pod.status?.podIPs?.map(({ ip }) => ip) ?? [];
  const known = all.length > 0 ? all : pod.status?.podIP === undefined ? [] : [pod.status.podIP];
  return known.filter((ip) => familyOf(ip) === family);
}

/** The family of an IP address. */
export function familyOf(ip: string): "IPv4" | "IPv6" {
  return ip.includes(":") ? "IPv6" : "IPv4";
}

/** Families the service serves. Headless services without selector data fall back on IPv4. */
export function serviceFamilies(service: Service): string[] {
  if ((service.spec.ipFamilies ?? []).length > 0) return [...service.spec.ipFamilies!];
  const ip = service.spec.clusterIP ?? "";
  return [ip === "" || ip === "None" ? "IPv4" : familyOf(ip)];
}

/** DNS may answer for this pod under its own name within the service. */
export function endpointHostname(pod: Pod, service: Service): string | undefined {
  const { hostname, subdomain } = pod.spec;
  return hostname !== undefined && hostname !== "" && subdomain === service.metadata.name ? hostname : undefined;
}

/** Does the change matter to the endpoints of services? Heartbeats and image pulls do not. */
export function endpointChanged(pod: Pod, old: Pod): boolean {
  const view = ({ metadata, spec, status }: Pod) =>
    JSON.stringify([
      metadata.deletionTimestamp !== undefined,
      metadata.labels,
      spec.nodeName,
      spec.hostname,
      spec.subdomain,
      status?.phase,
      status?.podIP,
      status?.podIPs,
      status?.conditions?.find(({ type }) => type === "Ready")?.status,
    ]);
  return view(pod) !== view(old);
}
