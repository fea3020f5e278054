import { hostname } from "node:os";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errorMessage, parseCommandLine, SpawnRunner } from "#pkg/util/index.ts";
import { PlainError } from "./plain-errors.ts";
import { defaultAddress } from "../../cmd/common/address.ts";
import { buildPrograms, joinNode, kubectl, startMaster, startNode, waitForNode } from "./cluster.ts";
import { type ContainerdOptions, answersCri, startContainerd } from "./containerd.ts";
import { Daemons } from "./daemons.ts";
import { DEFAULT_DATA_DIR, type Layout, layoutOf } from "./layout.ts";
import { MoreNodes } from "./more-nodes.ts";
import { publicRegistryReachable, startRegistry } from "./registry.ts";
import { importImages } from "./import-images.ts";
import { recall, remember } from "./choices.ts";
import { containerdBinaries } from "./sid.ts";

const { values } = parseCommandLine("hack/up", {
  options: {
    "no-demo": { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
    nodes: { type: "string" },
    containerd: { type: "string" },
  },
});
const PORT = 6443;
const RUNNING_CONTAINERD = "/run/containerd/containerd.sock";
const layout = layoutOf(values["data-dir"]);
const daemons = new Daemons({ runDir: layout.runDir, logDir: layout.logDir });
const runner = new SpawnRunner();
const begun = performance.now();

function step(text: string): void {
  console.log(`[${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s] ${text}`);
}

async function nodeAddress(): Promise<string> {
  const address = await defaultAddress(runner);
  if (address === "")
    throw new PlainError("this machine has no IPv4 address besides loopback; configure a network interface first");
  return address;
}

/** Uses a running containerd as it is, or starts our own. Answers the CRI socket. */
async function ensureContainerd(options: ContainerdOptions): Promise<string> {
  if (await answersCri(RUNNING_CONTAINERD)) {
    step("Using the containerd that is running");
    if (options.mirror !== undefined) {
      step("Importing the images into it, as its configuration is not ours to change");
      await importImages(RUNNING_CONTAINERD, layout.cacheDir);
    }
    return RUNNING_CONTAINERD;
  }
  step("Starting containerd");
  return startContainerd(layout, daemons, options);
}

async function get(url: string): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
      if (response.ok) return await response.text();
      throw new Error(`${url} answered ${response.status}`);
    } catch (error) {
      // The service proxy needs a moment after the pod is Ready; twenty seconds are far beyond it.
      if (attempt >= 100) throw new Error(`${url} does not answer`, { cause: error });
      await delay(200);
    }
  }
}

async function demo(address: string): Promise<void> {
  step("Demo: kubectl apply -f hack/demo/nginx.yaml");
  const manifest = readFileSync(join(import.meta.dirname, "../demo/nginx.yaml"), "utf8");
  process.stdout.write(await kubectl(layout, ["apply", "-f", "-"], { stdin: manifest }));
  step("Waiting for the pod to be Ready");
  await kubectl(layout, ["wait", "--for=condition=Ready", "pod/nginx-demo", "--timeout=180s"]);
  const podIp = await kubectl(layout, ["get", "pod", "nginx-demo", "-o", "jsonpath={.status.podIP}"]);
  process.stdout.write(await kubectl(layout, ["get", "pods,services", "-o", "wide"]));
  for (const url of [`http://${address}:30390`, `http://${podIp}:80`]) {
    const body = await get(url);
    step(`curl ${url}`);
    console.log(body.trimEnd());
  }
}

/** How many nodes there are to be: as many as were asked for, or as many as there were. */
function nodeCount(remembered: number | undefined): number {
  if (values.nodes === undefined) return remembered ?? 1;
  const count = Number(values.nodes);
  if (!Number.isInteger(count) || count < 1 || count > 50) throw new PlainError("--nodes must be between 1 and 50");
  return count;
}

async function main(paths: Layout): Promise<void> {
  const earlier = recall(paths);
  const count = nodeCount(earlier?.nodes);
  step("Building kubits-master and kubits-node");
  await buildPrograms();
  const address = await nodeAddress();
  const name = hostname().toLowerCase();
  const network = earlier?.network ?? (await MoreNodes.chooseNetwork());
  const binaries =
    values.containerd === undefined ? earlier?.binaries : await containerdBinaries(values.containerd, paths.cacheDir);
  const more = new MoreNodes({ layout: paths, network, address, binaries });
  const choices = { address, name, network, nodes: count, binaries };
  remember(paths, { ...earlier, ...choices });
  if (count > 1) await more.createNetwork();

  let mirror: string | undefined;
  if (!(await publicRegistryReachable())) {
    step("No public image registry in reach: serving images built from Debian packages from a local one");
    mirror = await startRegistry(paths, daemons, count > 1 ? { address: more.gateway } : {});
  }
  const socket = await ensureContainerd({ mirror, binaries });
  remember(paths, { ...choices, containerd: socket });

  step("Starting kubits-master");
  await startMaster(paths, daemons, { address, port: PORT });
  step("Starting kubits-node");
  await joinNode(paths, paths);
  startNode(paths, daemons, { name, address, containerRuntimeEndpoint: `unix://${socket}` });
  step(`Waiting for node ${name} to be Ready`);
  await waitForNode(paths, daemons, name);
  const sockets = await adjustNodes(more, count, mirror);
  if (!values["no-demo"]) await demo(address);
  step("The cluster is up.");
  console.log(`\n  export KUBECONFIG=${paths.adminConf}\n  kubectl get pods -A\n`);
  for (const [index, each] of [socket, ...sockets].entries())
    console.log(`containerd of ${index === 0 ? name : more.node(index + 1).name}: ${each}`);
  console.log(`Logs: ${paths.logDir}. Stop it with hack/down, remove every trace with hack/down --purge.`);
}

/** Adds and removes nodes until there are `count`. Answers the runtime sockets of those beyond the first. */
async function adjustNodes(more: MoreNodes, count: number, mirror: string | undefined): Promise<string[]> {
  const surplus = more.existing().filter((number) => number > count);
  for (const number of surplus) {
    step(`Removing ${more.node(number).name}`);
    await more.remove(number);
  }
  if (count === 1) await more.removeNetwork();
  const numbers = Array.from({ length: count - 1 }, (_, index) => index + 2);
  if (numbers.length > 0) step(`Starting ${numbers.map((number) => more.node(number).name).join(", ")}`);
  return Promise.all(numbers.map((number) => more.start(number, mirror)));
}

try {
  await main(layout);
} catch (error) {
  console.error(`hack/up: ${errorMessage(error)}`);
  if (error instanceof Error && error.cause instanceof Error) console.error(`  because: ${error.cause.message}`);
  process.exitCode = 1;
}
