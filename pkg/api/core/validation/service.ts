import { isDns1123Label, isQualifiedName, validateLabels } from "#pkg/apimachinery/index.ts";
import type { Service, ServicePort, ServiceSpec } from "../../types/core-v1.ts";
import {
  allInvalid,
  dnsLabel,
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  inRange,
  invalid,
  ipFamily,
  isEmpty,
  notSupported,
  oneOf,
  portNumberOrName,
  required,
  sameValue,
  validCidr,
  validIp,
} from "../../validation/rules.ts";
import { isValidPortNumber } from "#pkg/apimachinery/index.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const KUBELET_PORT = 10250;
const MAX_AFFINITY_SECONDS = 86400;
const HEADLESS = "None";

function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIPs?.[0] === HEADLESS || spec.clusterIP === HEADLESS;
}

/** Reachable from outside the cluster: by node port, load balancer or external address. */
export function isExternallyAccessible({ type, externalIPs }: ServiceSpec): boolean {
  return type === "LoadBalancer" || type === "NodePort" || (type === "ClusterIP" && (externalIPs ?? []).length > 0);
}

function validatePort(port: ServicePort, needsName: boolean, names: Set<string>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (isEmpty(port.name)) {
    if (needsName) errors.push(required(`${path}.name`));
  } else {
    errors.push(...dnsLabel(port.name!, `${path}.name`));
    if (names.has(port.name!)) errors.push(duplicate(`${path}.name`, port.name));
    names.add(port.name!);
  }
  errors.push(...allInvalid(`${path}.port`, port.port ?? 0, isValidPortNumber(port.port ?? 0)));
  errors.push(...oneOf(port.protocol, PROTOCOLS, `${path}.protocol`));
  errors.push(...portNumberOrName(port.targetPort, `${path}.targetPort`));
  if (!isEmpty(port.appProtocol)) {
    errors.push(...allInvalid(`${path}.appProtocol`, port.appProtocol, isQualifiedName(port.appProtocol!)));
  }
  return errors;
}

function validateType(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { type, clusterIPs = [], externalName = "" } = spec;
  if (type === "LoadBalancer") {
    for (const [index, { port }] of (spec.ports ?? []).entries()) {
      if (port !== KUBELET_PORT) continue;
      const why = `may not expose port ${KUBELET_PORT} externally since it is used by kubelet`;
      errors.push(invalid(`spec.ports[${index}].port`, port, why));
    }
  }
  if ((type === "LoadBalancer" || type === "NodePort") && isHeadless(spec)) {
    errors.push(invalid("spec.clusterIPs[0]", HEADLESS, `may not be set to 'None' for ${type} services`));
  }
  if (type !== "ExternalName") return errors;
  const unwanted = "may not be set for ExternalName services";
  if (clusterIPs.length > 0) errors.push(forbidden("spec.clusterIPs", unwanted));
  if ((spec.ipFamilies ?? []).length > 0) errors.push(forbidden("spec.ipFamilies", unwanted));
  if (spec.ipFamilyPolicy !== undefined) errors.push(forbidden("spec.ipFamilyPolicy", unwanted));
  const name = externalName.replace(/\.$/, "");
  if (name === "") errors.push(required("spec.externalName"));
  else errors.push(...dnsSubdomain(name, "spec.externalName"));
  return errors;
}

