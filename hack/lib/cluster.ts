import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Daemons } from "./daemons.ts";
import type { Layout } from "./layout.ts";
import { type ProgramName, startCommand } from "./node-flags.ts";

const root = join(import.meta.dirname, "../..");
const runner = new SpawnRunner();

/** The pinned Node and a bundle that hack/build made, as an argument array. */
export function program(name: ProgramName): string[] {
  return startCommand(name, join(root, "hack/node"), join(root, "dist", `${name}.js`));
}

/** Bundles the programs from what the checkout holds now. */
export async function buildPrograms(): Promise<void> {
  await runner.run(join(root, "hack/build"), [], { timeoutMs: 120_000 });
}

/** kubectl as the administrator; `prefix` enters the machine it is to run on. */
export async function kubectl(
  layout: Layout,
  args: readonly string[],
  options: { stdin?: string; prefix?: readonly string[] } = {},
): Promise<string> {
  const [file, ...rest] = [...(options.prefix ?? []), "kubectl", "--kubeconfig", layout.adminConf, ...args];
  const { stdout } = await runner.run(file!, rest, {
    timeoutMs: 300_000,
    ...(options.stdin === undefined ? {} : { stdin: options.stdin }),
  });
  return stdout;
}

export interface MasterOptions {
  readonly address: string;
  readonly port?: number;
  /** Enters the machine to run on. */
  readonly prefix?: readonly string[];
  readonly extraArgs?: readonly string[];
}

export function masterArguments(layout: Layout, { address, port = 6443, extraArgs = [] }: MasterOptions): string[] {
  return [
    `--data-dir=${join(layout.dataDir, "store")}`,
    `--cert-dir=${layout.pkiDir}`,
    `--admin-kubeconfig=${layout.adminConf}`,
    `--advertise-address=${address}`,
    `--secure-port=${port}`,
    ...extraArgs,
  ];
}

/** Starts kubits-master and waits for /readyz. */
export async function startMaster(layout: Layout, daemons: Daemons, options: MasterOptions): Promise<void> {
  daemons.start("kubits-master", [
    ...(options.prefix ?? []),
    ...program("kubits-master"),
    ...masterArguments(layout, options),
  ]);
  for (let attempt = 0; attempt < 300; attempt++) {
    if (daemons.pid("kubits-master") === undefined) break;
    if (existsSync(layout.adminConf)) {
      const ready = await kubectl(layout, ["get", "--raw", "/readyz", "--request-timeout=2s"], options).catch(() => "");
      if (ready.trim() === "ok") return;
    }
    await delay(100);
  }
  throw new Error(`kubits-master did not become ready; the end of its log:\n${daemons.tail("kubits-master")}`);
}

export interface NodeOptions {
  readonly name: string;
  readonly address: string;
  readonly containerRuntimeEndpoint: string;
  readonly prefix?: readonly string[];
  readonly extraArgs?: readonly string[];
}

/** Does what an administrator does: has the master print the join command, and runs it on the node's machine. */
export async function joinNode(master: Layout, node: Layout, prefix: readonly string[] = []): Promise<void> {
  if (existsSync(node.kubeletConf)) return;
  const run = ([file, ...args]: string[]) => runner.run(file!, args, { timeoutMs: 60_000 });
  const { stdout } = await run([
    ...prefix,
    ...program("kubits-master"),
    "join-command",
    `--admin-kubeconfig=${master.adminConf}`,
  ]);
  const [, ...joinArguments] = stdout.trim().split(" ");
  await run([...prefix, ...program("kubits-node"), ...joinArguments, ...identityArguments(node)]);
}

function identityArguments(layout: Layout): string[] {
  return [
    `--kubeconfig=${layout.kubeletConf}`,
    `--bootstrap-kubeconfig=${layout.bootstrapConf}`,
    `--proxy-kubeconfig=${layout.proxyConf}`,
    `--client-ca-file=${join(layout.pkiDir, "ca.crt")}`,
  ];
}

/** Everything that says where a node agent keeps things and which runtime it drives. */
function placeArguments(layout: Layout, containerRuntimeEndpoint: string): string[] {
  return [
    ...identityArguments(layout),
    `--container-runtime-endpoint=${containerRuntimeEndpoint}`,
    `--root-dir=${layout.kubeletDir}`,
    `--pod-logs-dir=${layout.podLogsDir}`,
    `--container-logs-dir=${layout.containerLogsDir}`,
    `--cni-conf-dir=${layout.cniConfDir}`,
  ];
}

export function startNode(layout: Layout, daemons: Daemons, options: NodeOptions): void {
  daemons.start("kubits-node", [
    ...(options.prefix ?? []),
    ...program("kubits-node"),
    ...placeArguments(layout, options.containerRuntimeEndpoint),
    `--hostname-override=${options.name}`,
    `--node-ip=${options.address}`,
    // Whoever tries a cluster need not change the machine for it.
    "--fail-swap-on=false",
    ...(options.extraArgs ?? []),
  ]);
}

/** Removes a node's pods, mounts, interfaces, rules and credentials with the node program, while its runtime still answers. */
export async function resetNode(
  layout: Layout,
  options: Pick<NodeOptions, "containerRuntimeEndpoint" | "prefix" | "extraArgs">,
): Promise<void> {
  const [file, ...args] = [
    ...(options.prefix ?? []),
    ...program("kubits-node"),
    "reset",
    ...placeArguments(layout, options.containerRuntimeEndpoint),
    ...(options.extraArgs ?? []),
  ];
  await runner.run(file!, args, { timeoutMs: 180_000 });
}

/** Waits until the node is Ready; explains with the log's end when it does not become so. */
export async function waitForNode(
  layout: Layout,
  daemons: Daemons,
  name: string,
  prefix: readonly string[] = [],
  timeoutMs = 90_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const path = '{.status.conditions[?(@.type=="Ready")].status}';
  while (Date.now() < deadline) {
    const status = await kubectl(layout, ["get", "node", name, "-o", `jsonpath=${path}`], { prefix }).catch(() => "");
    if (status === "True") return;
    if (daemons.pid("kubits-node") === undefined) break;
    await delay(200);
  }
  throw new Error(`node ${name} did not become Ready; the end of kubits-node's log:\n${daemons.tail("kubits-node")}`);
}
