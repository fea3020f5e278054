import { createServer } from "node:net";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Daemons } from "./daemons.ts";
import { fetchPackage } from "./images/oci.ts";
import type { Layout } from "./layout.ts";

/** Can images be pulled from the public registry? Any HTTP answer counts. */
export async function publicRegistryReachable(): Promise<boolean> {
  try {
    await fetch("https://registry-1.docker.io/v2/", { signal: AbortSignal.timeout(4000) });
    return true;
  } catch {
    return false; // no route, no name, or no answer in time: all mean the same here
  }
}

function freePort(address: string, wanted: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE" && wanted !== 0) freePort(address, 0).then(resolve, reject);
      else reject(error);
    });
    server.listen(wanted, address, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

/** Runs a command, in the network namespace that `prefix` enters when there is one. */
function run(prefix: readonly string[], command: readonly string[], allowFailure = false) {
  const [file, ...args] = [...prefix, ...command];
  return new SpawnRunner().run(file!, args, { timeoutMs: 300_000, allowFailure });
}

export interface RegistryOptions {
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Program and arguments put in front, to enter a network namespace. */
  readonly prefix?: readonly string[];
}

/**
 * Runs Debian's docker-registry (unpacked, not installed, so that no service of the distribution starts) with all
 * images of the catalogue in it. Idempotent. Answers its URL.
 */
export async function startRegistry(layout: Layout, daemons: Daemons, options: RegistryOptions = {}): Promise<string> {
  const { address = "127.0.0.1", prefix = [] } = options;
  mkdirSync(layout.registryDir, { recursive: true });
  const urlFile = join(layout.registryDir, "url");
  const running = daemons.pid("registry") !== undefined && existsSync(urlFile) ? readFileSync(urlFile, "utf8") : "";
  if (running.startsWith(`http://${address}:`)) return running;
  await daemons.stop("registry");

  const unpacked = join(layout.registryDir, "package");
  await run([], ["dpkg", "-x", await fetchPackage("docker-registry", layout.cacheDir), unpacked]);
  // A namespace of our own has every port free.
  const port = prefix.length > 0 ? 5000 : await freePort(address, 5000);
  const url = `http://${address}:${port}`;
  const configFile = join(layout.registryDir, "config.json");
  const configuration = {
    version: 0.1,
    log: { level: "warn" },
    storage: { filesystem: { rootdirectory: join(layout.registryDir, "storage") } },
    http: { addr: `${address}:${port}` },
  };
  writeFileSync(configFile, JSON.stringify(configuration));
  daemons.start("registry", [...prefix, join(unpacked, "usr/bin/docker-registry"), "serve", configFile]);
  await answers(url, prefix, daemons);
  // Built out here first: the namespace that the registry is in may not reach Debian's packages.
  const images = [join(import.meta.dirname, "../images"), "--cache", layout.cacheDir];
  await run([], images);
  await run(prefix, [...images, "--push", url]);
  writeFileSync(urlFile, url);
  return url;
}

async function answers(url: string, prefix: readonly string[], daemons: Daemons): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (daemons.pid("registry") === undefined) break;
    const { exitCode } = await run(prefix, ["curl", "-sf", "--max-time", "1", `${url}/v2/`], true);
    if (exitCode === 0) return;
    await delay(100);
  }
  throw new Error(`the local image registry did not come up:\n${daemons.tail("registry")}`);
}
