import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { SpawnRunner } from "#pkg/util/index.ts";
import { startMaster } from "./cluster.ts";
import { startDockerd, stopDockerd } from "./dockerd.ts";
import {
  type NetnsNode,
  joinCluster,
  netnsNode,
  plugIn,
  resetAgent,
  runtimeSocket,
  startAgent,
  startRuntime,
  unplug,
} from "./netns-node.ts";
import { startRegistry } from "./registry.ts";

const runner = new SpawnRunner();
const PORT = 6443;
/** No name outside is ever resolved: a look-up fails at once instead of waiting for a server that is not there. */
const RESOLV_CONF = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

/** Of a lab with both address families. */
const POD_NETWORKS = "10.244.0.0/16,fd00:244::/48";
const SERVICE_NETWORKS = "10.96.0.0/16,fd00:96::/112";

export type LabNode = NetnsNode;

export interface LabOptions {
  readonly nodes: number;
  readonly progress?: (line: string) => void;
  readonly masterArgs?: readonly string[];
  readonly nodeArgs?: readonly string[];
  /** Nodes, pods and services have IPv6 addresses as well. */
  readonly dualStack?: boolean;
  /** Directory of another containerd than the installed one, with its shim. */
  readonly containerd?: string;
  /** Gives every node a dockerd, which its kubits-node then drives. */
  readonly docker?: boolean;
  /** Directory of package and image caches shared between labs. */
  readonly cacheDir?: string;
}

/**
 * Several nodes on one machine: a namespace per node, all on one bridge that lives in a namespace of its own, so that
 * the host's own network is never touched. The first node also runs kubits-master and the image registry.
 */
export class Lab {
  readonly dir: string;
  readonly nodes: readonly LabNode[];
  readonly #id: string;

  constructor(dir: string, count: number) {
    this.dir = dir;
    this.#id = basename(dir)
      .replace(/^klab-/, "")
      .toLowerCase();
    this.nodes = Array.from({ length: count }, (_, index) => this.#describe(index + 1));
  }

  get master(): LabNode {
    return this.nodes[0]!;
  }
  get adminConf(): string {
    return this.master.layout.adminConf;
  }
  get reach(): readonly string[] {
    return this.master.enter;
  }
  get server(): string {
    return `https://${this.master.address}:${PORT}`;
  }

  #describe(number: number): LabNode {
    return netnsNode({
      name: `node-${number}`,
      address: `172.30.0.${10 + number}`,
      ...(this.dualStack ? { address6: `fd00:30::${10 + number}` } : {}),
      namespace: `klab-${this.#id}-${number}`,
      dataDir: join(this.dir, `node-${number}`),
      cacheDir: this.#cacheDir(),
    });
  }

  get dualStack(): boolean {
    return existsSync(join(this.dir, "dual-stack"));
  }

