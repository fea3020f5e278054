import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { HostMounts } from "#pkg/kubelet/index.ts";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Daemons } from "./daemons.ts";
import { fetchPackage } from "./images/oci.ts";
import type { Layout } from "./layout.ts";

const runner = new SpawnRunner();
/** What pods are built around; Docker knows no mirrors of registries other than its own, so this is fetched by hand. */
const PAUSE = "pause:3.10";

export interface DockerdOptions {
  /** Socket of the containerd that dockerd runs containers with. */
  readonly containerd: string;
  /** Mirror for docker.io, and source of the pause image, e.g. http://127.0.0.1:5000. */
  readonly mirror: string;
  /** Program and arguments put in front, to enter a network namespace. */
  readonly prefix: readonly string[];
}

/** Socket of the Docker daemon that `startDockerd` starts for this layout. */
export const dockerSocket = (layout: Layout): string => join(layout.runDir, "docker.sock");

/** Starts Debian's dockerd (unpacked, not installed) for pods: without a bridge or rules of its own. Idempotent. */
export async function startDockerd(layout: Layout, daemons: Daemons, options: DockerdOptions): Promise<void> {
  const { containerd, mirror, prefix } = options;
  const unpacked = join(layout.dataDir, "docker/package");
  mkdirSync(join(layout.dataDir, "docker"), { recursive: true });
  if (!existsSync(unpacked))
    await runner.run("dpkg", ["-x", await fetchPackage("docker.io", layout.cacheDir), unpacked]);
  mkdirSync(layout.runDir, { recursive: true });
  const registry = new URL(mirror).host;
  const configFile = join(layout.dataDir, "docker/daemon.json");
  const configuration = {
    hosts: [`unix://${dockerSocket(layout)}`],
    containerd,
    "data-root": join(layout.dataDir, "docker/root"),
    "exec-root": join(layout.runDir, "docker"),
    pidfile: join(layout.runDir, "docker.pid"),
    "registry-mirrors": [mirror],
    "insecure-registries": [registry],
    bridge: "none",
    iptables: false,
    ip6tables: false,
    "ip-forward": false,
    // Containers outlive their daemon.
    "live-restore": true,
  };
  writeFileSync(configFile, JSON.stringify(configuration));
  const path = `${join(unpacked, "usr/sbin")}:${join(unpacked, "usr/bin")}:${process.env["PATH"]}`;
  daemons.start("dockerd", [...prefix, join(unpacked, "usr/sbin/dockerd"), "--config-file", configFile], {
    PATH: path,
  });
  const docker = (args: string[], allowFailure = false) => {
    const [file, ...rest] = [
      ...prefix,
      join(unpacked, "usr/bin/docker"),
      "-H",
      `unix://${dockerSocket(layout)}`,
      ...args,
    ];
    return runner.run(file!, rest, { allowFailure, timeoutMs: 120_000 });
  };
  for (let attempt = 0; (await docker(["version"], true)).exitCode !== 0; attempt++) {
    if (attempt === 150 || daemons.pid("dockerd") === undefined)
      throw new Error(`dockerd did not come up:\n${daemons.tail("dockerd")}`);
    await delay(100);
  }
  await docker(["pull", "--quiet", `${registry}/${PAUSE}`]);
  await docker(["tag", `${registry}/${PAUSE}`, `registry.k8s.io/${PAUSE}`]);
}

/** Stops dockerd and takes away the mounts that it leaves behind, more of them when it was killed. Safe to repeat. */
export async function stopDockerd(layout: Layout, daemons: Daemons): Promise<void> {
  await daemons.stop("dockerd");
  const mounts = new HostMounts(runner);
  for (const directory of [join(layout.dataDir, "docker"), join(layout.runDir, "docker")])
    for (const point of await mounts.below(directory)) await mounts.unmount(point);
}
