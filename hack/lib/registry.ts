import { createServer } from "node:net";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Daemons } from "./daemons.ts";
import { IMAGES } from "./images/catalogue.ts";
import { buildImage, fetchPackage, pushImage } from "./images/oci.ts";
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

/**
 * Runs Debian's docker-registry (unpacked, not installed, so that no service of the distribution starts) with all
 * images of the catalogue in it. Idempotent. Answers its URL.
 */
export async function startRegistry(
  layout: Layout,
  daemons: Daemons,
  options: { address?: string; prefix?: readonly string[]; progress?: (line: string) => void } = {},
): Promise<string> {
  const address = options.address ?? "127.0.0.1";
  mkdirSync(layout.registryDir, { recursive: true });
  const urlFile = join(layout.registryDir, "url");
  if (daemons.pid("registry") !== undefined) return readFileSync(urlFile, "utf8");

  const deb = await fetchPackage("docker-registry", layout.cacheDir);
  const unpacked = join(layout.registryDir, "package");
  await new SpawnRunner().run("dpkg", ["-x", deb, unpacked]);
  const url = `http://${address}:${await freePort(address, 5000)}`;
  const configFile = join(layout.registryDir, "config.json");
  const configuration = {
    version: 0.1,
    log: { level: "warn" },
    storage: { filesystem: { rootdirectory: join(layout.registryDir, "storage") } },
    http: { addr: url.slice("http://".length) },
  };
  writeFileSync(configFile, JSON.stringify(configuration));
  daemons.start("registry", [
    ...(options.prefix ?? []),
    join(unpacked, "usr/bin/docker-registry"),
    "serve",
    configFile,
  ]);
  await answers(url, daemons);
  for (const recipe of IMAGES) {
    options.progress?.(recipe.reference);
    await pushImage(await buildImage(recipe, join(layout.cacheDir, "images"), layout.cacheDir), url);
  }
  writeFileSync(urlFile, url);
  return url;
}

async function answers(url: string, daemons: Daemons): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if (daemons.pid("registry") === undefined) break;
    const response = await fetch(`${url}/v2/`, { signal: AbortSignal.timeout(1000) }).catch(() => undefined);
    if (response?.ok === true) return;
    await delay(100);
  }
  throw new Error(`the local image registry did not come up:\n${daemons.tail("registry")}`);
}
