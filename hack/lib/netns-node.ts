import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CgroupTree, parseHierarchies } from "#pkg/kubelet/index.ts";
import { SpawnRunner } from "#pkg/util/index.ts";
import { joinNode, resetNode, startNode, waitForNode } from "./cluster.ts";
import { type ContainerdOptions, startContainerd } from "./containerd.ts";
import { Daemons } from "./daemons.ts";
import { dockerSocket } from "./dockerd.ts";
import { type Layout, layoutOf } from "./layout.ts";

const runner = new SpawnRunner();
/** Killed processes take a moment to end, on a busy machine some more. */
const REMOVE_ATTEMPTS = 300;

/** One simulated machine: a network namespace with its own containerd, directories and daemons. */
export interface NetnsNode {
  readonly name: string;
  readonly address: string;
  /** Its IPv6 address, where the cluster has both families. */
  readonly address6?: string;
  readonly namespace: string;
  readonly layout: Layout;
  readonly daemons: Daemons;
  /** Put in front of a command to run it on this machine. Cgroups and files stay those of the host. */
  readonly enter: readonly string[];
  readonly cgroupRoot: string;
}

export function netnsNode(options: {
  name: string;
  address: string;
  address6?: string;
  namespace: string;
  dataDir: string;
  cacheDir: string;
}): NetnsNode {
  const { namespace, dataDir, cacheDir, ...identity } = options;
  const layout = { ...layoutOf(dataDir), cacheDir };
  return {
    ...identity,
    namespace,
    layout,
    daemons: new Daemons({ runDir: layout.runDir, logDir: layout.logDir }),
    enter: ["nsenter", `--net=/run/netns/${namespace}`],
    cgroupRoot: `/${namespace}`,
  };
}

async function ip(...args: string[]): Promise<void> {
  await runner.run("ip", args);
}

/** The switch that nodes are plugged into. */
export interface Switch {
  readonly bridge: string;
  /** Network namespace of the bridge; undefined: the host's own. */
  readonly namespace?: string;
  /** Where packets for everywhere else go. */
  readonly gateway: string;
}

/** Makes the node's namespace and wires its eth0 to a port of the switch. A namespace that is complete stays. */
export async function plugIn(node: NetnsNode, hub: Switch, port: string): Promise<void> {
  const { namespace } = node;
  mkdirSync(node.layout.dataDir, { recursive: true });
  if (existsSync(join("/run/netns", namespace))) {
    const routed = await runner.run("ip", ["-n", namespace, "route", "show", "default"], { allowFailure: true });
    if (routed.stdout.trim() !== "") return;
    await ip("netns", "del", namespace);
  }
  const at = hub.namespace === undefined ? [] : ["-n", hub.namespace];
  await runner.run("ip", [...at, "link", "del", port], { allowFailure: true }); // left by a run that was cut off
  await ip("netns", "add", namespace);
  await ip("-n", namespace, "link", "set", "lo", "up");
  await ip(...at, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
  await ip(...at, "link", "set", port, "master", hub.bridge, "up");
  await ip("-n", namespace, "addr", "add", `${node.address}/24`, "dev", "eth0");
  await ip("-n", namespace, "link", "set", "eth0", "up");
  if (node.address6 !== undefined) {
    await ip("-n", namespace, "addr", "add", `${node.address6}/64`, "dev", "eth0", "nodad");
    await ip("-n", namespace, "-6", "route", "add", "default", "dev", "eth0");
  }
  await ip("-n", namespace, "route", "add", "default", "via", hub.gateway);
}

export interface NetnsNodeOptions {
  /** Of the node that runs kubits-master. */
  readonly cluster: Layout;
  readonly resolvConf: string;
  readonly extraArgs?: readonly string[];
}

/** Starts the node's containerd. Answers its socket. */
export function startRuntime(node: NetnsNode, options: ContainerdOptions = {}) {
  const prefix = [...node.enter, ...(options.prefix ?? [])];
  return startContainerd(node.layout, node.daemons, { ...options, prefix });
}

export function runtimeSocket(node: NetnsNode): string {
  return join(node.layout.runDir, "containerd.sock");
}

/** Drives Docker where the node has a dockerd, and containerd otherwise. */
function runtimeArguments({ layout }: NetnsNode): string[] {
  const socket = dockerSocket(layout);
  return existsSync(socket) ? ["--container-runtime=docker", `--docker-endpoint=unix://${socket}`] : [];
}

/** Starts the node's kubits-node, whose containerd runs already. */
export function startAgent(node: NetnsNode, { cluster, resolvConf, extraArgs = [] }: NetnsNodeOptions): void {
  const file = join(node.layout.dataDir, "resolv.conf");
  writeFileSync(file, resolvConf);
  startNode({ ...node.layout, pkiDir: cluster.pkiDir }, node.daemons, {
    name: node.name,
    address: node.address6 === undefined ? node.address : `${node.address},${node.address6}`,
    containerRuntimeEndpoint: `unix://${runtimeSocket(node)}`,
    prefix: [...node.enter],
    extraArgs: [
      `--cgroup-root=${node.cgroupRoot}`,
      `--resolv-conf=${file}`,
      `--cni-state-dir=${node.layout.cniStateDir}`,
      ...runtimeArguments(node),
      ...extraArgs,
    ],
  });
}

/** Joins the node to the cluster, starts its agent and waits until it is Ready. `prefix` enters where kubectl runs. */
export async function joinCluster(
  node: NetnsNode,
  options: NetnsNodeOptions,
  prefix: readonly string[] = [],
): Promise<void> {
  const { cluster } = options;
  await joinNode(cluster, { ...node.layout, pkiDir: cluster.pkiDir }, node.enter);
  startAgent(node, options);
  await waitForNode(cluster, node.daemons, node.name, prefix);
}

/** Removes pods, mounts, interfaces and rules with the node program itself; the runtime must answer. */
export function resetAgent(node: NetnsNode): Promise<void> {
  return resetNode(node.layout, {
    containerRuntimeEndpoint: `unix://${runtimeSocket(node)}`,
    prefix: node.enter,
    extraArgs: [
      `--cni-state-dir=${node.layout.cniStateDir}`,
      `--cgroup-root=${node.cgroupRoot}`,
      ...runtimeArguments(node),
    ],
  });
}

/** Removes the namespace, with the interfaces in it, and the cgroups. */
export async function unplug(node: NetnsNode): Promise<void> {
  await removeCgroups(node.cgroupRoot);
  if (existsSync(join("/run/netns", node.namespace))) await ip("netns", "del", node.namespace);
}

/** Removes a cgroup and those below it in every hierarchy, with whatever a runtime that was killed has left in them. */
async function removeCgroups(path: string): Promise<void> {
  const tree = new CgroupTree(parseHierarchies(readFileSync("/proc/self/mountinfo", "utf8")), runner);
  for (let attempt = 1; !(await tree.remove(path)); attempt++) {
    if (attempt === REMOVE_ATTEMPTS) throw new Error(`processes in the cgroup ${path} could not be killed`);
    await tree.kill(path);
    await delay(100);
  }
}
