import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { SpawnRunner } from "#pkg/util/index.ts";
import { joinNode, program, startMaster, startNode, waitForNode } from "./cluster.ts";
import { startContainerd } from "./containerd.ts";
import { Daemons } from "./daemons.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { startRegistry } from "./registry.ts";

const runner = new SpawnRunner();
const PORT = 6443;

/** One simulated machine: a network namespace with its own containerd, directories and daemons. */
export interface LabNode {
  readonly name: string;
  readonly address: string;
  readonly namespace: string;
  readonly layout: Layout;
  readonly daemons: Daemons;
  /** Put in front of a command to run it on this machine. Cgroups and files stay those of the host. */
  readonly enter: readonly string[];
  readonly cgroupRoot: string;
}

export interface LabOptions {
  readonly nodes: number;
  readonly progress?: (line: string) => void;
  readonly masterArgs?: readonly string[];
  readonly nodeArgs?: readonly string[];
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
  get server(): string {
    return `https://${this.master.address}:${PORT}`;
  }

  #describe(number: number): LabNode {
    const namespace = `klab-${this.#id}-${number}`;
    const layout = { ...layoutOf(join(this.dir, `node-${number}`)), cacheDir: this.#cacheDir() };
    return {
      name: `node-${number}`,
      address: `172.30.0.${10 + number}`,
      namespace,
      layout,
      daemons: new Daemons({ runDir: layout.runDir, logDir: layout.logDir }),
      enter: ["nsenter", `--net=/run/netns/${namespace}`],
      cgroupRoot: `/${namespace}`,
    };
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

  async #bringUp({ progress = () => undefined, masterArgs = [], nodeArgs = [] }: LabOptions): Promise<void> {
    progress(`network namespaces for ${this.nodes.length} nodes`);
    await this.#createNetwork();
    progress("image registry");
    const { address, daemons, enter, layout } = this.master;
    const mirror = await startRegistry(layout, daemons, { address, prefix: enter });
    progress("kubits-master and a containerd per node");
    const started = Promise.all(
      this.nodes.map((node) => startContainerd(node.layout, node.daemons, { mirror, prefix: node.enter })),
    );
    await startMaster(layout, daemons, { address, port: PORT, prefix: [...enter], extraArgs: masterArgs });
    const sockets = await started;
    await Promise.all(
      this.nodes.map(async (node, index) => {
        progress(`kubits-node on ${node.name}`);
        writeFileSync(join(node.layout.dataDir, "resolv.conf"), "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        await joinNode(layout, { ...node.layout, pkiDir: layout.pkiDir }, node.enter);
        writeFileSync(join(node.layout.dataDir, "socket"), sockets[index]!);
        this.startNode(node, nodeArgs);
        await waitForNode(this.master.layout, node.daemons, node.name, this.master.enter);
      }),
    );
  }

  startMaster(extraArgs: readonly string[] = []): Promise<void> {
    const { address, daemons, enter, layout } = this.master;
    return startMaster(layout, daemons, { address, port: PORT, prefix: [...enter], extraArgs });
  }

  startNode(node: LabNode, extraArgs: readonly string[] = []): void {
    startNode({ ...node.layout, pkiDir: this.master.layout.pkiDir }, node.daemons, {
      name: node.name,
      address: node.address,
      server: this.server,
      containerRuntimeEndpoint: `unix://${this.socket(node)}`,
      prefix: [...node.enter],
      extraArgs: [
        `--cgroup-root=${node.cgroupRoot}`,
        `--resolv-conf=${join(node.layout.dataDir, "resolv.conf")}`,
        `--cni-state-dir=${node.layout.cniStateDir}`,
        ...extraArgs,
      ],
    });
  }

  socket(node: LabNode): string {
    return readFileSync(join(node.layout.dataDir, "socket"), "utf8");
  }

  async #ip(...args: string[]): Promise<void> {
    await runner.run("ip", args);
  }

  async #createNetwork(): Promise<void> {
    const hub = `klab-${this.#id}-hub`;
    await this.#ip("netns", "add", hub);
    await this.#ip("-n", hub, "link", "add", "br0", "type", "bridge");
    await this.#ip("-n", hub, "link", "set", "br0", "up");
    for (const [index, node] of this.nodes.entries()) {
      mkdirSync(node.layout.dataDir, { recursive: true });
      await this.#ip("netns", "add", node.namespace);
      await this.#ip("-n", node.namespace, "link", "set", "lo", "up");
      await this.#ip(
        "-n",
        node.namespace,
        "link",
        "add",
        "eth0",
        "type",
        "veth",
        "peer",
        "name",
        `p${index}`,
        "netns",
        hub,
      );
      await this.#ip("-n", hub, "link", "set", `p${index}`, "master", "br0", "up");
      await this.#ip("-n", node.namespace, "addr", "add", `${node.address}/24`, "dev", "eth0");
      await this.#ip("-n", node.namespace, "link", "set", "eth0", "up");
      // Nothing answers there, but a default route is what programs expect of a machine.
      await this.#ip("-n", node.namespace, "route", "add", "default", "via", "172.30.0.1");
    }
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

  /** kubectl with the administrator's kubeconfig, from the first node. */
  async kubectl(...args: string[]): Promise<string> {
    return (await this.run(this.master, "kubectl", ["--kubeconfig", this.adminConf, ...args], { timeoutMs: 180_000 }))
      .stdout;
  }

  /** Stops everything and removes every trace: pods, namespaces, cgroups, files. Safe to repeat. */
  async destroy(): Promise<void> {
    const problems: unknown[] = [];
    for (const node of this.nodes) {
      await node.daemons.stop("kubits-node");
      await this.#reset(node).catch((error: unknown) => problems.push(error));
    }
    for (const node of this.nodes) {
      for (const name of ["kubits-master", "containerd", "registry"]) await node.daemons.stop(name);
      removeCgroups(node.cgroupRoot);
    }
    const { stdout } = await runner.run("ip", ["netns", "list"]);
    for (const line of stdout.split("\n")) {
      const name = line.split(" ")[0]!;
      if (name.startsWith(`klab-${this.#id}-`)) await this.#ip("netns", "del", name);
    }
    if (problems.length > 0)
      throw new AggregateError(problems, `the lab in ${this.dir} could not be cleaned up completely`);
    rmSync(this.dir, { recursive: true, force: true });
  }

  async #reset(node: LabNode): Promise<void> {
    if (node.daemons.pid("containerd") === undefined) return;
    const [file, ...args] = program("kubits-node");
    await this.run(
      node,
      file!,
      [
        ...args,
        "reset",
        `--container-runtime-endpoint=unix://${join(node.layout.runDir, "containerd.sock")}`,
        `--root-dir=${node.layout.kubeletDir}`,
        `--pod-logs-dir=${node.layout.podLogsDir}`,
        `--container-logs-dir=${node.layout.containerLogsDir}`,
        `--cni-conf-dir=${node.layout.cniConfDir}`,
        `--cni-state-dir=${node.layout.cniStateDir}`,
        `--cgroup-root=${node.cgroupRoot}`,
      ],
      { timeoutMs: 120_000 },
    );
  }
}

/** Removes a cgroup and those below it in every hierarchy, deepest first. */
function removeCgroups(root: string): void {
  const remove = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) remove(join(path, entry.name));
    }
    rmdirSync(path);
  };
  for (const controller of readdirSync("/sys/fs/cgroup")) {
    const path = join("/sys/fs/cgroup", controller, root);
    if (existsSync(path)) remove(path);
  }
}