  #cacheDir(): string {
    const file = join(this.dir, "cache-dir");
    return existsSync(file) ? readFileSync(file, "utf8") : "/var/cache/kubits";
  }

  /** Creates namespaces, starts everything in parallel and waits until every node is Ready. */
  static async start(options: LabOptions): Promise<Lab> {
    const dir = mkdtempSync(join(tmpdir(), "klab-"));
    if (options.cacheDir !== undefined) writeFileSync(join(dir, "cache-dir"), options.cacheDir);
    writeFileSync(join(dir, "nodes"), String(options.nodes));
    writeFileSync(join(dir, "containerd"), options.containerd ?? "");
    if (options.dualStack === true) writeFileSync(join(dir, "dual-stack"), "");
    const lab = new Lab(dir, options.nodes);
    try {
      await lab.#bringUp(options);
      return lab;
    } catch (error) {
      await lab.destroy().catch((cleanup: unknown) => console.error(cleanup)); // the first error is the one to report
      throw error;
    }
  }

  /** A lab that another process has started. */
  static attach(dir: string): Lab {
    return new Lab(dir, Number(readFileSync(join(dir, "nodes"), "utf8")));
  }

  async #bringUp({
    progress = () => undefined,
    masterArgs = [],
    nodeArgs = [],
    containerd,
    docker = false,
  }: LabOptions): Promise<void> {
    progress(`network namespaces for ${this.nodes.length} nodes`);
    await this.#createNetwork();
    progress("image registry");
    const { address, daemons, enter, layout } = this.master;
    const mirror = await startRegistry(layout, daemons, { address, prefix: enter });
    progress("kubits-master and a containerd per node");
    const started = Promise.all(
      this.nodes.map(async (node) => {
        await startRuntime(node, { mirror, ...(containerd === undefined ? {} : { binaries: containerd }) });
        const options = { containerd: runtimeSocket(node), mirror, prefix: node.enter };
        if (docker) await startDockerd(node.layout, node.daemons, options);
      }),
    );
    await this.startMaster(masterArgs);
    await started;
    await Promise.all(
      this.nodes.map(async (node) => {
        progress(`kubits-node on ${node.name}`);
        await joinCluster(node, this.#nodeOptions(nodeArgs), this.master.enter);
      }),
    );
  }

  #nodeOptions(extraArgs: readonly string[]) {
    const families = this.dualStack ? [`--cluster-cidr=${POD_NETWORKS}`] : [];
    return { cluster: this.master.layout, resolvConf: RESOLV_CONF, extraArgs: [...families, ...extraArgs] };
  }

  startMaster(extraArgs: readonly string[] = []): Promise<void> {
    const { address, daemons, enter, layout } = this.master;
    const families = [`--cluster-cidr=${POD_NETWORKS}`, `--service-cluster-ip-range=${SERVICE_NETWORKS}`];
    const args = this.dualStack ? [...families, ...extraArgs] : extraArgs;
    return startMaster(layout, daemons, { address, port: PORT, prefix: [...enter], extraArgs: args });
  }

  startNode(node: LabNode, extraArgs: readonly string[] = []): void {
    startAgent(node, this.#nodeOptions(extraArgs));
  }

  socket(node: LabNode): string {
    return runtimeSocket(node);
  }

  async #createNetwork(): Promise<void> {
    const hub = `klab-${this.#id}-hub`;
    await runner.run("ip", ["netns", "add", hub]);
    await runner.run("ip", ["-n", hub, "link", "add", "br0", "type", "bridge"]);
    await runner.run("ip", ["-n", hub, "link", "set", "br0", "up"]);
    // Nothing answers at the gateway, but a default route is what programs expect of a machine.
    const where = { bridge: "br0", namespace: hub, gateway: "172.30.0.1" };
    for (const [index, node] of this.nodes.entries()) await plugIn(node, where, `p${index}`);
  }

  /** Runs a command on a node and answers its output. */
  async run(
    node: LabNode,
    file: string,
    args: readonly string[],
    options: { timeoutMs?: number; allowFailure?: boolean; stdin?: string } = {},
  ) {
    const [enter, ...rest] = node.enter;
    return runner.run(enter!, [...rest, file, ...args], options);
  }

  /** The command line that runs a command on a node with the administrator's kubeconfig. */
  commandOn(node: LabNode, command: readonly string[]): string[] {
    return [...node.enter, "env", `KUBECONFIG=${this.adminConf}`, ...command];
  }

  /** kubectl with the administrator's kubeconfig, from the first node. */
  async kubectl(...args: string[]): Promise<string> {
    return (await this.run(this.master, "kubectl", ["--kubeconfig", this.adminConf, ...args], { timeoutMs: 180_000 }))
      .stdout;
  }

  /** The runtime that runs them is needed for it: one that has died is started once more. */
  async #removePods(node: LabNode): Promise<void> {
    const { layout, daemons } = node;
    if (daemons.pid("containerd") === undefined) {
      // Of one that never ran, or that ran nothing, nothing is left.
      const tasks = join(layout.containerdDir, "state/io.containerd.runtime.v2.task/*/*");
      if (globSync(tasks).length === 0) return;
      const binaries = readFileSync(join(this.dir, "containerd"), "utf8");
      await startRuntime(node, binaries === "" ? {} : { binaries });
    }
    await resetAgent(node);
  }

  /** Stops everything and removes every trace: pods, namespaces, cgroups, files. Safe to repeat. */
  async destroy(): Promise<void> {
    const problems: unknown[] = [];
    for (const node of this.nodes) {
      await node.daemons.stop("kubits-node");
      await this.#removePods(node).catch((error: unknown) => problems.push(error));
    }
    for (const node of this.nodes) {
      await stopDockerd(node.layout, node.daemons);
      for (const name of ["kubits-master", "containerd", "registry"]) await node.daemons.stop(name);
      await unplug(node);
    }
    const { stdout } = await runner.run("ip", ["netns", "list"]);
    for (const line of stdout.split("\n")) {
      const name = line.split(" ")[0]!;
      if (name.startsWith(`klab-${this.#id}-`)) await runner.run("ip", ["netns", "del", name]);
    }
    if (problems.length > 0)
      throw new AggregateError(problems, `the lab in ${this.dir} could not be cleaned up completely`);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
