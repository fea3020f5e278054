/** Services as iptables rules, chain by chain: pure text, which golden tests compare. */
import type { ProxyConfig } from "../config.ts";
import type { Family, ProxyEndpoint, ServicePort } from "../model/types.ts";
import { covers } from "../ranges.ts";
import { chainNames, destination, endpointChain } from "./names.ts";

/** Userspace mode: traffic goes to these ports of a forwarder on this node instead of to endpoint chains. */
export interface Redirect {
  /** Spreads over all endpoints. */
  readonly cluster: number;
  /** Spreads over the endpoints of this node. */
  readonly local: number;
}

/** Rules of one service port: chains of its own, and its lines in the shared dispatch chains. */
export interface PortRules {
  /** nat chain → its rules, without "-A CHAIN". */
  readonly natChains: ReadonlyMap<string, readonly string[]>;
  /** Shared chain ("nat KUBE-SERVICES", "filter KUBE-EXTERNAL-SERVICES", …) → rules. */
  readonly dispatch: ReadonlyMap<DispatchChain, readonly string[]>;
}
export const DISPATCH_CHAINS = [
  "nat KUBE-SERVICES",
  "nat KUBE-NODEPORTS",
  "filter KUBE-SERVICES",
  "filter KUBE-EXTERNAL-SERVICES",
  "filter KUBE-NODEPORTS",
  "filter KUBE-PROXY-FIREWALL",
] as const;
export type DispatchChain = (typeof DISPATCH_CHAINS)[number];

const MASQ = "KUBE-MARK-MASQ";
const host = (ip: string): string => (ip.includes(":") ? `${ip}/128` : `${ip}/32`);

function comment(text: string): string {
  return `-m comment --comment "${text}"`;
}