function validateAffinity(spec: ServiceSpec): FieldError[] {
  const errors = oneOf(spec.sessionAffinity, ["ClientIP", "None"], "spec.sessionAffinity");
  const config = spec.sessionAffinityConfig;
  if (spec.sessionAffinity === "None" && config !== undefined) {
    errors.push(forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None"));
  }
  if (spec.sessionAffinity !== "ClientIP") return errors;
  const path = "spec.sessionAffinityConfig";
  const seconds = config?.clientIP?.timeoutSeconds;
  if (config === undefined) errors.push(required(path, "when session affinity type is ClientIP"));
  else if (config.clientIP === undefined)
    errors.push(required(`${path}.clientIP`, "when session affinity type is ClientIP"));
  else if (seconds === undefined) {
    errors.push(required(`${path}.clientIP.timeoutSeconds`, "when session affinity type is ClientIP"));
  } else if (seconds <= 0 || seconds > MAX_AFFINITY_SECONDS) {
    const why = `must be greater than 0 and less than ${MAX_AFFINITY_SECONDS}`;
    errors.push(invalid(`${path}.clientIP.timeoutSeconds`, seconds, why));
  }
  return errors;
}

const FAMILIES = ["IPv4", "IPv6"];
const FAMILY_POLICIES = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const familyName = (address: string): string => (ipFamily(address) === 6 ? "IPv6" : "IPv4");

function validateFamilies(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const families = spec.ipFamilies ?? [];
  for (const [index, family] of families.entries()) {
    const path = `spec.ipFamilies[${index}]`;
    if (!FAMILIES.includes(family)) errors.push(notSupported(path, family, FAMILIES));
    if (families.indexOf(family) < index) errors.push(duplicate(path, family));
  }
  if (spec.ipFamilyPolicy !== undefined && !FAMILY_POLICIES.includes(spec.ipFamilyPolicy)) {
    errors.push(notSupported("spec.ipFamilyPolicy", spec.ipFamilyPolicy, FAMILY_POLICIES));
  }
  return errors;
}

/** clusterIP, clusterIPs and ipFamilies tell one story. */
function validateClusterIps(spec: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName") return [];
  const errors = validateFamilies(spec);
  const { clusterIP = "", clusterIPs = [], ipFamilies = [] } = spec;
  const path = "spec.clusterIPs";
  if (clusterIP !== "" && clusterIPs.length === 0) errors.push(required(path));
  if (clusterIPs.length > 0 && clusterIPs[0] !== clusterIP) {
    errors.push(invalid(path, clusterIPs, "first value must match `clusterIP`"));
  }
  if (clusterIPs.includes(HEADLESS)) {
    if (clusterIPs.length > 1) errors.push(invalid(path, clusterIPs, "'None' must be the first and only value"));
    return errors;
  }
  for (const [index, address] of clusterIPs.entries()) {
    const found = validIp(address, `${path}[${index}]`);
    errors.push(...found);
    const family = ipFamilies[index];
    if (found.length === 0 && family !== undefined && family !== familyName(address)) {
      errors.push(
        invalid(`${path}[${index}]`, address, `expected an ${family} value as indicated by \`ipFamilies[${index}]\``),
      );
    }
  }
  if (clusterIPs.length > 2) errors.push(invalid(path, clusterIPs, "may only hold up to 2 values"));
  if (clusterIPs.length === 2 && familyName(clusterIPs[0]!) === familyName(clusterIPs[1]!)) {
    errors.push(invalid(path, clusterIPs, "may specify no more than one IP for each IP family"));
  }
  return errors;
}

function validateUniquePorts(ports: readonly ServicePort[]): FieldError[] {
  const errors: FieldError[] = [];
  const nodePorts = new Set<string>();
  for (const [index, { nodePort, protocol }] of ports.entries()) {
    if (!nodePort) continue;
    const key = `${protocol}/${nodePort}`;
    if (nodePorts.has(key)) errors.push(duplicate(`spec.ports[${index}].nodePort`, nodePort));
    nodePorts.add(key);
  }
  const seen = new Set<string>();
  for (const [index, { port, protocol }] of ports.entries()) {
    const key = `${protocol}/${port}`;
    if (seen.has(key)) errors.push(duplicate(`spec.ports[${index}]`, { protocol, port }));
    seen.add(key);
  }
  return errors;
}

const SOURCE_RANGES_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges";

function validateLoadBalancer({ spec = {}, metadata }: Service): FieldError[] {
  const errors: FieldError[] = [];
  const balanced = spec.type === "LoadBalancer";
  const only = "may only be used when `type` is 'LoadBalancer'";
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0) {
    if (!balanced) errors.push(forbidden("spec.LoadBalancerSourceRanges", only));
    errors.push(...each(ranges, "spec.loadBalancerSourceRanges", (range, at) => validCidr(range.trim(), at)));
  } else if (metadata.annotations?.[SOURCE_RANGES_ANNOTATION] !== undefined && !balanced) {
    errors.push(forbidden(`metadata.annotations[${SOURCE_RANGES_ANNOTATION}]`, only));
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined && !balanced) {
    errors.push(forbidden("spec.allocateLoadBalancerNodePorts", only));
  } else if (spec.allocateLoadBalancerNodePorts === undefined && balanced) {
    errors.push(required("spec.allocateLoadBalancerNodePorts"));
  }
  if (spec.loadBalancerClass !== undefined) {
    if (!balanced) errors.push(forbidden("spec.loadBalancerClass", only));
    errors.push(
      ...allInvalid("spec.loadBalancerClass", spec.loadBalancerClass, isQualifiedName(spec.loadBalancerClass)),
    );
  }
  return errors;
}

const DISTRIBUTIONS = ["PreferClose", "PreferSameNode", "PreferSameZone"];

