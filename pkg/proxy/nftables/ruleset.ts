import type { ProxyConfig } from "../config.ts";
import type { Family, ModelChange, ServicePort } from "../model/types.ts";
import { MAPS, type PortObjects, SETS, ipWord, renderPort } from "./render.ts";

export const TABLE = "kube-proxy";
/** Service ports per transaction while a new table is filled. */
const PIECE = 500;

/** The table without services: base chains with their hooks, dispatch, refusal, masquerading. Chain → rules. */
export function baseChains(family: Family, config: ProxyConfig): Map<string, { hook?: string; rules: string[] }> {
  const ip = ipWord(family);
  const reject = family === "IPv6" ? "icmpv6" : "icmp";
  const lookup = `${ip} daddr . meta l4proto . th dport vmap`;
  const loopback = family === "IPv6" ? "::1" : "127.0.0.0/8";
  const nodeAddress =
    config.nodePortAddresses.length === 0
      ? `fib daddr type local ${ip} daddr != ${loopback}`
      : `fib daddr type local ${ip} daddr @nodeport-ips`;
  const filter = (hook: string, priority: number) => `type filter hook ${hook} priority ${priority} ; `;
  const nat = (hook: string, priority: number) => `type nat hook ${hook} priority ${priority} ; `;
  const hooked = (hook: string, ...rules: string[]) => ({ hook, rules });
  const plain = (...rules: string[]) => ({ rules });
  const masked = "meta mark & 0x00004000 == 0x00004000";
  return new Map(
    Object.entries({
      "mark-for-masquerade": plain("meta mark set meta mark | 0x00004000"),
      "reject-chain": plain("meta l4proto tcp reject with tcp reset", `reject with ${reject} type port-unreachable`),
      masquerading: plain(
        // The mark is cleared so that a packet that passes twice (tunnels) is not masqueraded twice.
        `${masked} meta mark set meta mark ^ 0x00004000 masquerade fully-random`,
        `${ip} saddr . ${ip} daddr @hairpin-connections masquerade fully-random`,
      ),
      services: plain(`${lookup} @service-ips`, `${nodeAddress} meta l4proto . th dport vmap @service-nodeports`),
      "service-endpoints-check": plain(`${lookup} @no-endpoint-services`),
      "nodeport-endpoints-check": plain(`${nodeAddress} meta l4proto . th dport vmap @no-endpoint-nodeports`),
      // What is still addressed to a cluster IP after translation asked for a port that the service does not have.
      "cluster-ips-check": plain(`${ip} daddr @cluster-ips reject`),
      "firewall-check": plain(`${lookup} @firewall-ips`),
      "filter-prerouting-pre-dnat": hooked(filter("prerouting", -110), "ct state new jump firewall-check"),
      "filter-output-pre-dnat": hooked(filter("output", -110), "ct state new jump firewall-check"),
      "filter-input": hooked(
        filter("input", -110),
        "ct state new jump nodeport-endpoints-check",
        "ct state new jump service-endpoints-check",
      ),
      "filter-forward": hooked(
        filter("forward", -110),
        "ct state new jump service-endpoints-check",
        "ct state new jump cluster-ips-check",
      ),
      // After the translation of local packets, which happens at -100.
      "filter-output": hooked(
        filter("output", -90),
        "ct state new jump service-endpoints-check",
        "ct state new jump cluster-ips-check",
      ),
      "nat-prerouting": hooked(nat("prerouting", -100), "jump services"),
      "nat-output": hooked(nat("output", -100), "jump services"),
      "nat-postrouting": hooked(nat("postrouting", 100), "jump masquerading"),
    }),
  );
}

/** Definitions of the shared maps and sets. */
function sharedSets(family: Family): Map<string, string> {
  const address = family === "IPv6" ? "ipv6_addr" : "ipv4_addr";
  const byAddress = `type ${address} . inet_proto . inet_service : verdict ; `;
  const byPort = "type inet_proto . inet_service : verdict ; ";
  return new Map([
    ...MAPS.map((name): [string, string] => [name, name.endsWith("nodeports") ? byPort : byAddress]),
    ["cluster-ips", `type ${address} ; `],
    ["hairpin-connections", `type ${address} . ${address} ; `],
  ]);
}

/** Text of one nft transaction, in the order in which its parts may refer to each other. */
class NftText {
  addChains = "";
  flush = "";
  deleteElements = "";
  deleteSets = "";
  addSets = "";
  rules = "";
  addElements = "";
  deleteChains = "";
  toString(): string {
    return (
      this.addChains +
      this.flush +
      this.deleteElements +
      this.deleteSets +
      this.addSets +
      this.rules +
      this.addElements +
      this.deleteChains
    );
  }
}

