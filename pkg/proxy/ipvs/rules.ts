import type { ProxyConfig } from "../config.ts";
import { type Jump, JUMPS } from "../iptables/jumps.ts";
import { staticRules } from "../iptables/render.ts";
import type { Family } from "../model/types.ts";
import { type IpvsSet, setName } from "./state.ts";

const MASQ = "KUBE-MARK-MASQ";
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;

/** Kernel chains that lead to ours in ipvs mode. Local delivery is where IPVS takes its packets. */
export const IPVS_JUMPS: readonly Jump[] = [
  ...JUMPS.filter(({ rule, table }) => table === "nat" || /KUBE-(?:FORWARD|PROXY-FIREWALL|NODEPORTS)$/.test(rule)),
  {
    table: "filter",
    chain: "INPUT",
    rule: '-m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER',
  },
];

/** Chains of ipvs mode: their number does not depend on services, because ipsets hold what does. Pure. */
export function ipvsRules(
  family: Family,
  config: ProxyConfig,
): { nat: Map<string, string[]>; filter: Map<string, string[]> } {
  const { nat, filter } = staticRules(family);
  const match = (set: IpvsSet, directions: string) => `-m set --match-set ${setName(set, family)} ${directions}`;
  const foreign = config.masqueradeAll ? "" : config.clusterCIDR === "" ? undefined : `! -s ${config.clusterCIDR} `;
  nat.set("KUBE-SERVICES", [
    `${match("LOAD-BALANCER", "dst,dst")} -j KUBE-LOAD-BALANCER`,
    ...(foreign === undefined ? [] : [`${foreign}${match("CLUSTER-IP", "dst,dst")} -j ${MASQ}`]),
    `${match("EXTERNAL-IP", "dst,dst")} -j ${MASQ}`,
    "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT",
    // Local delivery would end in the node's own sockets if a chain behind this one sent the packet elsewhere.
    `${match("CLUSTER-IP", "dst,dst")} -j ACCEPT`,
  ]);
  nat.set("KUBE-LOAD-BALANCER", [`${match("LOAD-BALANCER-LOCAL", "dst,dst")} -j RETURN`, `-j ${MASQ}`]);
  nat.set(
    "KUBE-NODE-PORT",
    PROTOCOLS.flatMap((protocol) => [
      `-p ${protocol.toLowerCase()} ${match(`NODE-PORT-LOCAL-${protocol}`, "dst")} -j RETURN`,
      `-p ${protocol.toLowerCase()} ${match(`NODE-PORT-${protocol}`, "dst")} -j ${MASQ}`,
    ]),
  );
  nat.get("KUBE-POSTROUTING")!.unshift(`${match("LOOP-BACK", "dst,dst,src")} -j MASQUERADE`);
  filter.delete("KUBE-FIREWALL");
  filter.set("KUBE-NODEPORTS", [`${match("HEALTH-CHECK-NODE-PORT", "dst")} -j ACCEPT`]);
  filter.set("KUBE-PROXY-FIREWALL", [`${match("LOAD-BALANCER-FW", "dst,dst")} -j KUBE-SOURCE-RANGES-FIREWALL`]);
  filter.set("KUBE-SOURCE-RANGES-FIREWALL", [
    `${match("LOAD-BALANCER-SOURCE-CIDR", "dst,dst,src")} -j RETURN`,
    "-j DROP",
  ]);
  // Service addresses are local addresses here; without this, programs of the node would answer on them.
  filter.set("KUBE-IPVS-FILTER", [
    ...(["LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL"] as const).map(
      (set) => `${match(set, "dst,dst")} -j RETURN`,
    ),
    `${match("HEALTH-CHECK-NODE-PORT", "dst")} -j RETURN`,
    `-m conntrack --ctstate NEW ${match("IPVS-IPS", "dst")} -j REJECT`,
  ]);
  return { nat, filter };
}
