import type { CommandRunner, Logger } from "#pkg/util/index.ts";
import type { ProxyConfig } from "../config.ts";
import { type SavedTables, parseSave } from "../iptables/jumps.ts";
import type { Family, ModelChange, ServicePort } from "../model/types.ts";
import type { Proxier, SyncStats } from "../proxier.ts";
import { covers } from "../ranges.ts";
import { IPVS_JUMPS, ipvsRules } from "./rules.ts";
import {
  IPVS_SETS,
  type IpvsSet,
  type IpvsState,
  ipvsDifference,
  joinStates,
  parseIpvs,
  parseSets,
  portState,
  setDefinitions,
  setDifference,
  setName,
} from "./state.ts";

export interface IpvsDeps {
  readonly family: Family;
  readonly config: ProxyConfig;
  readonly runner: CommandRunner;
  readonly log: Logger;
  /** IPVS scheduler: rr, lc, dh, sh, sed, nq, wrr, wlc, lblc, lblcr, mh. */
  readonly scheduler: string;
}

const DEVICE = "kube-ipvs0";
const SYSCTLS = [
  // Masquerading needs connection tracking of what IPVS handles.
  "net.ipv4.vs.conntrack=1",
  // Reused source ports must not be sent to a real server of yesterday, nor wait a second for it.
  "net.ipv4.vs.conn_reuse_mode=0",
  "net.ipv4.vs.expire_nodest_conn=1",
  "net.ipv4.vs.expire_quiescent_template=1",
  "net.ipv4.ip_forward=1",
];
const EMPTY: IpvsState = { servers: new Map(), addresses: new Set(), sets: new Map() };

/**
 * Service proxy over IPVS: virtual servers in the kernel's hash tables, addresses on a dummy device, ipsets behind a fixed
 * handful of iptables rules. The kernel has no transaction for these, so a sync applies differences in an order that never
 * leads packets astray: addresses last when adding, first when removing.
 */
export class IpvsProxier implements Proxier {
  readonly mode = "ipvs";
  readonly #deps: IpvsDeps;
  readonly #parts = new Map<string, IpvsState>();
  #written: IpvsState = EMPTY;
  #nodeAddresses: readonly string[] = [];

  constructor(deps: IpvsDeps) {
    this.#deps = deps;
  }

