import {
  isDns1123Label,
  isValidPathSegmentName,
  isValidPortName,
  isValidPortNumber,
  isWildcardDns1123Subdomain,
} from "#pkg/apimachinery/index.ts";
import type {
  HTTPIngressPath,
  Ingress,
  IngressBackend,
  IngressClass,
  IPAddress,
  NetworkPolicy,
  NetworkPolicyPeer,
  NetworkPolicyPort,
  ServiceCIDR,
} from "../types/networking-v1.ts";
import {
  allInvalid,
  dnsSubdomain,
  domainPrefixedPath,
  each,
  type FieldError,
  forbidden,
  immutable,
  inRange,
  invalid,
  ipFamily,
  isCidr,
  isEmpty,
  notSupported,
  oneOf,
  portNumberOrName,
  required,
  sameValue,
  tooLong,
  validCidr,
  validIp,
  given,
} from "../validation/rules.ts";
import { validateLabelSelector } from "../validation/selectors.ts";

function validateHost(host: string, path: string): FieldError[] {
  if (ipFamily(host) !== 0) return [invalid(path, host, "must be a DNS name, not an IP address")];
  if (host.includes("*")) return allInvalid(path, host, isWildcardDns1123Subdomain(host));
  return dnsSubdomain(host, path);
}

/** What an object of some other kind is called that the controller of an Ingress knows. */
function validateTypedReference(
  ref: Partial<Record<"apiGroup" | "kind" | "name", string | null>>,
  path: string,
): FieldError[] {
  const errors =
    ref.apiGroup === undefined || ref.apiGroup === null ? [] : dnsSubdomain(ref.apiGroup, `${path}.apiGroup`);
  for (const field of ["kind", "name"] as const) {
    const value = ref[field];
    if (isEmpty(value)) errors.push(required(`${path}.${field}`, `${field} is required`));
    else errors.push(...allInvalid(`${path}.${field}`, value, isValidPathSegmentName(value!)));
  }
  return errors;
}

function validateBackend(backend: IngressBackend | undefined, path: string): FieldError[] {
  const { resource, service } = backend ?? {};
  if (resource !== undefined && service !== undefined) {
    return [invalid(path, "", "cannot set both resource and service backends")];
  }
  if (resource !== undefined) return validateTypedReference(resource, `${path}.resource`);
  if (service === undefined) return [invalid(path, "", "resource or service backend is required")];
  const errors: FieldError[] = [];
  if (isEmpty(service.name)) errors.push(required(`${path}.service.name`));
  else errors.push(...allInvalid(`${path}.service.name`, service.name, isDns1123Label(service.name)));
  const { name, number } = service.port ?? {};
  if (!isEmpty(name) && number) errors.push(invalid(path, "", "cannot set both port name & port number"));
  else if (!isEmpty(name)) errors.push(...allInvalid(`${path}.service.port.name`, name, isValidPortName(name!)));
  else if (number) errors.push(...allInvalid(`${path}.service.port.number`, number, isValidPortNumber(number)));
  else errors.push(required(path, "port name or number is required"));
  return errors;
}

const PATH_TYPES = ["Exact", "ImplementationSpecific", "Prefix"];
const BAD_SEQUENCES = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDINGS = ["/..", "/."];

function validatePath({ path = "", pathType, backend }: HTTPIngressPath, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (pathType === undefined || pathType === null) return [required(`${at}.pathType`, "pathType must be specified")];
  if (pathType === "Exact" || pathType === "Prefix") {
    if (!path.startsWith("/")) errors.push(invalid(`${at}.path`, path, "must be an absolute path"));
    for (const bad of BAD_SEQUENCES) {
      if (path.includes(bad)) errors.push(invalid(`${at}.path`, path, `must not contain '${bad}'`));
    }
    for (const bad of BAD_ENDINGS) {
      if (path.endsWith(bad)) errors.push(invalid(`${at}.path`, path, `cannot end with '${bad}'`));
    }
  } else if (pathType === "ImplementationSpecific") {
    if (path !== "" && !path.startsWith("/")) errors.push(invalid(`${at}.path`, path, "must be an absolute path"));
  } else errors.push(notSupported(`${at}.pathType`, pathType, PATH_TYPES));
  return [...errors, ...validateBackend(backend, `${at}.backend`)];
}

/** How a class was chosen before there was a field for it. */
export const CLASS_ANNOTATION = "kubernetes.io/ingress.class";

