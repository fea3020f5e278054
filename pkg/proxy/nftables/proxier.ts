import type { CommandRunner, Logger } from "#pkg/util/index.ts";
import type { ProxyConfig } from "../config.ts";
import type { Family, ModelChange, ServicePort } from "../model/types.ts";
import type { Proxier, SyncStats } from "../proxier.ts";
import { ipWord } from "./render.ts";
import { NftRuleset, TABLE, type TableListing, baseChains, parseListing } from "./ruleset.ts";

export interface NftablesDeps {
  readonly family: Family;
  readonly config: ProxyConfig;
  readonly runner: CommandRunner;
  readonly log: Logger;
}

/**
 * Service proxy over nftables (KEP-3866): one table of our own, where maps make the cost of a packet independent of the
 * number of services. A sync is one `nft -f -` transaction.
 */
export class NftablesProxier implements Proxier {
  readonly mode = "nftables";
  readonly #deps: NftablesDeps;
  readonly #ruleset: NftRuleset;

  constructor(deps: NftablesDeps) {
    this.#deps = deps;
    this.#ruleset = new NftRuleset(deps.family, deps.config);
  }

  async sync(
    all: () => ReadonlyMap<string, ServicePort>,
    change: ModelChange | undefined,
    signal: AbortSignal,
  ): Promise<SyncStats> {
    const { runner } = this.#deps;
    const inputs =
      change === undefined
        ? this.#ruleset.rebuild(all(), (await this.#list(signal))?.affinity)
        : [this.#ruleset.update(change)];
    let bytes = 0;
    for (const input of inputs) {
      bytes += Buffer.byteLength(input);
      if (input !== "") await runner.run("nft", ["-f", "-"], { stdin: input, signal, timeoutMs: 120_000 });
    }
    return { bytes, rules: this.#ruleset.elementCount };
  }

  get #table(): readonly [string, string] {
    return [ipWord(this.#deps.family), TABLE];
  }

  /** The table as it is; undefined when there is none. */
  async #list(signal: AbortSignal): Promise<TableListing | undefined> {
    const { exitCode, stdout } = await this.#deps.runner.run("nft", ["list", "table", ...this.#table], {
      signal,
      allowFailure: true,
    });
    return exitCode === 0 ? parseListing(stdout) : undefined;
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    // Listing anything, even the names of tables, makes nft read all that is in them: seconds with many services. Trying
    // in check mode what works with these chains only costs milliseconds and changes nothing.
    const { family, config, runner } = this.#deps;
    const table = this.#table.join(" ");
    const chains = [...baseChains(family, config).keys()].map((chain) => `flush chain ${table} ${chain}\n`);
    const options = { stdin: chains.join(""), signal, allowFailure: true };
    return (await runner.run("nft", ["-c", "-f", "-"], options)).exitCode === 0;
  }

  async verify(signal: AbortSignal): Promise<boolean> {
    const listing = await this.#list(signal);
    return listing !== undefined && this.#ruleset.matches(listing);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    const table = this.#table.join(" ");
    // Adding it first makes the deletion succeed whether it was there or not.
    await this.#deps.runner.run("nft", ["-f", "-"], { stdin: `add table ${table}\ndelete table ${table}\n`, signal });
    this.#ruleset.clear();
  }
}
