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
  nonSpecialIp,
  notSupported,
  oneOf,
  portNumberOrName,
  required,
  sameValue,
  validCidr,
  validIp,
  given,
} from "../../validation/rules.ts";
import { isValidPortNumber } from "#pkg/apimachinery/index.ts";

const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const MAX_AFFINITY_SECONDS = 86400;
const HEADLESS = "None";

export function isHeadless(spec: ServiceSpec): boolean {
  return spec.clusterIPs?.length === 1 && spec.clusterIPs[0] === HEADLESS;
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
  if (port.appProtocol !== undefined) {
    errors.push(...allInvalid(`${path}.appProtocol`, port.appProtocol, isQualifiedName(port.appProtocol)));
  }
  return errors;
}

function validateType(spec: ServiceSpec): FieldError[] {
  const errors: FieldError[] = [];
  const { type, clusterIPs = [], externalName = "" } = spec;
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
  return [...errors, ...given(spec.ipFamilyPolicy, FAMILY_POLICIES, "spec.ipFamilyPolicy")];
}

/** clusterIP, clusterIPs and ipFamilies tell one story. */
export function validateClusterIps(spec: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName") return [];
  const { clusterIP = "", clusterIPs = [], ipFamilies = [] } = spec;
  const path = "spec.clusterIPs";
  const errors: FieldError[] = [];
  if (clusterIP === "") {
    if (clusterIPs.length > 0) {
      errors.push(invalid(path, clusterIPs, "must be empty when `clusterIP` is not specified"));
    }
  } else if (clusterIPs.length === 0) errors.push(required(path));
  else if (clusterIPs[0] !== clusterIP) errors.push(invalid(path, clusterIPs, "first value must match `clusterIP`"));
  errors.push(...validateFamilies(spec));
  const { errors: bad, usable } = validateAddresses(clusterIPs, path);
  errors.push(...bad);
  // Of what is no address no family can be told.
  if (!usable) return errors;
  if (clusterIPs.length > 1 && new Set(clusterIPs.map(familyName)).size < 2) {
    errors.push(invalid(path, clusterIPs, "may specify no more than one IP for each IP family"));
  }
  if (isHeadless(spec)) return errors;
  for (const [index, address] of clusterIPs.entries()) {
    const family = ipFamilies[index];
    if ((family !== "IPv4" && family !== "IPv6") || family === familyName(address)) continue;
    const why = `expected an ${family} value as indicated by \`ipFamilies[${index}]\``;
    errors.push(invalid(`${path}[${index}]`, address, why));
  }
  return errors;
}

function validateAddresses(
  addresses: readonly string[],
  path: string,
): { readonly errors: FieldError[]; readonly usable: boolean } {
  const errors: FieldError[] = [];
  for (const [index, address] of addresses.entries()) {
    if (index > 0 || address !== HEADLESS) errors.push(...validIp(address, `${path}[${index}]`));
    else if (addresses.length > 1) errors.push(invalid(path, addresses, "'None' must be the first and only value"));
  }
  const usable = errors.length === 0;
  if (addresses.length > 2) errors.push(invalid(path, addresses, "may only hold up to 2 values"));
  return { errors, usable };
}

/** A port as upstream shows it: by the names of its fields in Go. */
const shownPort = (protocol: string | undefined, port: number): object => ({
  Name: "",
  Protocol: protocol ?? "",
  AppProtocol: null,
  Port: port,
  TargetPort: 0,
  NodePort: 0,
});

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
    if (seen.has(key)) errors.push(duplicate(`spec.ports[${index}]`, shownPort(protocol, port)));
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
  const annotation = metadata.annotations?.[SOURCE_RANGES_ANNOTATION];
  if (ranges.length > 0) {
    const path = "spec.LoadBalancerSourceRanges";
    if (!balanced) errors.push(forbidden(path, only));
    errors.push(...each(ranges, path, (range, at) => validCidr(range.trim(), at)));
  } else if (annotation !== undefined) {
    const path = `metadata.annotations[${SOURCE_RANGES_ANNOTATION}]`;
    if (!balanced) errors.push(forbidden(path, only));
    const list = annotation.trim() === "" ? [] : annotation.split(",");
    for (const range of list) errors.push(...validCidr(range.trim(), path));
  }
  if (spec.allocateLoadBalancerNodePorts !== undefined && !balanced) {
    errors.push(forbidden("spec.allocateLoadBalancerNodePorts", only));
  } else if (spec.allocateLoadBalancerNodePorts === undefined && balanced) {
    errors.push(required("allocateLoadBalancerNodePorts"));
  }
  const name = spec.loadBalancerClass;
  if (name === undefined) return errors;
  if (!balanced) return [...errors, forbidden("spec.loadBalancerClass", only)];
  return [...errors, ...allInvalid("spec.loadBalancerClass", name, isQualifiedName(name))];
}

const DISTRIBUTIONS = ["PreferClose", "PreferSameNode", "PreferSameZone"];

function validateInternalPolicy({ type, internalTrafficPolicy: policy }: ServiceSpec): FieldError[] {
  const path = "spec.internalTrafficPolicy";
  const inside = type === "ClusterIP" || type === "NodePort" || type === "LoadBalancer";
  return policy === undefined && inside ? [required(path)] : given(policy, ["Cluster", "Local"], path);
}

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
  return [
    ...errors,
    ...validateInternalPolicy(spec),
    ...given(spec.trafficDistribution, DISTRIBUTIONS, "spec.trafficDistribution"),
  ];
}

