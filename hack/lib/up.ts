import { hostname, networkInterfaces } from "node:os";
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SpawnRunner } from "#pkg/util/index.ts";
import { buildPrograms, joinNode, kubectl, startMaster, startNode, waitForNode } from "./cluster.ts";
import { answersCri, startContainerd } from "./containerd.ts";
import { Daemons } from "./daemons.ts";
import { DEFAULT_DATA_DIR, type Layout, layoutOf } from "./layout.ts";
import { publicRegistryReachable, startRegistry } from "./registry.ts";
import { importImages } from "./import-images.ts";

const { values } = parseArgs({
  options: {
    "no-demo": { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
  },
});
const PORT = 6443;
const RUNNING_CONTAINERD = "/run/containerd/containerd.sock";
const layout = layoutOf(values["data-dir"]);
const daemons = new Daemons({ runDir: layout.runDir, logDir: layout.logDir });
const runner = new SpawnRunner();
const begun = performance.now();

/** A problem of the machine that the user can solve; shown as one sentence. */
class Refusal extends Error {}

function step(text: string): void {
  console.log(`[${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s] ${text}`);
}

/** Address of the interface that the default route uses, or the first one that is not loopback. */
async function nodeAddress(): Promise<string> {
  const { stdout } = await runner.run("ip", ["-json", "-4", "route", "get", "1.1.1.1"], { allowFailure: true });
  const route = stdout.startsWith("[") ? (JSON.parse(stdout) as Array<{ prefsrc?: string }>)[0]?.prefsrc : undefined;
  if (route !== undefined) return route;
  const external = Object.values(networkInterfaces())
    .flat()
    .find((entry) => entry?.family === "IPv4" && !entry.internal);
  if (external === undefined)
    throw new Refusal("this machine has no IPv4 address besides loopback; configure a network interface first");
  return external.address;
}

/** Uses a running containerd as it is, or starts our own. Answers the CRI socket. */
async function ensureContainerd(mirror: string | undefined): Promise<string> {
  if (await answersCri(RUNNING_CONTAINERD)) {
    step("Using the containerd that is running");
    if (mirror !== undefined) {
      step("Importing the images into it, as its configuration is not ours to change");
      await importImages(RUNNING_CONTAINERD, layout.cacheDir);
    }
    return RUNNING_CONTAINERD;
  }
  step("Starting containerd");
  return startContainerd(layout, daemons, mirror === undefined ? {} : { mirror });
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

/** Remembers what this run chose, so that hack/down undoes exactly that. */
function remember(choice: object): void {
  mkdirSync(layout.dataDir, { recursive: true, mode: 0o755 });
  writeFileSync(join(layout.dataDir, "up.json"), `${JSON.stringify(choice, undefined, 2)}\n`);
}

async function main(paths: Layout): Promise<void> {
  step("Building kubits-master and kubits-node");
  await buildPrograms();
  const address = await nodeAddress();
  const name = hostname().toLowerCase();
  remember({ address, name });

  let mirror: string | undefined;
  if (!(await publicRegistryReachable())) {
    step("No public image registry in reach: serving images built from Debian packages from a local one");
    mirror = await startRegistry(paths, daemons);
  }
  const socket = await ensureContainerd(mirror);
  remember({ address, name, containerd: socket });

  step("Starting kubits-master");
  await startMaster(paths, daemons, { address, port: PORT });
  step("Starting kubits-node");
  await joinNode(paths, paths);
  startNode(paths, daemons, {
    name,
    address,
    server: `https://${address}:${PORT}`,
    containerRuntimeEndpoint: `unix://${socket}`,
  });
  step(`Waiting for node ${name} to be Ready`);
  await waitForNode(paths, daemons, name);
  if (!values["no-demo"]) await demo(address);
  step("The cluster is up.");
  console.log(
    `\n  export KUBECONFIG=${paths.adminConf}\n  kubectl get pods -A\n\nLogs: ${paths.logDir}. Stop it with hack/down, remove every trace with hack/down --purge.`,
  );
}

try {
  await main(layout);
} catch (error) {
  console.error(`hack/up: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof Error && error.cause instanceof Error) console.error(`  because: ${error.cause.message}`);
  process.exitCode = 1;
}