  get #iptables(): string {
    return this.#deps.family === "IPv6" ? "ip6tables" : "iptables";
  }

  async sync(
    all: () => ReadonlyMap<string, ServicePort>,
    change: ModelChange | undefined,
    signal: AbortSignal,
  ): Promise<SyncStats> {
    let bytes = 0;
    if (change === undefined) {
      this.#nodeAddresses = await this.#readNodeAddresses(signal);
      this.#parts.clear();
      bytes += await this.#prepare(signal);
      this.#written = await this.#read(signal);
    }
    for (const key of change?.removed.keys() ?? []) this.#parts.delete(key);
    const { family, scheduler } = this.#deps;
    for (const [key, port] of change?.changed ?? all())
      this.#parts.set(key, portState(port, family, scheduler, this.#nodeAddresses));
    const wanted = joinStates(this.#parts.values());
    bytes += await this.#apply(this.#written, wanted, signal);
    this.#written = wanted;
    return { bytes, rules: wanted.servers.size };
  }

  async #apply(before: IpvsState, after: IpvsState, signal: AbortSignal): Promise<number> {
    const link = (verb: string, ip: string) => `address ${verb} ${ip}/${ip.includes(":") ? 128 : 32} dev ${DEVICE}\n`;
    const gone = [...before.addresses].filter((ip) => !after.addresses.has(ip)).map((ip) => link("del", ip));
    const come = [...after.addresses].filter((ip) => !before.addresses.has(ip)).map((ip) => link("add", ip));
    return (
      (await this.#feed("ip", ["-batch", "-"], gone.join(""), signal)) +
      (await this.#feed("ipset", ["restore", "-exist"], setDifference(before.sets, after.sets), signal)) +
      (await this.#feed("ipvsadm", ["--restore"], ipvsDifference(before.servers, after.servers), signal)) +
      (await this.#feed("ip", ["-batch", "-"], come.join(""), signal))
    );
  }

  async #feed(file: string, args: readonly string[], stdin: string, signal: AbortSignal): Promise<number> {
    if (stdin !== "") await this.#deps.runner.run(file, args, { stdin, signal, timeoutMs: 120_000 });
    return Buffer.byteLength(stdin);
  }

  async #quietly(file: string, args: readonly string[], signal: AbortSignal): Promise<string> {
    return (await this.#deps.runner.run(file, args, { signal, allowFailure: true })).stdout;
  }

  /** Module, device, sysctls, sets and the rules that look into them. */
  async #prepare(signal: AbortSignal): Promise<number> {
    const { runner, family, config, log } = this.#deps;
    // Where modprobe does not help (built in, or not there at all), the commands below say what is missing.
    await this.#quietly("modprobe", ["-a", "ip_vs", `ip_vs_${this.#deps.scheduler}`, "dummy"], signal).catch(() => "");
    // The other family's proxier may make the device at the same moment, so only its absence afterwards is a failure.
    await this.#quietly("ip", ["link", "add", DEVICE, "type", "dummy"], signal);
    await runner.run("ip", ["link", "show", "dev", DEVICE], { signal });
    for (const setting of SYSCTLS) {
      const { exitCode, stderr } = await runner.run("sysctl", ["-q", "-w", setting], { signal, allowFailure: true });
      if (exitCode !== 0) log.warn({ setting, stderr }, "Could not set a kernel parameter that ipvs mode needs");
    }
    await this.#feed("ipset", ["restore", "-exist"], setDefinitions(family), signal);
    const saved = await this.#save(signal);
    let text = "";
    for (const [table, chains] of Object.entries(ipvsRules(family, config))) {
      text += `*${table}\n${[...chains.keys()].map((chain) => `:${chain} - [0:0]\n`).join("")}`;
      for (const [chain, rules] of chains) text += rules.map((rule) => `-A ${chain} ${rule}\n`).join("");
      for (const jump of IPVS_JUMPS)
        if (jump.table === table && !saved.jumps.has(jump)) text += `-I ${jump.chain} ${jump.rule}\n`;
      text += "COMMIT\n";
    }
    return this.#feed(`${this.#iptables}-restore`, ["-w", "5", "--noflush"], text, signal);
  }

  async #save(signal: AbortSignal): Promise<SavedTables> {
    return parseSave((await this.#deps.runner.run(`${this.#iptables}-save`, [], { signal })).stdout, IPVS_JUMPS);
  }

  /** What the kernel holds now, as far as it is ours: virtual servers of other programs are none of our business. */
  async #read(signal: AbortSignal): Promise<IpvsState> {
    const { family } = this.#deps;
    const addresses = await this.#addressesOf(["dev", DEVICE], signal);
    const ours = (address: string) => {
      const ip = address.slice(0, address.lastIndexOf(":")).replaceAll(/[[\]]/g, "");
      return addresses.has(ip) || this.#nodeAddresses.includes(ip);
    };
    const servers = parseIpvs(await this.#quietly("ipvsadm", ["--save", "--numeric"], signal), family);
    const sets = parseSets(await this.#quietly("ipset", ["save"], signal), family);
    return { servers: new Map([...servers].filter(([, { address }]) => ours(address))), addresses, sets };
  }

  async #addressesOf(which: readonly string[], signal: AbortSignal): Promise<Set<string>> {
    const version = this.#deps.family === "IPv6" ? "-6" : "-4";
    const stdout = await this.#quietly("ip", [version, "-json", "address", "show", ...which], signal);
    if (stdout.trim() === "") return new Set();
    const links = JSON.parse(stdout) as Array<{
      ifname?: string;
      addr_info?: Array<{ local?: string; scope?: string }>;
    }>;
    const found = links.flatMap(({ addr_info = [] }) => addr_info).filter(({ scope }) => scope === "global");
    return new Set(found.flatMap(({ local }) => (local === undefined ? [] : [local])));
  }

  /** Addresses on which node ports are served: those of this machine, without the services' own. */
  async #readNodeAddresses(signal: AbortSignal): Promise<string[]> {
    const { nodePortAddresses } = this.#deps.config;
    const services = await this.#addressesOf(["dev", DEVICE], signal);
    const all = [...(await this.#addressesOf([], signal))].filter((ip) => !services.has(ip));
    return nodePortAddresses.length === 0
      ? all
      : all.filter((ip) => nodePortAddresses.some((range) => covers(range, ip)));
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    const saved = await this.#save(signal);
    const { nat, filter } = ipvsRules(this.#deps.family, this.#deps.config);
    return (
      IPVS_JUMPS.every((jump) => saved.jumps.has(jump)) &&
      [...nat.keys()].every((chain) => saved.chains.has(`nat ${chain}`)) &&
      [...filter.keys()].every((chain) => saved.chains.has(`filter ${chain}`))
    );
  }

  async verify(signal: AbortSignal): Promise<boolean> {
    if (!(await this.intact(signal))) return false;
    const now = await this.#read(signal);
    return (
      ipvsDifference(now.servers, this.#written.servers) === "" &&
      setDifference(now.sets, this.#written.sets) === "" &&
      now.addresses.symmetricDifference(this.#written.addresses as Set<string>).size === 0
    );
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    const { family } = this.#deps;
    if ((await this.#quietly("ip", ["link", "show", "dev", DEVICE], signal)) !== "") {
      this.#nodeAddresses = await this.#readNodeAddresses(signal);
      const { servers } = await this.#read(signal);
      await this.#feed("ipvsadm", ["--restore"], ipvsDifference(servers, new Map()), signal);
      // The other family's addresses go with the device; its own clean-up finds the rest by them, so only ours go here.
      const version = family === "IPv6" ? "-6" : "-4";
      await this.#quietly("ip", [version, "address", "flush", "dev", DEVICE], signal);
      const left = await this.#quietly("ip", ["-o", "address", "show", "dev", DEVICE, "scope", "global"], signal);
      if (left.trim() === "") await this.#quietly("ip", ["link", "del", DEVICE], signal);
    }
    const saved = await this.#save(signal);
    let text = "";
    for (const [table, chains] of Object.entries(ipvsRules(family, this.#deps.config))) {
      const own = [...chains.keys()].filter((chain) => saved.chains.has(`${table} ${chain}`));
      // Chains that all modes have are iptables mode's to remove; without ours nothing tells whose they are.
      if (!own.some((chain) => chain === "KUBE-IPVS-FILTER" || chain === "KUBE-NODE-PORT")) continue;
      const jumps = IPVS_JUMPS.filter((jump) => jump.table === table && saved.jumps.has(jump));
      text += `*${table}\n${own.map((chain) => `:${chain} - [0:0]\n`).join("")}`;
      text += jumps.map((jump) => `-D ${jump.chain} ${jump.rule}\n`).join("");
      text += `${own.map((chain) => `-X ${chain}\n`).join("")}COMMIT\n`;
    }
    await this.#feed(`${this.#iptables}-restore`, ["-w", "5", "--noflush"], text, signal);
    // Without ipset there are no sets.
    const sets = new Set((await this.#quietly("ipset", ["list", "-n"], signal).catch(() => "")).split("\n"));
    for (const set of Object.keys(IPVS_SETS)) {
      const name = setName(set as IpvsSet, family);
      if (sets.has(name)) await this.#quietly("ipset", ["destroy", name], signal);
    }
    this.#parts.clear();
    this.#written = EMPTY;
  }
}
