import type { ProxyConfig } from "../config.ts";
import type { Family, ModelChange, ServicePort } from "../model/types.ts";
import type { Jump, SavedTables } from "./jumps.ts";
import { SERVICE_CHAIN } from "./jumps.ts";
import {
  DISPATCH_CHAINS,
  type DispatchChain,
  type PortRules,
  type Redirect,
  nodePortJumps,
  renderPort,
  staticRules,
} from "./render.ts";

export const CANARY = "KUBE-PROXY-CANARY";
/** Up to this many lines of a shared chain are exchanged one by one; more rewrite the chain. */
const MAX_SINGLE_RULES = 64;
const TABLES = ["mangle", "filter", "nat"] as const;

/** Time and memory of iptables-restore grow with the square of what one transaction holds; more chains make several. */
const MAX_CHAINS = 750;

/** Text of one table of a transaction, in the order iptables-restore needs. */
class TableText {
  declare = "";
  rules = "";
  remove = "";
}

type Tables = Record<(typeof TABLES)[number], TableText>;

/**
 * What one sync writes. Chains of service ports may go ahead in transactions of their own, each port's together: nothing
 * leads to new ones before the shared chains follow in the last transaction.
 */
class Transaction {
  readonly tables: Tables = { mangle: new TableText(), filter: new TableText(), nat: new TableText() };
  readonly #ahead: string[] = [];
  #ports = new TableText();
  #chains = 0;

