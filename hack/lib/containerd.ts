import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Daemons } from "./daemons.ts";
import type { Layout } from "./layout.ts";
import { shareNetns } from "./netns.ts";

const runner = new SpawnRunner();

/** Registries whose pulls the local registry answers when it is in use. */
const MIRRORED = ["docker.io", "registry.k8s.io"];

/** Does a containerd with a CRI plugin answer on this socket? */
export async function answersCri(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false;
  const { exitCode, stdout } = await runner.run("ctr", ["--address", socket, "plugins", "ls"], {
    allowFailure: true,
    timeoutMs: 5000,
  });
  return exitCode === 0 && /io\.containerd\.(grpc\.v1|cri\.v1)\s+(cri|runtime)\s.*\bok\b/.test(stdout);
}

export interface ContainerdOptions {
  /** Mirror for docker.io and registry.k8s.io, e.g. http://127.0.0.1:5000. */
  readonly mirror?: string | undefined;
  /** Program and arguments put in front, e.g. to enter a network namespace. */
  readonly prefix?: readonly string[];
  /** Directory of another containerd than the installed one, with its shim. */
  readonly binaries?: string | undefined;
}

function configuration(layout: Layout, socket: string): string {
  const quote = JSON.stringify;
  return `version = 2
root = ${quote(join(layout.containerdDir, "root"))}
state = ${quote(join(layout.containerdDir, "state"))}
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]
oom_score = 0

[grpc]
  address = ${quote(socket)}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = true
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  max_container_log_line_size = 16384
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = ${quote(layout.cniConfDir)}
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = ${quote(join(layout.containerdDir, "certs.d"))}
`;
}

/** Says that this layout's containerd was the first to need shared network namespaces. */
export const netnsMarker = (layout: Layout): string => join(layout.runDir, "netns-shared");

/** Starts a containerd of our own (idempotent) and answers its socket once CRI is up. */
export async function startContainerd(
  layout: Layout,
  daemons: Daemons,
  options: ContainerdOptions = {},
): Promise<string> {
  const socket = join(layout.runDir, "containerd.sock");
  mkdirSync(layout.containerdDir, { recursive: true, mode: 0o711 });
  mkdirSync(layout.cniConfDir, { recursive: true });
  mkdirSync(layout.runDir, { recursive: true });
  await shareNetns(netnsMarker(layout));
  const certs = join(layout.containerdDir, "certs.d");
  for (const host of options.mirror === undefined ? [] : MIRRORED) {
    mkdirSync(join(certs, host), { recursive: true });
    const hosts = `server = ${JSON.stringify(options.mirror)}\n\n[host.${JSON.stringify(options.mirror)}]\n  capabilities = ["pull", "resolve"]\n`;
    writeFileSync(join(certs, host, "hosts.toml"), hosts);
  }
  const configFile = join(layout.containerdDir, "config.toml");
  writeFileSync(configFile, configuration(layout, socket));
  // The shim is found on the path, and must be of the same release.
  const path = process.env["PATH"] ?? "";
  const env: Record<string, string> = options.binaries === undefined ? {} : { PATH: `${options.binaries}:${path}` };
  const program = options.binaries === undefined ? "containerd" : join(options.binaries, "containerd");
  daemons.start("containerd", [...(options.prefix ?? []), program, "--config", configFile], env);
  for (let attempt = 0; attempt < 150; attempt++) {
    if (daemons.pid("containerd") === undefined) break;
    if (await answersCri(socket)) return socket;
    await delay(100);
  }
  throw new Error(
    `containerd did not come up; the end of ${daemons.logFile("containerd")}:\n${daemons.tail("containerd")}`,
  );
}
