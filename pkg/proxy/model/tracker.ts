import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { type ObjectKey, keyOf, keyString } from "#pkg/apimachinery/index.ts";
import { type NodeContext, chooseEndpoints } from "./endpoints.ts";
import type { Family, ModelChange, Protocol, ServicePort, StaleFlow } from "./types.ts";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name";
const HEADLESS_LABEL = "service.kubernetes.io/headless";

const familyOf = (ip: string): Family => (ip.includes(":") ? "IPv6" : "IPv4");

/** Is this service one the proxy writes rules for? */
function isProxied(service: Service): boolean {
  const { type, clusterIP } = service.spec;
  const labels = service.metadata.labels ?? {};
  if (Object.hasOwn(labels, PROXY_NAME_LABEL) || Object.hasOwn(labels, HEADLESS_LABEL)) return false;
  return type !== "ExternalName" && clusterIP !== undefined && clusterIP !== "" && clusterIP !== "None";
}

/** All ports of one service in one family. Pure. */
function servicePorts(
  service: Service,
  slices: readonly EndpointSlice[],
  family: Family,
  node: NodeContext,
): Map<string, ServicePort> {
  const ports = new Map<string, ServicePort>();
  const { spec } = service;
  const clusterIP = [spec.clusterIP ?? "", ...(spec.clusterIPs ?? [])].find(
    (ip) => ip !== "" && familyOf(ip) === family,
  );
  if (!isProxied(service) || clusterIP === undefined) return ports;
  const sameFamily = (ip: string) => familyOf(ip) === family;
  const external = spec.type === "NodePort" || spec.type === "LoadBalancer" || (spec.externalIPs ?? []).length > 0;
  for (const port of spec.ports ?? []) {
    const { namespace = "", name } = service.metadata;
    const id =
      port.name === undefined || port.name === "" ? `${namespace}/${name}` : `${namespace}/${name}:${port.name}`;
    const protocol = (port.protocol ?? "TCP") as Protocol;
    ports.set(`${id}/${protocol}`, {
      id,
      namespace,
      name,
      protocol,
      clusterIP,
      port: port.port,
      nodePort: port.nodePort ?? 0,
      externalIPs: (spec.externalIPs ?? []).filter(sameFamily),
      loadBalancerIPs: (service.status?.loadBalancer?.ingress ?? [])
        .filter(({ ip, ipMode }) => ip !== undefined && sameFamily(ip) && ipMode !== "Proxy")
        .map(({ ip }) => ip!),
      loadBalancerSourceRanges: (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim()).filter(sameFamily),
      affinitySeconds:
        spec.sessionAffinity === "ClientIP" ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800) : 0,
      internalTrafficLocal: spec.internalTrafficPolicy === "Local",
      externalTrafficLocal: external && spec.externalTrafficPolicy === "Local",
      healthCheckNodePort: spec.healthCheckNodePort ?? 0,
      ...chooseEndpoints(slices, port, family, node),
    });
  }
  return ports;
}

function endpointIPs(port: ServicePort | undefined): string[] {
  return [...new Set([...(port?.clusterEndpoints ?? []), ...(port?.localEndpoints ?? [])].map(({ ip }) => ip))];
}

/** Flows that a change of one UDP port leaves behind in the connection tracking table. */
function staleFlows(before: ServicePort | undefined, after: ServicePort | undefined): StaleFlow[] {
  const port = before ?? after;
  if (port === undefined || port.protocol !== "UDP") return [];
  const flows: StaleFlow[] = [];
  const destinations: Array<Pick<StaleFlow, "ip" | "port">> = [
    port.clusterIP,
    ...port.externalIPs,
    ...port.loadBalancerIPs,
  ].map((ip) => ({ ip, port: port.port }));
  if (port.nodePort !== 0) destinations.push({ port: port.nodePort });
  const earlier = endpointIPs(before);
  const remaining = new Set(endpointIPs(after));
  // The first endpoint has come: packets were tracked untranslated. The last one has gone: none may be translated.
  if ((earlier.length === 0) !== (remaining.size === 0)) return destinations;
  for (const endpointIP of earlier) {
    if (!remaining.has(endpointIP)) flows.push(...destinations.map((to) => ({ ...to, endpointIP })));
  }
  return flows;
}

/**
 * Keeps the model of one address family up to date: told of services and slices as they change, it recomputes only the
 * services concerned and answers what differs since it was last asked.
 */
export class ServiceTracker {
  readonly #family: Family;
  #node: NodeContext;
  readonly #services = new Map<string, Service>();
  /** service key → slice key → slice */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #ports = new Map<string, Map<string, ServicePort>>();
  readonly #dirty = new Set<string>();

  constructor(family: Family, node: NodeContext) {
    this.#family = family;
    this.#node = node;
  }

  setNode(node: NodeContext): void {
    if (node.zone === this.#node.zone && node.nodeName === this.#node.nodeName) return;
    this.#node = node;
    for (const key of this.#services.keys()) this.#dirty.add(key);
  }

  setService(service: Service): void {
    const key = keyString(keyOf(service));
    this.#services.set(key, service);
    this.#dirty.add(key);
  }

  deleteService(key: ObjectKey): void {
    this.#services.delete(keyString(key));
    this.#dirty.add(keyString(key));
  }

  setSlice(slice: EndpointSlice): void {
    this.#withSlices(slice, (slices, key) => slices.set(key, slice));
  }

  deleteSlice(slice: EndpointSlice): void {
    this.#withSlices(slice, (slices, key) => slices.delete(key));
  }

  #withSlices(slice: EndpointSlice, change: (slices: Map<string, EndpointSlice>, key: string) => void): void {
    const serviceName = slice.metadata.labels?.[SERVICE_NAME_LABEL];
    if (serviceName === undefined || serviceName === "" || slice.addressType !== this.#family) return;
    const service = `${slice.metadata.namespace ?? ""}/${serviceName}`;
    const slices = this.#slices.get(service) ?? new Map<string, EndpointSlice>();
    change(slices, slice.metadata.name);
    if (slices.size === 0) this.#slices.delete(service);
    else this.#slices.set(service, slices);
    this.#dirty.add(service);
  }

  /** True when `takeChanges` may have something to say. */
  get pending(): boolean {
    return this.#dirty.size > 0;
  }

  /** All ports of all services, for a full render: as large as the cluster, so ask for it only then. */
  all(): Map<string, ServicePort> {
    return new Map([...this.#ports.values()].flatMap((ports) => [...ports]));
  }

  /** Recomputes what is dirty and answers the difference to the last call. */
  takeChanges(): ModelChange {
    const changed = new Map<string, ServicePort>();
    const removed = new Map<string, ServicePort>();
    const staleUdp: StaleFlow[] = [];
    for (const key of this.#dirty) {
      const service = this.#services.get(key);
      const before = this.#ports.get(key) ?? new Map<string, ServicePort>();
      const after =
        service === undefined
          ? new Map<string, ServicePort>()
          : servicePorts(service, [...(this.#slices.get(key)?.values() ?? [])], this.#family, this.#node);
      for (const [id, port] of before) {
        if (!after.has(id)) removed.set(id, port);
        staleUdp.push(...staleFlows(port, after.get(id)));
      }
      for (const [id, port] of after) {
        if (!before.has(id)) staleUdp.push(...staleFlows(undefined, port));
        if (JSON.stringify(before.get(id)) !== JSON.stringify(port)) changed.set(id, port);
      }
      if (after.size === 0) this.#ports.delete(key);
      else this.#ports.set(key, after);
    }
    this.#dirty.clear();
    return { changed, removed, staleUdp };
  }
}
