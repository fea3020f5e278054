import type { ProxyConfig } from "../config.ts";
import type { Family, ProxyEndpoint, ServicePort } from "../model/types.ts";
import { covers } from "../ranges.ts";
import { endpointNames, portNames } from "./names.ts";

/** What one service port owns in the table, and the elements it adds to the shared maps and sets. */
export interface PortObjects {
  /** Chain → rules. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Set → its definition. */
  readonly sets: ReadonlyMap<string, string>;
  /** "map|key" → verdict, "" for sets. */
  readonly elements: ReadonlyMap<string, string>;
}

export const MAPS = [
  "service-ips",
  "service-nodeports",
  "no-endpoint-services",
  "no-endpoint-nodeports",
  "firewall-ips",
] as const;
export const SETS = ["cluster-ips", "hairpin-connections"] as const;
type Shared = (typeof MAPS)[number] | (typeof SETS)[number];

const REJECT = "goto reject-chain";
const MARK = "jump mark-for-masquerade";

export const ipWord = (family: Family): string => (family === "IPv6" ? "ip6" : "ip");

class Objects {
  readonly chains = new Map<string, string[]>();
  readonly sets = new Map<string, string>();
  readonly elements = new Map<string, string>();
  chain(name: string, ...rules: string[]): void {
    const known = this.chains.get(name);
    if (known === undefined) this.chains.set(name, rules);
    else known.push(...rules);
  }
  element(into: Shared, key: string, verdict = ""): void {
    this.elements.set(`${into}|${key}`, verdict);
  }
}

interface Context {
  readonly family: Family;
  readonly config: ProxyConfig;
  readonly objects: Objects;
  readonly port: ServicePort;
}

function balance({ objects, port, family }: Context, chain: string, endpoints: readonly ProxyEndpoint[]): void {
  const ip = ipWord(family);
  const names = endpoints.map((endpoint) => endpointNames(port, endpoint));
  if (port.affinitySeconds > 0) {
    for (const { chain: target, affinity } of names) objects.chain(chain, `${ip} saddr @${affinity} goto ${target}`);
  }
  const choices = names.map(({ chain: target }, index) => `${index} : goto ${target}`).join(", ");
  objects.chain(chain, `numgen random mod ${names.length} vmap { ${choices} }`);
}

function endpointChain({ objects, port, family }: Context, endpoint: ProxyEndpoint): void {
  const { chain, affinity } = endpointNames(port, endpoint);
  const ip = ipWord(family);
  const protocol = port.protocol.toLowerCase();
  if (port.affinitySeconds > 0) {
    const type = family === "IPv6" ? "ipv6_addr" : "ipv4_addr";
    objects.sets.set(affinity, `type ${type} ; flags dynamic,timeout ; timeout ${port.affinitySeconds}s ; `);
    objects.chain(chain, `update @${affinity} { ${ip} saddr }`);
  }
  const target = family === "IPv6" ? `[${endpoint.ip}]:${endpoint.port}` : `${endpoint.ip}:${endpoint.port}`;
  objects.chain(chain, `meta l4proto ${protocol} dnat to ${target}`);
  // A pod that reaches itself through its service must see another source than itself, or the answer never returns.
  if (endpoint.local) objects.element("hairpin-connections", `${endpoint.ip} . ${endpoint.ip}`);
}

function refusal(port: ServicePort, local: boolean): string {
  return local && port.hasAnyEndpoints ? "drop" : REJECT;
}