function balance(port: ServicePort, endpoints: readonly ProxyEndpoint[]): string[] {
  const rules: string[] = [];
  const chains = endpoints.map((endpoint) => ({ endpoint, chain: endpointChain(port, endpoint) }));
  if (port.affinitySeconds > 0) {
    for (const { endpoint, chain } of chains) {
      rules.push(
        `${comment(`${port.id} -> ${destination(endpoint)}`)} -m recent --name ${chain} --rcheck --seconds ${port.affinitySeconds} --reap -j ${chain}`,
      );
    }
  }
  chains.forEach(({ endpoint, chain }, index) => {
    const left = chains.length - index;
    const chance = left === 1 ? "" : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`;
    rules.push(`${comment(`${port.id} -> ${destination(endpoint)}`)}${chance} -j ${chain}`);
  });
  return rules;
}

function endpointRules(port: ServicePort, endpoint: ProxyEndpoint): string[] {
  const protocol = port.protocol.toLowerCase();
  const remember = port.affinitySeconds > 0 ? ` -m recent --name ${endpointChain(port, endpoint)} --set` : "";
  return [
    // A pod that reaches itself through its service must see another source than itself, or the answer never returns.
    `${comment(port.id)} -s ${host(endpoint.ip)} -j ${MASQ}`,
    `${comment(port.id)}${remember} -m ${protocol} -p ${protocol} -j DNAT --to-destination ${destination(endpoint)}`,
  ];
}

function redirectRules(port: ServicePort, to: number, { nodeIP }: ProxyConfig): string[] {
  const protocol = port.protocol.toLowerCase();
  const match = `-m ${protocol} -p ${protocol}`;
  const rules = [`${comment(port.id)} ${match} -j REDIRECT --to-ports ${to}`];
  // REDIRECT sends the node's own packets to 127.0.0.1, from where UDP answers do not find back.
  if (nodeIP !== "") {
    const target = destination({ ip: nodeIP, port: to });
    rules.unshift(`${comment(port.id)} -m addrtype --src-type LOCAL ${match} -j DNAT --to-destination ${target}`);
  }
  return rules;
}

function externalRules(port: ServicePort, config: ProxyConfig): string[] {
  const { service, local } = chainNames(port);
  if (!port.externalTrafficLocal) {
    return [
      `${comment(`masquerade traffic for ${port.id} external destinations`)} -j ${MASQ}`,
      `${comment(`${port.id} external destinations`)} -j ${service}`,
    ];
  }
  const rules: string[] = [];
  if (config.clusterCIDR !== "") {
    rules.push(`${comment(`pod traffic for ${port.id} external destinations`)} -s ${config.clusterCIDR} -j ${service}`);
  }
  const fromHere = "-m addrtype --src-type LOCAL";
  rules.push(
    `${comment(`masquerade LOCAL traffic for ${port.id} external destinations`)} ${fromHere} -j ${MASQ}`,
    `${comment(`route LOCAL traffic for ${port.id} external destinations`)} ${fromHere} -j ${service}`,
  );
  if (port.localEndpoints.length > 0) rules.push(`${comment(`${port.id} external destinations`)} -j ${local}`);
  return rules;
}

/** Collects a port's rules; a small builder keeps the order of rules as they are added. */
class RuleSink {
  readonly natChains = new Map<string, string[]>();
  readonly dispatch = new Map<DispatchChain, string[]>();
  chain(name: string, rules: readonly string[]): void {
    this.natChains.set(name, [...(this.natChains.get(name) ?? []), ...rules]);
  }
  replace(name: string, rules: readonly string[]): void {
    this.natChains.set(name, [...rules]);
  }
  to(chain: DispatchChain, rule: string): void {
    this.dispatch.set(chain, [...(this.dispatch.get(chain) ?? []), rule]);
  }
}

function refuse(
  sink: RuleSink,
  port: ServicePort,
  chain: DispatchChain,
  match: string,
  why: string,
  verdict: "REJECT" | "DROP",
): void {
  // A reset, because a socket that is still connecting overlooks ICMP errors of its own machine until it tries again.
  const how = verdict === "REJECT" && port.protocol === "TCP" ? " --reject-with tcp-reset" : "";
  sink.to(chain, `${comment(`${port.id} ${why}`)} ${match} -j ${verdict}${how}`);
}

function renderClusterIP(sink: RuleSink, port: ServicePort, config: ProxyConfig): void {
  const protocol = port.protocol.toLowerCase();
  const match = `-m ${protocol} -p ${protocol} -d ${host(port.clusterIP)} --dport ${port.port}`;
  const names = chainNames(port);
  const endpoints = port.internalTrafficLocal ? port.localEndpoints : port.clusterEndpoints;
  if (endpoints.length === 0) {
    const [why, verdict] =
      port.internalTrafficLocal && port.hasAnyEndpoints
        ? (["has no local endpoints", "DROP"] as const)
        : (["has no endpoints", "REJECT"] as const);
    refuse(sink, port, "filter KUBE-SERVICES", match, why, verdict);
    return;
  }
  const chain = port.internalTrafficLocal ? names.local : names.service;
  const masquerade = config.masqueradeAll ? "" : config.clusterCIDR === "" ? undefined : `! -s ${config.clusterCIDR} `;
  if (masquerade !== undefined)
    sink.chain(chain, [`${comment(`${port.id} cluster IP`)} ${masquerade}${match} -j ${MASQ}`]);
  sink.to("nat KUBE-SERVICES", `${comment(`${port.id} cluster IP`)} ${match} -j ${chain}`);
}

function renderExternal(sink: RuleSink, port: ServicePort, config: ProxyConfig): void {
  const protocol = port.protocol.toLowerCase();
  const names = chainNames(port);
  const usable = port.externalTrafficLocal ? port.localEndpoints : port.clusterEndpoints;
  const outside = [...port.externalIPs, ...port.loadBalancerIPs];
  const to = (ip: string) => `-m ${protocol} -p ${protocol} -d ${host(ip)} --dport ${port.port}`;
  if (outside.length === 0 && port.nodePort === 0) return;
  const why = port.externalTrafficLocal && port.hasAnyEndpoints ? "has no local endpoints" : "has no endpoints";
  const verdict = port.externalTrafficLocal && port.hasAnyEndpoints ? "DROP" : "REJECT";
  if (usable.length === 0) {
    for (const ip of outside) refuse(sink, port, "filter KUBE-EXTERNAL-SERVICES", to(ip), why, verdict);
    if (port.nodePort !== 0) {
      const match = `-m addrtype --dst-type LOCAL -m ${protocol} -p ${protocol} --dport ${port.nodePort}`;
      refuse(sink, port, "filter KUBE-EXTERNAL-SERVICES", match, why, verdict);
    }
    // Local and pod clients may still use endpoints of other nodes when the policy is Local.
    if (!port.hasAnyEndpoints) return;
  }
  sink.chain(names.external, externalRules(port, config));
  for (const ip of port.externalIPs)
    sink.to("nat KUBE-SERVICES", `${comment(`${port.id} external IP`)} ${to(ip)} -j ${names.external}`);
  const guarded = port.loadBalancerSourceRanges.length > 0;
  for (const ip of port.loadBalancerIPs) {
    sink.to(
      "nat KUBE-SERVICES",
      `${comment(`${port.id} loadbalancer IP`)} ${to(ip)} -j ${guarded ? names.firewall : names.external}`,
    );
    if (guarded) {
      sink.to(
        "filter KUBE-PROXY-FIREWALL",
        `${comment(`${port.id} traffic not accepted by ${names.firewall}`)} ${to(ip)} -j DROP`,
      );
    }
  }
  if (guarded && port.loadBalancerIPs.length > 0) {
    sink.chain(
      names.firewall,
      port.loadBalancerSourceRanges.map(
        (range) => `${comment(`${port.id} loadbalancer IP`)} -s ${range} -j ${names.external}`,
      ),
    );
    // The node's own packets to an address that is also bound here carry that address as their source.
    if (config.nodeIP !== "" && port.loadBalancerSourceRanges.some((range) => covers(range, config.nodeIP))) {
      const own = port.loadBalancerIPs.map(
        (ip) => `${comment(`${port.id} loadbalancer IP`)} -s ${host(ip)} -j ${names.external}`,
      );
      sink.chain(names.firewall, own);
    }
  }
  if (port.nodePort !== 0) {
    sink.to(
      "nat KUBE-NODEPORTS",
      `${comment(port.id)} -m ${protocol} -p ${protocol} --dport ${port.nodePort} -j ${names.external}`,
    );
  }
}

/** All rules of one service port. Pure; the same port gives the same text. */
export function renderPort(port: ServicePort, config: ProxyConfig, redirect?: Redirect): PortRules {
  const sink = new RuleSink();
  renderClusterIP(sink, port, config);
  renderExternal(sink, port, config);
  const names = chainNames(port);
  const endpoints = new Map<string, ProxyEndpoint>();
  const reached = [...sink.natChains.values(), ...sink.dispatch.values()].flat().join("\n");
  for (const [chain, targets] of [
    [names.service, port.clusterEndpoints],
    [names.local, port.localEndpoints],
  ] as const) {
    if (!reached.includes(chain) || targets.length === 0) continue;
    if (redirect !== undefined) {
      const to = chain === names.service ? redirect.cluster : redirect.local;
      // The forwarder's own connections carry the node's address, so nothing needs to be masqueraded.
      sink.replace(chain, redirectRules(port, to, config));
      continue;
    }
    sink.chain(chain, balance(port, targets));
    for (const endpoint of targets) endpoints.set(endpointChain(port, endpoint), endpoint);
  }
  for (const [chain, endpoint] of endpoints) sink.chain(chain, endpointRules(port, endpoint));
  if (port.healthCheckNodePort !== 0) {
    sink.to(
      "filter KUBE-NODEPORTS",
      `${comment(`${port.id} health check node port`)} -m tcp -p tcp --dport ${port.healthCheckNodePort} -j ACCEPT`,
    );
  }
  return { natChains: sink.natChains, dispatch: sink.dispatch };
}

/** Rules that do not depend on services: masquerading and forwarding. Chain → rules, per table. */
export function staticRules(family: Family): { nat: Map<string, string[]>; filter: Map<string, string[]> } {
  const filter = new Map([
    [
      "KUBE-FORWARD",
      [
        "-m conntrack --ctstate INVALID -j DROP",
        `${comment("kubernetes forwarding rules")} -m mark --mark 0x4000/0x4000 -j ACCEPT`,
        `${comment("kubernetes forwarding conntrack rule")} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      ],
    ],
  ]);
  if (family === "IPv4") {
    // route_localnet lets packets for loopback addresses in from outside; only answers and node ports may be such.
    filter.set("KUBE-FIREWALL", [
      `${comment("block incoming localnet connections")} ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP`,
    ]);
  }
  return {
    nat: new Map([
      [MASQ, ["-j MARK --or-mark 0x4000"]],
      [
        "KUBE-POSTROUTING",
        [
          "-m mark ! --mark 0x4000/0x4000 -j RETURN",
          // The mark is cleared so that a packet that passes twice (tunnels) is not masqueraded twice.
          "-j MARK --xor-mark 0x4000",
          `${comment("kubernetes service traffic requiring SNAT")} -j MASQUERADE --random-fully`,
        ],
      ],
    ]),
    filter,
  };
}

/** Last rules of nat KUBE-SERVICES: whatever no cluster IP took and is for this node may be a node port. */
export function nodePortJumps(config: ProxyConfig, family: Family): string[] {
  const text = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain");
  const local = "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS";
  // Answers of a pod to ::1 could not leave the pod, so IPv6 loopback never takes part.
  const loopback = family === "IPv6" ? "! -d ::1/128 " : config.localhostNodePorts ? "" : "! -d 127.0.0.0/8 ";
  if (config.nodePortAddresses.length === 0) return [`${text} ${loopback}${local}`];
  return config.nodePortAddresses.map((cidr) => `${text} -d ${cidr} ${local}`);
}

/** Do node ports answer on 127.0.0.1, so that the kernel must route loopback sources? Pure. */
export function needsRouteLocalnet(config: ProxyConfig, family: Family): boolean {
  if (family !== "IPv4" || !config.localhostNodePorts) return false;
  return config.nodePortAddresses.length === 0 || config.nodePortAddresses.some((range) => covers(range, "127.0.0.1"));
}