/** What the table holds, kept per service port so that the text of a transaction is as large as the change. */
export class NftRuleset {
  readonly #family: Family;
  readonly #config: ProxyConfig;
  readonly #ports = new Map<string, PortObjects>();
  /** "map|key" → port key → verdict. Two services may claim one external address; the first one has it. */
  readonly #elements = new Map<string, Map<string, string>>();
  readonly #counts = new Map<string, number>();

  constructor(family: Family, config: ProxyConfig) {
    this.#family = family;
    this.#config = config;
  }

  get elementCount(): number {
    return this.#elements.size;
  }

  clear(): void {
    this.#ports.clear();
    this.#elements.clear();
    this.#counts.clear();
  }

  get #table(): string {
    return `${ipWord(this.#family)} ${TABLE}`;
  }

  /**
   * The transactions that replace the whole table; `affinity` keeps what clients were tied to ("set" → elements). Where
   * there was no table (undefined) nothing can be interrupted, so it is filled piece by piece: the kernel's time for one
   * transaction grows with the square of its size. Otherwise it is one transaction.
   */
  rebuild(ports: ReadonlyMap<string, ServicePort>, affinity: ReadonlyMap<string, string> | undefined): string[] {
    this.clear();
    const head = `add table ${this.#table}\ndelete table ${this.#table}\nadd table ${this.#table} { comment "rules for kube-proxy" ; }\n`;
    const text = new NftText();
    for (const [name, definition] of sharedSets(this.#family)) this.#addSet(text, name, definition);
    if (this.#config.nodePortAddresses.length > 0) {
      const type = this.#family === "IPv6" ? "ipv6_addr" : "ipv4_addr";
      text.addSets += `add set ${this.#table} nodeport-ips { type ${type} ; flags interval ; auto-merge ; }\n`;
      text.addElements += `add element ${this.#table} nodeport-ips { ${this.#config.nodePortAddresses.join(", ")} }\n`;
    }
    for (const [name, { hook, rules }] of baseChains(this.#family, this.#config)) {
      text.addChains += `add chain ${this.#table} ${name}${hook === undefined ? "" : ` { ${hook}}`}\n`;
      for (const rule of rules) text.rules += `add rule ${this.#table} ${name} ${rule}\n`;
    }
    const removed = new Map<string, ServicePort>();
    if (affinity === undefined) {
      const entries = [...ports];
      const pieces = [head + text.toString()];
      for (let start = 0; start < entries.length; start += PIECE) {
        pieces.push(this.update({ changed: new Map(entries.slice(start, start + PIECE)), removed }));
      }
      return pieces;
    }
    this.#apply(text, { changed: ports, removed });
    for (const [name, elements] of affinity) {
      if ([...this.#ports.values()].some(({ sets }) => sets.has(name)))
        text.addElements += `add element ${this.#table} ${name} { ${elements} }\n`;
    }
    return [head + text.toString()];
  }

  /** The transaction for what has changed; "" when nothing has. */
  update(change: Pick<ModelChange, "changed" | "removed">): string {
    const text = new NftText();
    this.#apply(text, change);
    return text.toString();
  }

  #addSet(text: NftText, name: string, definition: string): void {
    const kind = definition.includes(": verdict") ? "map" : "set";
    text.addSets += `add ${kind} ${this.#table} ${name} { ${definition}}\n`;
  }

  #apply(text: NftText, { changed, removed }: Pick<ModelChange, "changed" | "removed">): void {
    const touched = new Map<string, string | undefined>();
    for (const key of new Set([...removed.keys(), ...changed.keys()])) {
      const before = this.#ports.get(key);
      const port = changed.get(key);
      const after = port === undefined ? undefined : renderPort(port, this.#family, this.#config);
      this.#exchangeChains(text, before, after);
      this.#exchangeElements(touched, key, before, after);
      if (after === undefined) this.#ports.delete(key);
      else this.#ports.set(key, after);
    }
    for (const [name, old] of touched) {
      const now = this.#verdict(name);
      if (now === old) continue;
      const [map, key] = name.split("|") as [string, string];
      if (old !== undefined) {
        text.deleteElements += `delete element ${this.#table} ${map} { ${key} }\n`;
        this.#count(map, -1);
      }
      if (now !== undefined) {
        text.addElements += `add element ${this.#table} ${map} { ${key}${now === "" ? "" : ` : ${now}`} }\n`;
        this.#count(map, 1);
      }
    }
  }

  #count(map: string, by: number): void {
    this.#counts.set(map, (this.#counts.get(map) ?? 0) + by);
  }

  #verdict(name: string): string | undefined {
    return this.#elements.get(name)?.values().next().value;
  }

  #exchangeChains(text: NftText, before: PortObjects | undefined, after: PortObjects | undefined): void {
    const flushed = new Set<string>();
    const flush = (name: string) => {
      if (!flushed.has(name)) text.flush += `flush chain ${this.#table} ${name}\n`;
      flushed.add(name);
    };
    for (const [name, definition] of after?.sets ?? []) {
      const old = before?.sets.get(name);
      if (old === definition) continue;
      if (old !== undefined) text.deleteSets += `delete set ${this.#table} ${name}\n`;
      this.#addSet(text, name, definition);
    }
    const gone = [...(before?.sets.keys() ?? [])].filter((name) => after?.sets.has(name) !== true);
    for (const name of gone) text.deleteSets += `delete set ${this.#table} ${name}\n`;
    const setsChanged =
      gone.length > 0 || [...(after?.sets ?? [])].some(([name, definition]) => before?.sets.get(name) !== definition);
    for (const [name, rules] of after?.chains ?? []) {
      const old = before?.chains.get(name);
      // Rules that use a set which is replaced must be written again, even when they read the same.
      if (old !== undefined && !setsChanged && same(old, rules)) continue;
      if (old === undefined) text.addChains += `add chain ${this.#table} ${name}\n`;
      else flush(name);
      for (const rule of rules) text.rules += `add rule ${this.#table} ${name} ${rule}\n`;
    }
    for (const name of before?.chains.keys() ?? []) {
      if (after?.chains.has(name) === true) continue;
      flush(name);
      text.deleteChains += `delete chain ${this.#table} ${name}\n`;
    }
  }

  #exchangeElements(
    touched: Map<string, string | undefined>,
    key: string,
    before: PortObjects | undefined,
    after: PortObjects | undefined,
  ): void {
    for (const name of new Set([...(before?.elements.keys() ?? []), ...(after?.elements.keys() ?? [])])) {
      if (!touched.has(name)) touched.set(name, this.#verdict(name));
      const owners = this.#elements.get(name) ?? new Map<string, string>();
      const verdict = after?.elements.get(name);
      if (verdict === undefined) owners.delete(key);
      else owners.set(key, verdict);
      if (owners.size === 0) this.#elements.delete(name);
      else this.#elements.set(name, owners);
    }
  }

  /** Does the listing of the table show what we wrote? Compares the number of rules per chain and elements per map. */
  matches(listing: TableListing): boolean {
    const chains = new Map<string, number>();
    for (const [name, { rules }] of baseChains(this.#family, this.#config)) chains.set(name, rules.length);
    for (const port of this.#ports.values()) {
      for (const [name, rules] of port.chains) chains.set(name, rules.length);
    }
    if (listing.rules.size !== chains.size) return false;
    for (const [name, count] of chains) if (listing.rules.get(name) !== count) return false;
    return [...MAPS, ...SETS].every((name) => listing.elements.get(name) === (this.#counts.get(name) ?? 0));
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index]);
}

export interface TableListing {
  /** Chain → number of rules. */
  readonly rules: ReadonlyMap<string, number>;
  /** Map or set → number of elements. */
  readonly elements: ReadonlyMap<string, number>;
  /** Affinity set → its elements as nft prints them. */
  readonly affinity: ReadonlyMap<string, string>;
}

/** Reads `nft list table`. Pure. */
export function parseListing(text: string): TableListing {
  const rules = new Map<string, number>();
  const elements = new Map<string, number>();
  const affinity = new Map<string, string>();
  for (const [, kind, name, body] of text.matchAll(/^\t(chain|map|set) (\S+) \{\n([\s\S]*?)^\t\}$/gm)) {
    if (kind === "chain") {
      const lines = body!.split("\n").filter((line) => line.startsWith("\t\t") && !/^\t\t(type|comment) /.test(line));
      rules.set(name!, lines.length);
      continue;
    }
    const inner = /elements = \{([\s\S]*)\}/.exec(body!)?.[1]?.trim();
    elements.set(name!, inner === undefined ? 0 : inner.split(",").length);
    if (inner !== undefined && name!.startsWith("affinity-")) affinity.set(name!, inner.replaceAll(/\s+/g, " "));
  }
  return { rules, elements, affinity };
}
