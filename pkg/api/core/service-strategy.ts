import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { Service, ServicePort, ServiceSpec } from "../types/core-v1.ts";
import { isExternallyAccessible } from "./validation/service.ts";

const needsClusterIp = ({ type }: ServiceSpec): boolean => type !== "ExternalName";
const needsNodePort = (spec: ServiceSpec): boolean =>
  spec.type === "NodePort" || (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
const needsHealthCheck = (spec: ServiceSpec): boolean =>
  spec.type === "LoadBalancer" && spec.externalTrafficPolicy === "Local";

const sameAddresses = (a: ServiceSpec, b: ServiceSpec): boolean => deepEqual(a.clusterIPs ?? [], b.clusterIPs ?? []);

/** A client that knows only the singular field speaks for the plural one, too. */
export function normalizeClusterIps(spec: ServiceSpec, old?: ServiceSpec): void {
  if (old === undefined) {
    if (spec.clusterIP && (spec.clusterIPs ?? []).length === 0) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  if ((spec.clusterIP ?? "") === (old.clusterIP ?? "") || !sameAddresses(spec, old)) return;
  if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
  else delete spec.clusterIPs;
}

const portKey = ({ protocol, port }: ServicePort): string => `${protocol}/${port}`;

/** What was allocated stays allocated when a client leaves it out. */
export function keepAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && needsClusterIp(spec)) {
    if (!spec.clusterIP && old.clusterIP) spec.clusterIP = old.clusterIP;
    if ((spec.clusterIPs ?? []).length === 0 && spec.clusterIP === old.clusterIP && old.clusterIPs !== undefined) {
      spec.clusterIPs = [...old.clusterIPs];
    }
  }
  if (needsNodePort(old) && needsNodePort(spec)) {
    const known = new Map((old.ports ?? []).map((port) => [portKey(port), port.nodePort]));
    const used = new Set((spec.ports ?? []).map(({ nodePort, protocol }) => `${protocol}/${nodePort}`));
    for (const port of spec.ports ?? []) {
      if (port.nodePort) continue;
      const before = known.get(portKey(port));
      if (before && !used.has(`${port.protocol}/${before}`)) port.nodePort = before;
    }
  }
  if (needsHealthCheck(old) && needsHealthCheck(spec) && !spec.healthCheckNodePort && old.healthCheckNodePort) {
    spec.healthCheckNodePort = old.healthCheckNodePort;
  }
}

/** A change of type drops what only the old type had, unless the client set it anew. */
export function dropTypeDependentFields(spec: ServiceSpec, old: ServiceSpec): void {
  if (needsClusterIp(old) && !needsClusterIp(spec) && sameAddresses(spec, old)) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
  }
  if (needsClusterIp(old) && !needsClusterIp(spec)) {
    if (spec.ipFamilyPolicy === old.ipFamilyPolicy) delete spec.ipFamilyPolicy;
    if (deepEqual(spec.ipFamilies ?? [], old.ipFamilies ?? [])) delete spec.ipFamilies;
    if (spec.internalTrafficPolicy === old.internalTrafficPolicy) delete spec.internalTrafficPolicy;
  }
  if (needsNodePort(old) && !needsNodePort(spec)) {
    const numbers = ({ ports }: ServiceSpec) => new Set((ports ?? []).map(({ nodePort }) => nodePort ?? 0));
    const before = numbers(old);
    if ([...numbers(spec)].every((number) => number === 0 || before.has(number))) {
      for (const port of spec.ports ?? []) delete port.nodePort;
    }
  }
  if (needsHealthCheck(old) && !needsHealthCheck(spec) && spec.healthCheckNodePort === old.healthCheckNodePort) {
    delete spec.healthCheckNodePort;
  }
  if (old.type === "LoadBalancer" && spec.type !== "LoadBalancer") {
    if (spec.allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts)
      delete spec.allocateLoadBalancerNodePorts;
    if (spec.loadBalancerClass === old.loadBalancerClass) delete spec.loadBalancerClass;
  }
  const wasExternal = isExternallyAccessible(old);
  if (wasExternal && !isExternallyAccessible(spec) && spec.externalTrafficPolicy === old.externalTrafficPolicy) {
    delete spec.externalTrafficPolicy;
  }
}

/** A load balancer that is no more has no addresses. */
export function dropLoadBalancerStatus(service: Service): void {
  if (service.spec?.type !== "LoadBalancer" && service.status?.loadBalancer?.ingress !== undefined) {
    service.status = { ...service.status, loadBalancer: {} };
  }
}