export function validateIngress({ spec = {} }: Ingress): FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.rules ?? []).length === 0 && spec.defaultBackend === undefined) {
    errors.push(invalid("spec", spec.rules ?? [], "either `defaultBackend` or `rules` must be specified"));
  }
  if (spec.defaultBackend !== undefined) errors.push(...validateBackend(spec.defaultBackend, "spec.defaultBackend"));
  errors.push(
    ...each(spec.rules, "spec.rules", ({ host, http }, at) => [
      ...(isEmpty(host) ? [] : validateHost(host!, `${at}.host`)),
      ...(http === undefined
        ? []
        : (http.paths ?? []).length === 0
          ? [required(`${at}.http.paths`)]
          : each(http.paths, `${at}.http.paths`, validatePath)),
    ]),
    ...each(spec.tls, "spec.tls", ({ hosts, secretName }, at) => [
      ...each(hosts, `${at}.hosts`, (host, item) =>
        host.includes("*") ? allInvalid(item, host, isWildcardDns1123Subdomain(host)) : dnsSubdomain(host, item),
      ),
      ...(isEmpty(secretName) ? [] : dnsSubdomain(secretName!, `${at}.secretName`)),
    ]),
  );
  if (spec.ingressClassName !== undefined) errors.push(...dnsSubdomain(spec.ingressClassName, "spec.ingressClassName"));
  return errors;
}

export function validateIngressCreate(ingress: Ingress): FieldError[] {
  const errors: FieldError[] = [];
  const annotation = ingress.metadata.annotations?.[CLASS_ANNOTATION];
  if (
    annotation !== undefined &&
    ingress.spec?.ingressClassName !== undefined &&
    annotation !== ingress.spec.ingressClassName
  ) {
    const at = `annotations.${CLASS_ANNOTATION}`;
    errors.push(invalid(at, annotation, "must match `ingressClassName` when both are specified"));
  }
  return [...errors, ...validateIngress(ingress)];
}

export function validateIngressStatus({ status }: Ingress): FieldError[] {
  return each(status?.loadBalancer?.ingress, "status.loadBalancer.ingress", ({ ip, hostname }, at) => [
    ...(isEmpty(ip) ? [] : validIp(ip!, `${at}.ip`)),
    ...(isEmpty(hostname) ? [] : validateHost(hostname!, `${at}.hostname`)),
  ]);
}

const MAX_CONTROLLER = 250;

export function validateIngressClass({ spec = {} }: IngressClass): FieldError[] {
  const errors: FieldError[] = [];
  const { controller = "", parameters } = spec;
  if (controller.length > MAX_CONTROLLER) errors.push(tooLong("spec.controller", MAX_CONTROLLER));
  errors.push(...domainPrefixedPath(controller, "spec.controller"));
  if (parameters === undefined) return errors;
  const at = "spec.parameters";
  errors.push(...validateTypedReference(parameters, at));
  const { scope, namespace } = parameters;
  errors.push(...oneOf(scope, ["Cluster", "Namespace"], `${at}.scope`));
  if (scope === "Namespace" && isEmpty(namespace)) {
    errors.push(required(`${at}.namespace`, "`parameters.scope` is set to 'Namespace'"));
  }
  if (scope === "Cluster" && !isEmpty(namespace)) {
    errors.push(forbidden(`${at}.namespace`, "`parameters.scope` is set to 'Cluster'"));
  }
  return errors;
}

export function validateIngressClassUpdate(ingressClass: IngressClass, old: Readonly<IngressClass>): FieldError[] {
  return [
    ...immutable(ingressClass.spec?.controller ?? "", old.spec?.controller, "spec.controller"),
    ...validateIngressClass(ingressClass),
  ];
}

const PROTOCOLS = ["TCP", "UDP", "SCTP"];
const POLICY_TYPES = ["Ingress", "Egress"];

function validatePolicyPort({ protocol, port, endPort }: NetworkPolicyPort, path: string): FieldError[] {
  const errors: FieldError[] = [];
  errors.push(...given(protocol, PROTOCOLS, `${path}.protocol`));
  if (port === undefined) {
    if (endPort !== undefined)
      errors.push(invalid(`${path}.endPort`, endPort, "may not be specified when `port` is not specified"));
    return errors;
  }
  errors.push(...portNumberOrName(port, `${path}.port`));
  if (endPort === undefined) return errors;
  if (typeof port === "string") {
    errors.push(invalid(`${path}.endPort`, endPort, "may not be specified when `port` is non-numeric"));
  } else {
    if (endPort < port) errors.push(invalid(`${path}.endPort`, endPort, "must be greater than or equal to `port`"));
    errors.push(...inRange(endPort, 1, 65535, `${path}.endPort`));
  }
  return errors;
}

function validatePeer({ podSelector, namespaceSelector, ipBlock }: NetworkPolicyPeer, path: string): FieldError[] {
  const errors: FieldError[] = [
    ...validateLabelSelector(podSelector, `${path}.podSelector`),
    ...validateLabelSelector(namespaceSelector, `${path}.namespaceSelector`),
  ];
  const selects = podSelector !== undefined || namespaceSelector !== undefined;
  if (ipBlock !== undefined) {
    if (isEmpty(ipBlock.cidr)) errors.push(required(`${path}.ipBlock.cidr`));
    else errors.push(...validCidr(ipBlock.cidr, `${path}.ipBlock.cidr`));
    errors.push(
      ...each(ipBlock.except, `${path}.ipBlock.except`, (except, at) => {
        const found = validCidr(except, at);
        if (found.length > 0 || !isCidr(ipBlock.cidr)) return found;
        return isSubnet(except, ipBlock.cidr) ? [] : [invalid(at, except, "must be a strict subset of `cidr`")];
      }),
    );
  }
  if (selects && ipBlock !== undefined) errors.push(forbidden(path, "may not specify both ipBlock and another peer"));
  else if (!selects && ipBlock === undefined) errors.push(required(path, "must specify a peer"));
  return errors;
}

