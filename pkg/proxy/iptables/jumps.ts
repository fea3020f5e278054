const NEW = "-m conntrack --ctstate NEW";

/** A jump from one of the kernel's chains into one of ours. */
export interface Jump {
  readonly table: "mangle" | "filter" | "nat";
  readonly chain: string;
  readonly rule: string;
}

const jump = (table: Jump["table"], chain: string, match: string, text: string, target: string): Jump => ({
  table,
  chain,
  rule: `${match}${match === "" ? "" : " "}-m comment --comment "${text}" -j ${target}`,
});

const FIREWALL = "kubernetes load balancer firewall";
const PORTALS = "kubernetes service portals";
const EXTERNAL = "kubernetes externally-visible service portals";

/** All jumps; missing ones are put at the top of their chain in this order, so the last one listed comes first. */
export const JUMPS: readonly Jump[] = [
  jump("filter", "INPUT", NEW, FIREWALL, "KUBE-PROXY-FIREWALL"),
  jump("filter", "OUTPUT", NEW, FIREWALL, "KUBE-PROXY-FIREWALL"),
  jump("filter", "FORWARD", NEW, FIREWALL, "KUBE-PROXY-FIREWALL"),
  jump("filter", "FORWARD", NEW, PORTALS, "KUBE-SERVICES"),
  jump("filter", "OUTPUT", NEW, PORTALS, "KUBE-SERVICES"),
  jump("filter", "INPUT", NEW, EXTERNAL, "KUBE-EXTERNAL-SERVICES"),
  jump("filter", "FORWARD", NEW, EXTERNAL, "KUBE-EXTERNAL-SERVICES"),
  jump("filter", "INPUT", "", "kubernetes health check service ports", "KUBE-NODEPORTS"),
  jump("filter", "FORWARD", "", "kubernetes forwarding rules", "KUBE-FORWARD"),
  jump("nat", "PREROUTING", "", PORTALS, "KUBE-SERVICES"),
  jump("nat", "OUTPUT", "", PORTALS, "KUBE-SERVICES"),
  jump("nat", "POSTROUTING", "", "kubernetes postrouting rules", "KUBE-POSTROUTING"),
];

/** These exist in IPv4 only: IPv6 never routes loopback addresses. */
export const LOCALNET_JUMPS: readonly Jump[] = [
  jump("filter", "INPUT", "", "kubernetes localnet firewall", "KUBE-FIREWALL"),
  jump("filter", "OUTPUT", "", "kubernetes localnet firewall", "KUBE-FIREWALL"),
];

/** Chains of ours as they appear in iptables-save, in any table. */
export const OWN_CHAIN =
  /^KUBE-(?:(?:SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}|SERVICES|EXTERNAL-SERVICES|NODEPORTS|POSTROUTING|MARK-MASQ|FORWARD|FIREWALL|PROXY-FIREWALL|PROXY-CANARY)$/;
export const SERVICE_CHAIN = /^KUBE-(?:SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$/;

/** What iptables-save shows of the tables, as far as we care. */
export interface SavedTables {
  /** "table CHAIN" of every chain. */
  readonly chains: ReadonlySet<string>;
  /** "table CHAIN TARGET" → how many rules of the chain jump there. */
  readonly targets: ReadonlyMap<string, number>;
  /** Jump → how often it stands in its chain. */
  readonly jumps: ReadonlyMap<Jump, number>;
}

/** The words of a rule in one order: versions of iptables differ in the order in which they list matches. */
function normalRule(rule: string): string {
  return (rule.match(/"[^"]*"|\S+/g) ?? []).toSorted().join(" ");
}

/** Reads the output of iptables-save. Pure. */
export function parseSave(text: string, jumps: readonly Jump[]): SavedTables {
  const chains = new Set<string>();
  const targets = new Map<string, number>();
  const found = new Map<Jump, number>();
  const wanted = new Map(jumps.map((jump) => [`${jump.table} ${jump.chain} ${normalRule(jump.rule)}`, jump]));
  const jumpChains = new Set(jumps.map((jump) => `${jump.table} ${jump.chain}`));
  let table = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1);
    else if (line.startsWith(":")) chains.add(`${table} ${line.slice(1, line.indexOf(" "))}`);
    else if (line.startsWith("-A ")) {
      const chain = `${table} ${line.slice(3, line.indexOf(" ", 3))}`;
      const at = line.lastIndexOf(" -j ");
      const target = at < 0 ? "" : (line.slice(at + 4).split(" ", 1)[0] ?? "");
      const key = `${chain} ${target}`;
      targets.set(key, (targets.get(key) ?? 0) + 1);
      if (!jumpChains.has(chain)) continue;
      const jump = wanted.get(`${chain} ${normalRule(line.slice(line.indexOf(" ", 3) + 1))}`);
      if (jump !== undefined) found.set(jump, (found.get(jump) ?? 0) + 1);
    }
  }
  return { chains, targets, jumps: found };
}