  /** Adds the changed chains of one service port. */
  port(chains: Iterable<readonly [string, readonly string[]]>): void {
    for (const [chain, lines] of chains) {
      writeChain(this.#ports, chain, lines);
      this.#chains++;
    }
    if (this.#chains < MAX_CHAINS) return;
    this.#ahead.push(`*nat\n${this.#ports.declare}${this.#ports.rules}COMMIT\n`);
    this.#ports = new TableText();
    this.#chains = 0;
  }

  /** Transactions in the order in which they must be applied. */
  texts(): string[] {
    const { nat } = this.tables;
    nat.declare += this.#ports.declare;
    nat.rules += this.#ports.rules;
    let whole = "";
    for (const table of TABLES) {
      const { declare, rules, remove } = this.tables[table];
      if (declare !== "" || rules !== "") whole += `*${table}\n${declare}${rules}${remove}COMMIT\n`;
    }
    return whole === "" ? this.#ahead : [...this.#ahead, whole];
  }
}

export interface RulesetOptions {
  readonly family: Family;
  readonly config: ProxyConfig;
  /** Userspace mode: where the forwarder listens for this port. */
  readonly redirect?: (key: string, port: ServicePort) => Redirect | undefined;
}

/**
 * What our chains hold, kept per service port so that a change costs its own size: the text of a transaction is made
 * from the ports that differ, whatever the size of the cluster. Holds no handle on the kernel.
 */
export class IptablesRuleset {
  readonly #options: RulesetOptions;
  readonly #ports = new Map<string, PortRules>();
  /** Lines of shared chains by service port; what jumps to node ports is kept apart. */
  readonly #dispatch = new Map<DispatchChain, Map<string, readonly string[]>>();
  readonly #sizes = new Map<DispatchChain, number>();
  #ruleCount = 0;

  constructor(options: RulesetOptions) {
    this.#options = options;
    this.clear();
  }

  clear(): void {
    this.#ports.clear();
    this.#ruleCount = 0;
    for (const chain of DISPATCH_CHAINS) {
      this.#dispatch.set(chain, new Map());
      this.#sizes.set(chain, 0);
    }
  }

  get ruleCount(): number {
    return this.#ruleCount;
  }

  /** The transactions that make the kernel hold exactly `ports`, whatever it held before. */
  rebuild(ports: ReadonlyMap<string, ServicePort>, present: SavedTables, jumps: readonly Jump[]): string[] {
    this.clear();
    for (const [key, port] of ports) this.#put(key, this.#render(key, port));
    const transaction = new Transaction();
    const text = transaction.tables;
    const fixed = staticRules(this.#options.family);
    for (const table of TABLES) text[table].declare += `:${CANARY} - [0:0]\n`;
    // Endpoint chains jump to these, so they go first of all.
    const first = new TableText();
    for (const [chain, lines] of fixed.nat) writeChain(first, chain, lines);
    for (const [chain, lines] of fixed.filter) writeChain(text.filter, chain, lines);
    for (const chain of DISPATCH_CHAINS) this.#writeDispatch(text, chain);
    for (const { natChains } of this.#ports.values()) transaction.port(natChains);
    const wanted = new Set([...this.#ports.values()].flatMap(({ natChains }) => [...natChains.keys()]));
    for (const name of present.chains) {
      const chain = name.slice("nat ".length);
      if (name.startsWith("nat ") && SERVICE_CHAIN.test(chain) && !wanted.has(chain)) removeChain(text.nat, chain);
    }
    for (const jump of jumps) {
      const count = present.jumps.get(jump) ?? 0;
      if (count === 0) text[jump.table].rules += `-I ${jump.chain} ${jump.rule}\n`;
      else text[jump.table].rules += `-D ${jump.chain} ${jump.rule}\n`.repeat(count - 1);
    }
    return [`*nat\n${first.declare}${first.rules}COMMIT\n`, ...transaction.texts()];
  }

  /** The transactions for what has changed: mostly one, none when nothing has. */
  update(change: Pick<ModelChange, "changed" | "removed">): string[] {
    const transaction = new Transaction();
    const text = transaction.tables;
    const removed = new Map<DispatchChain, string[]>();
    const added = new Map<DispatchChain, string[]>();
    const keys = new Set([...change.removed.keys(), ...change.changed.keys()]);
    for (const key of keys) {
      const before = this.#ports.get(key);
      const port = change.changed.get(key);
      const after = port === undefined ? undefined : this.#render(key, port);
      const natChains = [...(after?.natChains ?? [])];
      transaction.port(natChains.filter(([chain, lines]) => !sameLines(before?.natChains.get(chain), lines)));
      for (const chain of before?.natChains.keys() ?? []) {
        if (after?.natChains.has(chain) !== true) removeChain(text.nat, chain);
      }
      for (const chain of DISPATCH_CHAINS) {
        const old = before?.dispatch.get(chain) ?? [];
        const now = after?.dispatch.get(chain) ?? [];
        if (sameLines(old, now)) continue;
        collect(removed, chain, old);
        collect(added, chain, now);
      }
      this.#drop(key);
      if (after !== undefined) this.#put(key, after);
    }
    for (const chain of DISPATCH_CHAINS) {
      this.#exchange(text, chain, removed.get(chain) ?? [], added.get(chain) ?? []);
    }
    return transaction.texts();
  }

  #render(key: string, port: ServicePort): PortRules {
    const { config, redirect } = this.#options;
    return renderPort(port, config, redirect?.(key, port));
  }

  #put(key: string, rules: PortRules): void {
    this.#ports.set(key, rules);
    for (const lines of rules.natChains.values()) this.#ruleCount += lines.length;
    for (const [chain, lines] of rules.dispatch) {
      this.#dispatch.get(chain)!.set(key, lines);
      this.#resize(chain, lines.length);
    }
  }

  #drop(key: string): void {
    const rules = this.#ports.get(key);
    if (rules === undefined) return;
    this.#ports.delete(key);
    for (const lines of rules.natChains.values()) this.#ruleCount -= lines.length;
    for (const [chain, lines] of rules.dispatch) {
      this.#dispatch.get(chain)!.delete(key);
      this.#resize(chain, -lines.length);
    }
  }

  #resize(chain: DispatchChain, by: number): void {
    this.#sizes.set(chain, this.#sizes.get(chain)! + by);
    this.#ruleCount += by;
  }

  #exchange(text: Tables, chain: DispatchChain, removed: readonly string[], added: readonly string[]): void {
    const [table, name] = chain.split(" ") as ["nat" | "filter", string];
    const count = removed.length + added.length;
    if (count === 0) return;
    // Rewriting a short chain is as cheap, and cannot fail when somebody else has meddled.
    if (count > MAX_SINGLE_RULES || count * 4 > this.#sizes.get(chain)!) {
      this.#writeDispatch(text, chain);
      return;
    }
    // At the top, because the jump to node ports must stay the last rule.
    text[table].rules += added.map((line) => `-I ${name} ${line}\n`).join("");
    text[table].rules += removed.map((line) => `-D ${name} ${line}\n`).join("");
  }

  #writeDispatch(text: Tables, chain: DispatchChain): void {
    const [table, name] = chain.split(" ") as ["nat" | "filter", string];
    const last = chain === "nat KUBE-SERVICES" ? nodePortJumps(this.#options.config, this.#options.family) : [];
    writeChain(text[table], name, [...[...this.#dispatch.get(chain)!.values()].flat(), ...last]);
  }

  /** Does the kernel hold what we wrote? Compares chains and the targets of their rules. */
  matches(saved: SavedTables, jumps: readonly Jump[]): boolean {
    for (const jump of jumps) if (saved.jumps.get(jump) !== 1) return false;
    const wanted = new Map<string, number>();
    const chains = new Set<string>(TABLES.map((table) => `${table} ${CANARY}`));
    const want = (name: string, lines: readonly string[]) => {
      chains.add(name);
      for (const line of lines) {
        const key = `${name} ${targetOf(line)}`;
        wanted.set(key, (wanted.get(key) ?? 0) + 1);
      }
    };
    const fixed = staticRules(this.#options.family);
    for (const [chain, lines] of fixed.nat) want(`nat ${chain}`, lines);
    for (const [chain, lines] of fixed.filter) want(`filter ${chain}`, lines);
    for (const [chain, byPort] of this.#dispatch) for (const lines of byPort.values()) want(chain, lines);
    for (const chain of DISPATCH_CHAINS) chains.add(chain);
    want("nat KUBE-SERVICES", nodePortJumps(this.#options.config, this.#options.family));
    for (const { natChains } of this.#ports.values()) {
      for (const [chain, lines] of natChains) want(`nat ${chain}`, lines);
    }
    for (const chain of chains) if (!saved.chains.has(chain)) return false;
    for (const [key, count] of wanted) if (saved.targets.get(key) !== count) return false;
    // A rule that somebody put into a chain of ours is interference too.
    for (const key of saved.targets.keys()) {
      const chain = key.slice(0, key.lastIndexOf(" "));
      if (chains.has(chain) && !wanted.has(key)) return false;
    }
    return true;
  }
}

function targetOf(line: string): string {
  const at = line.lastIndexOf("-j ");
  return at < 0 ? "" : (line.slice(at + 3).split(" ", 1)[0] ?? "");
}

function writeChain(text: TableText, chain: string, lines: readonly string[]): void {
  text.declare += `:${chain} - [0:0]\n`;
  for (const line of lines) text.rules += `-A ${chain} ${line}\n`;
}

function removeChain(text: TableText, chain: string): void {
  // Declaring a chain empties it; by the time it is removed nothing jumps to it any more.
  text.declare += `:${chain} - [0:0]\n`;
  text.remove += `-X ${chain}\n`;
}

function collect(into: Map<DispatchChain, string[]>, chain: DispatchChain, lines: readonly string[]): void {
  const known = into.get(chain);
  if (known === undefined) into.set(chain, [...lines]);
  else known.push(...lines);
}

function sameLines(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a !== undefined && a.length === b.length && a.every((line, index) => line === b[index]);
}
