import { existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { BlockList } from "node:net";
import { join } from "node:path";
import { SpawnRunner } from "#pkg/util/index.ts";
import { recall } from "./choices.ts";
import { kubectl } from "./cluster.ts";
import type { Layout } from "./layout.ts";
import {
  type NetnsNode,
  joinCluster,
  netnsNode,
  plugIn,
  resetAgent,
  runtimeSocket,
  startRuntime,
  unplug,
} from "./netns-node.ts";

const runner = new SpawnRunner();
const BRIDGE = "kubits0";
const CHAIN = "KUBITS-NODES";
const JUMP = ["-m", "comment", "--comment", "kubits nodes reach the world", "-j", CHAIN];
const FORWARD = ["-m", "comment", "--comment", "kubits nodes reach each other"];
/** Networks of /24 that the nodes may use, given by their first three numbers; the first free one is taken. */
const NETWORKS = ["172.30.0", "172.29.0", "10.230.0", "192.168.230"];

/** The first of the candidates that no route of the machine leads into. Pure. */
export function freeNetwork(destinations: readonly string[], candidates: readonly string[] = NETWORKS): string {
  const free = candidates.find((network) =>
    destinations.every((destination) => {
      const [address = "", bits = "32"] = destination.split("/");
      const list = new BlockList();
      list.addSubnet(`${network}.0`, Math.min(24, Number(bits)), "ipv4");
      return !list.check(address);
    }),
  );
  if (free === undefined) throw new Error(`none of ${candidates.join(", ")} is free for the network of the nodes`);
  return free;
}

/** Name servers that a network namespace reaches: without those that answer on loopback only. Pure. */
export function reachableServers(resolvConf: string): string[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)]
    .map(([, server]) => server!)
    .filter((server) => !server.startsWith("127.") && server !== "::1");
}

function readResolvConf(): { text: string; fromHost: boolean } {
  const read = (path: string) => (existsSync(path) ? reachableServers(readFileSync(path, "utf8")) : []);
  const own = read("/etc/resolv.conf");
  // systemd-resolved listens on loopback and keeps the servers behind it in a file of its own.
  const servers = own.length > 0 ? own : read("/run/systemd/resolve/resolv.conf");
  const text = [...(servers.length > 0 ? servers : ["127.0.0.1"]).map((server) => `nameserver ${server}`), ""];
  return { text: text.join("\n"), fromHost: own.length > 0 };
}

export interface MoreNodesOptions {
  readonly layout: Layout;
  /** The first three numbers of the nodes' network. */
  readonly network: string;
  /** Address of the first node. */
  readonly address: string;
  /** Directory of another containerd than the installed one. */
  readonly binaries?: string | undefined;
}

/**
 * The nodes of hack/up beyond the first, which is the machine itself: network namespaces on a bridge of the host, each
 * with its own containerd and kubits-node. Machine, nodes and pods reach each other as on one switch.
 */
export class MoreNodes {
  readonly #options: MoreNodesOptions;

  constructor(options: MoreNodesOptions) {
    this.#options = options;
  }

  /** A network that this machine does not use; to be asked for before the bridge is there. */
  static async chooseNetwork(): Promise<string> {
    const { stdout } = await runner.run("ip", ["-json", "-4", "route", "show"]);
    const routes = JSON.parse(stdout) as Array<{ dst: string; dev?: string }>;
    return freeNetwork(routes.filter(({ dst, dev }) => dst !== "default" && dev !== BRIDGE).map(({ dst }) => dst));
  }

  /** The machine's own address on the bridge. */
  get gateway(): string {
    return `${this.#options.network}.1`;
  }

  node(number: number): NetnsNode {
    const { layout, network } = this.#options;
    const name = `node-${number}`;
    return netnsNode({
      name,
      address: `${network}.${10 + number}`,
      namespace: `kubits-${name}`,
      dataDir: join(layout.dataDir, "nodes", name),
      cacheDir: layout.cacheDir,
    });
  }

