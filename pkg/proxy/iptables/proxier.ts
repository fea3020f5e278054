import type { CommandRunner, Logger } from "#pkg/util/index.ts";
import type { Family, ModelChange, ServicePort } from "../model/types.ts";
import type { Proxier } from "../proxier.ts";
import {
  DISPATCH_CHAINS,
  type DispatchChain,
  type IptablesConfig,
  type PortRules,
  nodePortJumps,
  renderPort,
  staticRules,
} from "./render.ts";

const CANARY = "KUBE-PROXY-CANARY";
const NEW = "-m conntrack --ctstate NEW";

/** Jumps from the kernel's chains into ours: [table, chain, rule]. The first of each chain is put at its top. */
const JUMPS: ReadonlyArray<readonly [string, string, string]> = [
  ["filter", "INPUT", `${NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL`],
  ["filter", "OUTPUT", `${NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL`],
  ["filter", "FORWARD", `${NEW} -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL`],
  ["filter", "FORWARD", `${NEW} -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`],
  ["filter", "OUTPUT", `${NEW} -m comment --comment "kubernetes service portals" -j KUBE-SERVICES`],
  [
    "filter",
    "INPUT",
    `${NEW} -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES`,
  ],
  [
    "filter",
    "FORWARD",
    `${NEW} -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES`,
  ],
  ["filter", "INPUT", '-m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS'],
  ["filter", "FORWARD", '-m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD'],
  ["nat", "PREROUTING", '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ["nat", "OUTPUT", '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'],
  ["nat", "POSTROUTING", '-m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING'],
];

export interface IptablesDeps {
  readonly family: Family;
  readonly config: IptablesConfig;
  readonly runner: CommandRunner;
  readonly log: Logger;
}

/** Splits a rule into arguments the way iptables-restore does: quotes keep blanks together. */
function words(rule: string): string[] {
  return [...rule.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}

/**
 * Service proxy over iptables. A sync is one `iptables-restore --noflush` transaction holding only the chains that
 * differ from what was last written; dispatch chains are rewritten when their own content changed.
 */
export class IptablesProxier implements Proxier {
  readonly mode = "iptables";
  readonly #deps: IptablesDeps;
  readonly #command: string;
  #rules = new Map<string, PortRules>();
  /** Text of every nat chain and dispatch chain as last written. */
  #written = new Map<string, string>();

  constructor(deps: IptablesDeps) {
    this.#deps = deps;
    this.#command = deps.family === "IPv6" ? "ip6tables" : "iptables";
  }

  async sync(
    ports: ReadonlyMap<string, ServicePort>,
    change: ModelChange | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const full = change === undefined;
    const rules = new Map(full ? [] : this.#rules);
    for (const key of change?.removed.keys() ?? []) rules.delete(key);
    for (const [key, port] of full ? ports : change.changed) rules.set(key, renderPort(port, this.#deps.config));
    const wanted = this.#chains(rules);
    const before = full ? await this.#presentServiceChains(signal) : this.#written;
    const input = this.#transaction(wanted, before, full);
    if (input !== undefined) {
      await this.#deps.runner.run(`${this.#command}-restore`, ["-w", "5", "--noflush", "--counters"], {
        stdin: input,
        signal,
      });
    }
    if (full) await this.#ensureJumps(signal);
    this.#rules = rules;
    this.#written = wanted;
  }

  /** "table CHAIN" → the text of its rules. */
  #chains(rules: ReadonlyMap<string, PortRules>): Map<string, string> {
    const chains = new Map<string, string>();
    const dispatch = new Map<DispatchChain, string[]>(DISPATCH_CHAINS.map((chain) => [chain, []]));
    const fixed = staticRules();
    const put = (table: string, chain: string, lines: readonly string[]) =>
      chains.set(`${table} ${chain}`, lines.map((line) => `-A ${chain} ${line}\n`).join(""));
    for (const [chain, lines] of fixed.nat) put("nat", chain, lines);
    for (const [chain, lines] of fixed.filter) put("filter", chain, lines);
    for (const { natChains, dispatch: own } of rules.values()) {
      for (const [chain, lines] of natChains) put("nat", chain, lines);
      for (const [chain, lines] of own) dispatch.get(chain)!.push(...lines);
    }
    dispatch.get("nat KUBE-SERVICES")!.push(...nodePortJumps(this.#deps.config));
    for (const [name, lines] of dispatch) {
      const [table, chain] = name.split(" ") as [string, string];
      put(table, chain, lines);
    }
    return chains;
  }

  #transaction(
    wanted: ReadonlyMap<string, string>,
    before: ReadonlyMap<string, string>,
    full: boolean,
  ): string | undefined {
    let text = "";
    for (const table of ["filter", "nat"]) {
      let chains = "";
      let body = "";
      let deletions = "";
      for (const [name, lines] of wanted) {
        if (!name.startsWith(`${table} `) || (!full && before.get(name) === lines)) continue;
        chains += `:${name.slice(table.length + 1)} - [0:0]\n`;
        body += lines;
      }
      for (const name of before.keys()) {
        if (!name.startsWith(`${table} `) || wanted.has(name)) continue;
        // Declaring a chain empties it; by then nothing jumps to it any more, so it can be deleted.
        chains += `:${name.slice(table.length + 1)} - [0:0]\n`;
        deletions += `-X ${name.slice(table.length + 1)}\n`;
      }
      if (full) chains += `:${CANARY} - [0:0]\n`;
      if (chains !== "") text += `*${table}\n${chains}${body}${deletions}COMMIT\n`;
    }
    return text === "" ? undefined : text;
  }

  /** Service chains in the kernel that a former life of ours left behind. */
  async #presentServiceChains(signal: AbortSignal): Promise<Map<string, string>> {
    const { stdout } = await this.#deps.runner.run(`${this.#command}-save`, ["-t", "nat"], { signal });
    const found = stdout.matchAll(/^:(KUBE-(?:SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}) /gm);
    return new Map([...found].map(([, chain]) => [`nat ${chain}`, ""]));
  }

  async #ensureJumps(signal: AbortSignal): Promise<void> {
    for (const [table, chain, rule] of JUMPS) {
      const args = ["-w", "5", "-t", table];
      const present = await this.#deps.runner.run(this.#command, [...args, "-C", chain, ...words(rule)], {
        signal,
        allowFailure: true,
      });
      if (present.exitCode !== 0)
        await this.#deps.runner.run(this.#command, [...args, "-I", chain, ...words(rule)], { signal });
    }
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    for (const table of ["nat", "filter"]) {
      const { exitCode } = await this.#deps.runner.run(this.#command, ["-w", "5", "-t", table, "-S", CANARY], {
        signal,
        allowFailure: true,
      });
      if (exitCode !== 0) return false;
    }
    return true;
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    const { runner } = this.#deps;
    for (const [table, chain, rule] of JUMPS) {
      const args = ["-w", "5", "-t", table, "-D", chain, ...words(rule)];
      // Deleting until it fails removes duplicates as well.
      for (let removed = true, bound = 0; removed && bound < 16; bound++) {
        removed = (await runner.run(this.#command, args, { signal, allowFailure: true })).exitCode === 0;
      }
    }
    for (const table of ["nat", "filter"]) {
      const { stdout } = await runner.run(`${this.#command}-save`, ["-t", table], { signal });
      const own =
        /^:(KUBE-(?:(?:SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}|SERVICES|EXTERNAL-SERVICES|NODEPORTS|POSTROUTING|MARK-MASQ|FORWARD|PROXY-FIREWALL|PROXY-CANARY)) /gm;
      const chains = [...stdout.matchAll(own)].map(([, chain]) => chain!);
      if (chains.length === 0) continue;
      const text = `*${table}\n${chains.map((chain) => `:${chain} - [0:0]\n`).join("")}${chains.map((chain) => `-X ${chain}\n`).join("")}COMMIT\n`;
      await runner.run(`${this.#command}-restore`, ["-w", "5", "--noflush"], { stdin: text, signal });
    }
    this.#written.clear();
    this.#rules.clear();
  }
}
