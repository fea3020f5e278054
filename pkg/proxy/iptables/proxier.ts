import type { CommandRunner, Logger } from "#pkg/util/index.ts";
import type { ProxyConfig } from "../config.ts";
import type { Family, ModelChange, ServicePort } from "../model/types.ts";
import type { Proxier, SyncStats } from "../proxier.ts";
import { JUMPS, type Jump, LOCALNET_JUMPS, OWN_CHAIN, type SavedTables, parseSave } from "./jumps.ts";
import { type Redirect, needsRouteLocalnet } from "./render.ts";
import { CANARY, IptablesRuleset } from "./ruleset.ts";

export interface IptablesDeps {
  readonly family: Family;
  readonly config: ProxyConfig;
  readonly runner: CommandRunner;
  readonly log: Logger;
  /** Program names' beginning. Default "iptables" or "ip6tables", which the machine points at legacy or nft. */
  readonly command?: string;
  /** Userspace mode: where the forwarder listens for a service port. */
  readonly redirect?: (key: string, port: ServicePort) => Redirect | undefined;
}

/** Seconds that a command waits for another process's hold on the tables before it fails and is tried again. */
const LOCK_SECONDS = "5";
const RESTORE_TIMEOUT_MS = 120_000;

/**
 * Service proxy over iptables. A sync is one `iptables-restore --noflush` transaction holding only what differs from
 * what was last written; a very large one is several, none of which takes a way before its successor is there.
 */
export class IptablesProxier implements Proxier {
  readonly mode: string = "iptables";
  readonly #deps: IptablesDeps;
  readonly #command: string;
  readonly #jumps: readonly Jump[];
  readonly #ruleset: IptablesRuleset;

  constructor(deps: IptablesDeps) {
    this.#deps = deps;
    this.#command = deps.command ?? (deps.family === "IPv6" ? "ip6tables" : "iptables");
    this.#jumps = deps.family === "IPv6" ? JUMPS : [...JUMPS, ...LOCALNET_JUMPS];
    this.#ruleset = new IptablesRuleset(deps);
  }

  async sync(
    all: () => ReadonlyMap<string, ServicePort>,
    change: ModelChange | undefined,
    signal: AbortSignal,
  ): Promise<SyncStats> {
    let inputs: string[];
    if (change === undefined) {
      await this.#setSysctls(signal);
      inputs = this.#ruleset.rebuild(all(), await this.#save(signal), this.#jumps);
    } else inputs = this.#ruleset.update(change);
    for (const input of inputs) await this.#restore(input, signal);
    return { bytes: inputs.reduce((sum, input) => sum + Buffer.byteLength(input), 0), rules: this.#ruleset.ruleCount };
  }

  async #restore(input: string, signal: AbortSignal): Promise<void> {
    await this.#deps.runner.run(`${this.#command}-restore`, ["-w", LOCK_SECONDS, "--noflush"], {
      stdin: input,
      signal,
      timeoutMs: RESTORE_TIMEOUT_MS,
    });
  }

  async #save(signal: AbortSignal): Promise<SavedTables> {
    return parseSave((await this.#deps.runner.run(`${this.#command}-save`, [], { signal })).stdout, this.#jumps);
  }

  async #setSysctls(signal: AbortSignal): Promise<void> {
    const { config, family, runner, log } = this.#deps;
    if (!needsRouteLocalnet(config, family)) return;
    const setting = "net.ipv4.conf.all.route_localnet=1";
    const { exitCode, stderr } = await runner.run("sysctl", ["-q", "-w", setting], { signal, allowFailure: true });
    if (exitCode !== 0) log.warn({ setting, stderr }, "Node ports will not answer on loopback addresses");
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    for (const table of ["mangle", "nat", "filter"]) {
      const { exitCode } = await this.#deps.runner.run(
        this.#command,
        ["-w", LOCK_SECONDS, "-t", table, "-S", CANARY, "1"],
        { signal, allowFailure: true },
      );
      if (exitCode !== 0) return false;
    }
    return true;
  }

  async verify(signal: AbortSignal): Promise<boolean> {
    return this.#ruleset.matches(await this.#save(signal), this.#jumps);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    const saved = await this.#save(signal);
    let text = "";
    for (const table of ["mangle", "filter", "nat"] as const) {
      const prefix = `${table} `;
      const chains = [...saved.chains]
        .filter((name) => name.startsWith(prefix))
        .map((name) => name.slice(prefix.length))
        .filter((chain) => OWN_CHAIN.test(chain));
      const jumps = this.#jumps.filter((jump) => jump.table === table && saved.jumps.has(jump));
      if (chains.length + jumps.length === 0) continue;
      text += `*${table}\n${chains.map((chain) => `:${chain} - [0:0]\n`).join("")}`;
      for (const jump of jumps) text += `-D ${jump.chain} ${jump.rule}\n`.repeat(saved.jumps.get(jump)!);
      text += `${chains.map((chain) => `-X ${chain}\n`).join("")}COMMIT\n`;
    }
    if (text !== "") await this.#restore(text, signal);
    this.#ruleset.clear();
  }
}