export const HINTS_ANNOTATION = "service.kubernetes.io/topology-aware-hints";
export const MODE_ANNOTATION = "service.kubernetes.io/topology-mode";

/** The old and the new name of one annotation say the same, where both are there. */
function validateTopologyAnnotations({ metadata: { annotations = {} } }: Service): FieldError[] {
  const { [HINTS_ANNOTATION]: hints, [MODE_ANNOTATION]: mode } = annotations;
  if (hints === undefined || mode === undefined || hints === mode) return [];
  const why = `must match annotations[${HINTS_ANNOTATION}] when both are specified`;
  return [invalid(`metadata.annotations[${MODE_ANNOTATION}]`, mode, why)];
}

export function validateService(service: Service): FieldError[] {
  const spec = service.spec ?? {};
  const ports = spec.ports ?? [];
  const names = new Set<string>();
  const errors = validateTopologyAnnotations(service);
  if (ports.length === 0 && !isHeadless(spec) && spec.type !== "ExternalName") errors.push(required("spec.ports"));
  errors.push(
    ...validateType(spec),
    ...each(ports, "spec.ports", (port, at) => validatePort(port, ports.length > 1, names, at)),
    ...validateLabels(spec.selector, "spec.selector"),
    ...validateAffinity(spec),
    ...validateClusterIps(spec),
    ...each(spec.externalIPs, "spec.externalIPs", (ip, at) => {
      const found = validIp(ip, at);
      return found.length > 0 ? found : nonSpecialIp(ip, at);
    }),
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

/** A list whose first member stays: a second may come, and go again when the service says that it has one family. */
function validateKeptFirst(
  field: "clusterIPs" | "ipFamilies",
  spec: ServiceSpec,
  old: ServiceSpec,
  what: string,
): FieldError[] {
  const now: readonly string[] = spec[field] ?? [];
  const before: readonly string[] = old[field] ?? [];
  const first = `spec.${field}[0]`;
  const changed = (path: string, shown: readonly string[]) => invalid(path, shown, "may not change once set");
  if (now.length === before.length) {
    return before.flatMap((value, index) =>
      value === now[index] ? [] : [changed(field === "clusterIPs" ? `spec.${field}[${index}]` : first, now)],
    );
  }
  const errors: FieldError[] = [];
  // Upstream shows the addresses, also of the families.
  const shown = spec.clusterIPs ?? [];
  if (now.length < before.length && shown.length === 0) {
    errors.push(invalid(first, spec[field] ?? null, `primary ${what} can not be unset`));
  }
  if (before.length > 0 && now.length > 0 && now[0] !== before[0]) errors.push(changed(first, shown));
  if (now.length === 1 && now.length < before.length && spec.ipFamilyPolicy !== "SingleStack") {
    const why = `must be set to 'SingleStack' when releasing the secondary ${what}`;
    errors.push(invalid("spec.ipFamilyPolicy", spec.ipFamilyPolicy ?? null, why));
  }
  return errors;
}

function validateStableAddresses(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (spec.type === "ExternalName" || old.type === "ExternalName") return [];
  const [now, before] = [isHeadless(spec), isHeadless(old)];
  if (now && before) return [];
  return [
    ...validateKeptFirst("clusterIPs", spec, old, "clusterIP"),
    ...(now === before ? validateKeptFirst("ipFamilies", spec, old, "ipFamily") : []),
  ];
}

const needsHealthCheck = ({ type, externalTrafficPolicy }: ServiceSpec): boolean =>
  type === "LoadBalancer" && externalTrafficPolicy === "Local";

export function validateServiceUpdate(service: Service, old: Readonly<Service>): FieldError[] {
  const spec = service.spec ?? {};
  const before = old.spec ?? {};
  const errors = validateStableAddresses(spec, before);
  if (
    spec.type === "LoadBalancer" &&
    before.type === "LoadBalancer" &&
    !sameValue(spec.loadBalancerClass, before.loadBalancerClass)
  ) {
    errors.push(invalid("spec.loadBalancerClass", spec.loadBalancerClass ?? null, "may not change once set"));
  }
  const checked = needsHealthCheck(before) && needsHealthCheck(spec);
  if (checked && (spec.healthCheckNodePort ?? 0) !== (before.healthCheckNodePort ?? 0)) {
    errors.push(forbidden("spec.healthCheckNodePort", "field is immutable"));
  }
  return [...errors, ...validateService(service)];
}

/** status.loadBalancer, which only a controller writes. */
export function validateServiceStatusUpdate(service: Service): FieldError[] {
  const path = "status.loadBalancer";
  const ingress = service.status?.loadBalancer?.ingress;
  if ((ingress ?? []).length > 0 && service.spec?.type !== "LoadBalancer") {
    return [forbidden(`${path}.ingress`, "may only be used when `spec.type` is 'LoadBalancer'")];
  }
  return each(ingress, `${path}.ingress`, ({ ip, hostname, ipMode }, at) => {
    const errors: FieldError[] = [];
    if (!isEmpty(ip)) errors.push(...validIp(ip!, `${at}.ip`));
    if (!isEmpty(ip) && ipMode === undefined)
      errors.push(required(`${at}.ipMode`, "must be specified when `ip` is set"));
    if (isEmpty(ip) && ipMode !== undefined)
      errors.push(forbidden(`${at}.ipMode`, "may not be specified when `ip` is not set"));
    if (!isEmpty(ip)) errors.push(...given(ipMode, ["Proxy", "VIP"], `${at}.ipMode`));
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