  /** Numbers of the nodes that earlier runs made. */
  existing(): number[] {
    const folder = join(this.#options.layout.dataDir, "nodes");
    const names = existsSync(folder) ? readdirSync(folder) : [];
    return names.map((name) => Number(name.replace(/^node-/, ""))).filter((number) => Number.isInteger(number));
  }

  /** Makes the bridge and lets the nodes out into the world. Idempotent. */
  async createNetwork(): Promise<void> {
    const link = await runner.run("ip", ["link", "show", "dev", BRIDGE], { allowFailure: true });
    if (link.exitCode !== 0) await runner.run("ip", ["link", "add", BRIDGE, "type", "bridge"]);
    await runner.run("ip", ["address", "replace", `${this.gateway}/24`, "dev", BRIDGE]);
    await runner.run("ip", ["link", "set", BRIDGE, "up"]);
    await runner.run("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"]);
    await this.#removeRules();
    const { stdout } = await runner.run("ip", ["-json", "-4", "route", "show", "default"]);
    const outside = stdout.trim() === "" ? [] : (JSON.parse(stdout) as Array<{ dev: string }>);
    const rules = outside.map(({ dev }) => `-A ${CHAIN} -s ${this.gateway}/24 -o ${dev} -j MASQUERADE\n`).join("");
    const input = `*nat\n:${CHAIN} - [0:0]\n${rules}COMMIT\n`;
    await runner.run("iptables-restore", ["-w", "5", "--noflush"], { stdin: input });
    await runner.run("iptables", ["-w", "5", "-t", "nat", "-A", "POSTROUTING", ...JUMP]);
    // Last in the chain: it matters only where a firewall's policy is to drop what it does not know.
    for (const direction of ["-i", "-o"])
      await runner.run("iptables", ["-w", "5", "-A", "FORWARD", direction, BRIDGE, ...FORWARD, "-j", "ACCEPT"]);
  }

  async #removeRules(): Promise<void> {
    for (const args of [
      ["-t", "nat", "-D", "POSTROUTING", ...JUMP],
      ["-t", "nat", "-F", CHAIN],
      ["-t", "nat", "-X", CHAIN],
      ["-D", "FORWARD", "-i", BRIDGE, ...FORWARD, "-j", "ACCEPT"],
      ["-D", "FORWARD", "-o", BRIDGE, ...FORWARD, "-j", "ACCEPT"],
    ])
      await runner.run("iptables", ["-w", "5", ...args], { allowFailure: true }); // absent is what we want
  }

  /** Starts one node and waits until it is Ready. Answers its runtime's socket. */
  async start(number: number, mirror: string | undefined): Promise<string> {
    const { address, layout } = this.#options;
    const node = this.node(number);
    await plugIn(node, { bridge: BRIDGE, gateway: this.gateway }, `kubits-${number}`);
    // A neighbour on the same link, so that pods of the two reach each other without a tunnel.
    await runner.run("ip", ["-n", node.namespace, "route", "replace", `${address}/32`, "dev", "eth0"]);
    const { text, fromHost } = readResolvConf();
    const namesFile = join(node.layout.dataDir, "resolv.conf");
    // containerd looks names up by /etc/resolv.conf: where that one cannot serve it, it sees another in its place.
    const ownNames = ["unshare", "--mount", "--propagation", "slave", "sh", "-c"];
    const script = `printf %s "$1" >"$0" && mount --bind "$0" /etc/resolv.conf && shift && exec "$@"`;
    await startRuntime(node, {
      mirror,
      binaries: this.#options.binaries,
      prefix: fromHost ? [] : [...ownNames, script, namesFile, text],
    });
    await joinCluster(node, { cluster: layout, resolvConf: text });
    return runtimeSocket(node);
  }

  /** Takes a node out of the running cluster and off the machine. */
  async remove(number: number): Promise<void> {
    await this.purge(number);
    await kubectl(this.#options.layout, ["delete", "node", this.node(number).name, "--ignore-not-found"]);
  }

  /** Stops a node's programs; its containers go on. */
  async stop(number: number): Promise<void> {
    for (const name of ["kubits-node", "containerd"]) await this.node(number).daemons.stop(name);
  }

  /** Removes every trace of a node. */
  async purge(number: number): Promise<void> {
    const node = this.node(number);
    await node.daemons.stop("kubits-node");
    if (existsSync(join("/run/netns", node.namespace))) {
      await startRuntime(node, { binaries: this.#options.binaries }); // it is needed once more, to remove what it runs
      await resetAgent(node);
    }
    await node.daemons.stop("containerd");
    await unplug(node);
    rmSync(node.layout.dataDir, { recursive: true, force: true });
  }

  /** Removes the bridge and its rules. */
  async removeNetwork(): Promise<void> {
    await this.#removeRules();
    await runner.run("ip", ["link", "del", BRIDGE], { allowFailure: true });
  }
}

/** Runtime sockets of all nodes of a cluster that hack/up started, the machine's own first. */
export function runtimeSockets(layout: Layout): string[] {
  const { containerd, network = "", address = "" } = recall(layout) ?? {};
  if (containerd === undefined) return [];
  const more = new MoreNodes({ layout, network, address });
  return [containerd, ...more.existing().map((number) => runtimeSocket(more.node(number)))];
}