/** The bits of an address, as one number. */
function addressBits(address: string): bigint {
  if (ipFamily(address) === 4) return address.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
  const [head = "", tail] = address.split("::");
  const groups = (text: string): string[] =>
    text === ""
      ? []
      : text.split(":").flatMap((group) => {
          if (!group.includes(".")) return [group];
          const bits = addressBits(group);
          return [(bits >> 16n).toString(16), (bits & 0xffffn).toString(16)];
        });
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => "0");
  return [...front, ...zeros, ...back].reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n);
}

/** Does `inner` lie inside `outer` and is it smaller? Both are valid CIDRs. */
export function isSubnet(inner: string, outer: string): boolean {
  const [a, aBits] = inner.split("/") as [string, string];
  const [b, bBits] = outer.split("/") as [string, string];
  if (ipFamily(a) !== ipFamily(b) || Number(aBits) <= Number(bBits)) return false;
  const shift = BigInt((ipFamily(a) === 4 ? 32 : 128) - Number(bBits));
  return addressBits(a) >> shift === addressBits(b) >> shift;
}

export function validateNetworkPolicy({ spec = {} }: NetworkPolicy): FieldError[] {
  const errors = validateLabelSelector(spec.podSelector, "spec.podSelector");
  errors.push(
    ...each(spec.ingress, "spec.ingress", ({ ports, from }, at) => [
      ...each(ports, `${at}.ports`, validatePolicyPort),
      ...each(from, `${at}.from`, validatePeer),
    ]),
    ...each(spec.egress, "spec.egress", ({ ports, to }, at) => [
      ...each(ports, `${at}.ports`, validatePolicyPort),
      ...each(to, `${at}.to`, validatePeer),
    ]),
  );
  const types = spec.policyTypes ?? [];
  if (types.length > 2)
    return [...errors, invalid("spec.policyTypes", types, "may not specify more than two policyTypes")];
  return [...errors, ...each(types, "spec.policyTypes", (type, at) => given(type, POLICY_TYPES, at))];
}

export function validateServiceCIDR({ spec = {} }: ServiceCIDR): FieldError[] {
  const cidrs = spec.cidrs ?? [];
  if (cidrs.length === 0) return [required("spec.cidrs", "at least one CIDR required")];
  const errors: FieldError[] = [];
  if (cidrs.length > 2) errors.push(invalid("spec.cidrs", cidrs, "may only hold up to 2 values"));
  const families = cidrs.filter(isCidr).map((cidr) => ipFamily(cidr.split("/")[0]!));
  if (cidrs.length === 2 && new Set(families).size === 1) {
    errors.push(
      invalid(
        "spec.cidrs",
        cidrs,
        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
      ),
    );
  }
  return [...errors, ...each(cidrs, "spec.cidrs", validCidr)];
}

export function validateServiceCIDRUpdate(cidr: ServiceCIDR, old: Readonly<ServiceCIDR>): FieldError[] {
  const [now, was] = [cidr.spec?.cidrs ?? [], old.spec?.cidrs ?? []];
  // A second family may be added to one; nothing else changes.
  const grows = was.length === 1 && now.length === 2 && now[0] === was[0];
  const same = sameValue(now, was);
  return [...(same || grows ? [] : [invalid("spec.cidrs", now, "field is immutable")]), ...validateServiceCIDR(cidr)];
}

export function validateIPAddress({ metadata, spec }: IPAddress): FieldError[] {
  const errors = allInvalid("metadata.name", metadata.name ?? "", validateIPAddressName(metadata.name ?? ""));
  const parent = spec?.parentRef;
  const path = "spec.parentRef";
  if (parent === undefined) return [...errors, required(path)];
  if (!isEmpty(parent.group)) errors.push(...dnsSubdomain(parent.group!, `${path}.group`));
  for (const field of ["resource", "name"] as const) {
    if (isEmpty(parent[field])) errors.push(required(`${path}.${field}`));
    else errors.push(...allInvalid(`${path}.${field}`, parent[field], isValidPathSegmentName(parent[field])));
  }
  if (!isEmpty(parent.namespace)) {
    errors.push(...allInvalid(`${path}.namespace`, parent.namespace, isValidPathSegmentName(parent.namespace!)));
  }
  return errors;
}

export function validateIPAddressUpdate(address: IPAddress, old: Readonly<IPAddress>): FieldError[] {
  return [...validateIPAddress(address), ...immutable(address.spec?.parentRef, old.spec?.parentRef, "spec.parentRef")];
}

/** An IPAddress is named after the address, in canonical form. */
export function validateIPAddressName(name: string): string[] {
  return ipFamily(name) === 0 || name !== name.toLowerCase() ? ["must be a valid IP address in canonical form"] : [];
}