function validateTraffic(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const policy = spec.externalTrafficPolicy;
  if (!isExternallyAccessible(spec)) {
    if (!isEmpty(policy)) {
      const why = "may only be set for externally-accessible services";
      errors.push(invalid("spec.externalTrafficPolicy", policy, why));
    }
  } else errors.push(...oneOf(policy, ["Cluster", "Local"], "spec.externalTrafficPolicy"));
  const checked = spec.type === "LoadBalancer" && policy === "Local";
  if (spec.healthCheckNodePort && !checked) {
    const why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
    errors.push(invalid("spec.healthCheckNodePort", spec.healthCheckNodePort, why));
  } else if (spec.healthCheckNodePort) {
    errors.push(...inRange(spec.healthCheckNodePort, 1, 65535, "spec.healthCheckNodePort"));
  }
  if (spec.type !== "ExternalName") {
    errors.push(...oneOf(spec.internalTrafficPolicy, ["Cluster", "Local"], "spec.internalTrafficPolicy"));
  }
  return [...errors, ...oneOf(spec.trafficDistribution, DISTRIBUTIONS, "spec.trafficDistribution", true)];
}

export function validateService(service: Service): FieldError[] {
  const spec = service.spec ?? {};
  const ports = spec.ports ?? [];
  const names = new Set<string>();
  const errors: FieldError[] = [];
  if (ports.length === 0 && !isHeadless(spec) && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  errors.push(
    ...validateType(spec),
    ...each(ports, "spec.ports", (port, at) => validatePort(port, ports.length > 1, names, at)),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...validateClusterIps(spec),
    ...each(spec.externalIPs, "spec.externalIPs", validIp),
    ...oneOf(spec.type, SERVICE_TYPES, "spec.type"),
  );
  if (spec.type === "ClusterIP") {
    for (const [index, { nodePort }] of ports.entries()) {
      if (nodePort)
        errors.push(forbidden(`spec.ports[${index}].nodePort`, "may not be used when `type` is 'ClusterIP'"));
    }
  }
  errors.push(...validateUniquePorts(ports), ...validateLoadBalancer(service), ...validateTraffic(spec));
  return errors;
}

export function validateServiceUpdate(service: Service, old: Readonly<Service>): FieldError[] {
  const errors: FieldError[] = [];
  const spec = service.spec ?? {};
  const before = old.spec ?? {};
  if (spec.type !== "ExternalName" && before.type !== "ExternalName") {
    const [now, was] = [spec.clusterIPs?.[0], before.clusterIPs?.[0]];
    if (was !== undefined && now !== was) {
      errors.push(invalid("spec.clusterIPs[0]", spec.clusterIPs ?? [], "may not change once set"));
    }
    const [family, wasFamily] = [spec.ipFamilies?.[0], before.ipFamilies?.[0]];
    if (wasFamily !== undefined && family !== undefined && family !== wasFamily) {
      errors.push(invalid("spec.ipFamilies[0]", spec.ipFamilies, "may not change once set"));
    }
  }
  if (
    spec.type === "LoadBalancer" &&
    before.type === "LoadBalancer" &&
    !sameValue(spec.loadBalancerClass, before.loadBalancerClass)
  ) {
    errors.push(invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set"));
  }
  return [...errors, ...validateService(service)];
}

/** status.loadBalancer, which only a controller writes. */
export function validateServiceStatusUpdate(service: Service): FieldError[] {
  const path = "status.loadBalancer";
  const ingress = service.status?.loadBalancer?.ingress;
  if ((ingress ?? []).length > 0 && service.spec?.type !== "LoadBalancer") {
    return [forbidden(`${path}.ingress`, 'may only be used when `spec.type` is "LoadBalancer"')];
  }
  return each(ingress, `${path}.ingress`, ({ ip, hostname, ipMode }, at) => {
    const errors: FieldError[] = [];
    if (!isEmpty(ip)) errors.push(...validIp(ip!, `${at}.ip`));
    if (!isEmpty(ip) && ipMode === undefined)
      errors.push(required(`${at}.ipMode`, "must be specified when `ip` is set"));
    if (isEmpty(ip) && ipMode !== undefined)
      errors.push(forbidden(`${at}.ipMode`, "may not be specified when `ip` is not set"));
    if (!isEmpty(ip)) errors.push(...oneOf(ipMode, ["Proxy", "VIP"], `${at}.ipMode`, true));
    if (!isEmpty(hostname)) {
      errors.push(...dnsSubdomain(hostname!, `${at}.hostname`));
      if (ipFamily(hostname!) !== 0)
        errors.push(invalid(`${at}.hostname`, hostname, "must be a DNS name, not an IP address"));
    }
    return errors;
  });
}

export function validateServiceName(name: string, prefix: boolean): string[] {
  return isDns1123Label(prefix && name.length > 1 ? name.replace(/-$/, "a") : name);
}
