import { ageOf, NONE, UNSET } from "../printers/cells.ts";
import { firstOf, formatSelector } from "../printers/format.ts";
import type { Ingress, IngressClass, IPAddress, NetworkPolicy, ServiceCIDR } from "../types/networking-v1.ts";

const MAX_HOSTS = 3;

function hostsOf(ingress: Readonly<Ingress>): string {
  const hosts = (ingress.spec?.rules ?? []).map(({ host }) => host ?? "").filter((host) => host !== "");
  return hosts.length === 0 ? "*" : firstOf(hosts, MAX_HOSTS);
}

export function printIngress(ingress: Readonly<Ingress>, now: number): unknown[] {
  const addresses = (ingress.status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip || hostname || "");
  return [
    ingress.metadata.name,
    ingress.spec?.ingressClassName ?? NONE,
    hostsOf(ingress),
    addresses.filter((text) => text !== "").join(","),
    (ingress.spec?.tls ?? []).length > 0 ? "80, 443" : "80",
    ageOf(ingress, now),
  ];
}

export function printIngressClass(ingressClass: Readonly<IngressClass>, now: number): unknown[] {
  const parameters = ingressClass.spec?.parameters;
  const group = parameters?.apiGroup ? `.${parameters.apiGroup}` : "";
  return [
    ingressClass.metadata.name,
    ingressClass.spec?.controller ?? "",
    parameters === undefined ? NONE : `${parameters.kind}${group}/${parameters.name}`,
    ageOf(ingressClass, now),
  ];
}

export function printNetworkPolicy(policy: Readonly<NetworkPolicy>, now: number): unknown[] {
  return [policy.metadata.name, formatSelector(policy.spec?.podSelector), ageOf(policy, now)];
}

export function printServiceCIDR(cidr: Readonly<ServiceCIDR>, now: number): unknown[] {
  return [cidr.metadata.name, (cidr.spec?.cidrs ?? []).join(","), ageOf(cidr, now)];
}

export function printIPAddress(address: Readonly<IPAddress>): unknown[] {
  const parent = address.spec?.parentRef;
  if (parent === undefined) return [address.metadata.name, UNSET];
  const resource = parent.group ? `${parent.resource}.${parent.group}` : parent.resource;
  const parts = [resource, parent.namespace, parent.name].filter((part) => part !== undefined && part !== "");
  return [address.metadata.name, parts.join("/").toLowerCase()];
}