function renderClusterIP(context: Context): void {
  const { objects, port, config, family } = context;
  const protocol = port.protocol.toLowerCase();
  const key = `${port.clusterIP} . ${protocol} . ${port.port}`;
  const names = portNames(port);
  objects.element("cluster-ips", port.clusterIP);
  const endpoints = port.internalTrafficLocal ? port.localEndpoints : port.clusterEndpoints;
  if (endpoints.length === 0) {
    objects.element("no-endpoint-services", key, refusal(port, port.internalTrafficLocal));
    return;
  }
  const chain = port.internalTrafficLocal ? names.local : names.service;
  const ip = ipWord(family);
  const match = `${ip} daddr ${port.clusterIP} ${protocol} dport ${port.port}`;
  if (config.masqueradeAll) objects.chain(chain, `${match} ${MARK}`);
  else if (config.clusterCIDR !== "") objects.chain(chain, `${match} ${ip} saddr != ${config.clusterCIDR} ${MARK}`);
  objects.element("service-ips", key, `goto ${chain}`);
}

function renderExternal(context: Context): void {
  const { objects, port, config, family } = context;
  const protocol = port.protocol.toLowerCase();
  const ip = ipWord(family);
  const names = portNames(port);
  const outside = [...port.externalIPs, ...port.loadBalancerIPs].map((to) => `${to} . ${protocol} . ${port.port}`);
  if (outside.length === 0 && port.nodePort === 0) return;
  const usable = port.externalTrafficLocal ? port.localEndpoints : port.clusterEndpoints;
  const nodePortKey = `${protocol} . ${port.nodePort}`;
  if (usable.length === 0) {
    const verdict = refusal(port, port.externalTrafficLocal);
    for (const key of outside) objects.element("no-endpoint-services", key, verdict);
    if (port.nodePort !== 0) objects.element("no-endpoint-nodeports", nodePortKey, verdict);
    // Local and pod clients may still use endpoints of other nodes when the policy is Local.
    if (!port.hasAnyEndpoints) return;
  }
  if (port.externalTrafficLocal) {
    if (config.clusterCIDR !== "") {
      objects.chain(names.external, `${ip} saddr ${config.clusterCIDR} goto ${names.service}`);
    }
    objects.chain(names.external, `fib saddr type local ${MARK}`, `fib saddr type local goto ${names.service}`);
    if (usable.length > 0) objects.chain(names.external, `goto ${names.local}`);
  } else objects.chain(names.external, MARK, `goto ${names.service}`);
  for (const key of outside) objects.element("service-ips", key, `goto ${names.external}`);
  if (port.nodePort !== 0) objects.element("service-nodeports", nodePortKey, `goto ${names.external}`);
  if (port.loadBalancerSourceRanges.length > 0 && port.loadBalancerIPs.length > 0) {
    objects.chain(names.firewall, `${ip} saddr != { ${mergedRanges(port.loadBalancerSourceRanges)} } drop`);
    for (const to of port.loadBalancerIPs) {
      objects.element("firewall-ips", `${to} . ${protocol} . ${port.port}`, `goto ${names.firewall}`);
    }
  }
}

/** nft refuses intervals that overlap, so ranges inside another one are left out. */
function mergedRanges(ranges: readonly string[]): string {
  return [...new Set(ranges)]
    .filter((range) => !ranges.some((other) => other !== range && covers(other, range)))
    .join(", ");
}

/** All objects of one service port. Pure; the same port gives the same objects. */
export function renderPort(port: ServicePort, family: Family, config: ProxyConfig): PortObjects {
  const objects = new Objects();
  const context = { family, config, objects, port };
  renderClusterIP(context);
  renderExternal(context);
  const names = portNames(port);
  const rules = [...objects.chains.values()].flat();
  const verdicts = [...objects.elements.values()];
  const used = new Map<string, ProxyEndpoint>();
  for (const [chain, endpoints] of [
    [names.service, port.clusterEndpoints],
    [names.local, port.localEndpoints],
  ] as const) {
    const reached = rules.some((rule) => rule.endsWith(`goto ${chain}`)) || verdicts.includes(`goto ${chain}`);
    if (!reached || endpoints.length === 0) continue;
    balance(context, chain, endpoints);
    for (const endpoint of endpoints) used.set(endpointNames(port, endpoint).chain, endpoint);
  }
  for (const endpoint of used.values()) endpointChain(context, endpoint);
  return objects;
}
