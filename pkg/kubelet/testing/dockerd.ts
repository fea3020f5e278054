/** A Docker daemon of a test's own, on a containerd of its own, with everything below one temporary directory. */
import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { RealClock, silentLogger, SpawnRunner } from "#pkg/util/index.ts";
import { DockerRuntime } from "../docker/docker-runtime.ts";
import { archiveOf, cniConfiguration, IMAGES } from "./containerd.ts";
import type { TestDaemon } from "./node.ts";
import { claimTraces, removeTraces } from "./traces.ts";

const PACKAGES = "/var/cache/kubits/debs";

/** Debian's daemon without its package's start scripts. */
function dockerBinaries(): string {
  if (existsSync("/usr/sbin/dockerd")) return "";
  const unpacked = join(PACKAGES, "docker.io-unpacked");
  if (!existsSync(join(unpacked, "usr/sbin/dockerd"))) {
    mkdirSync(PACKAGES, { recursive: true });
    execFileSync("apt-get", ["download", "docker.io"], { cwd: PACKAGES, stdio: "ignore" });
    const archive = readdirSync(PACKAGES).find((name) => name.startsWith("docker.io_"));
    if (archive === undefined) throw new Error("apt-get brought no docker.io package");
    execFileSync("dpkg", ["-x", join(PACKAGES, archive), unpacked]);
  }
  return unpacked;
}

async function ended(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exit;
}

export interface TestDockerd extends TestDaemon {
  /** Stops the daemon as a service manager does, and starts it again. */
  restart(): Promise<void>;
}

/**
 * `liveRestore`: containers go on without the daemon. Docker's own default is that they end with it. `selinux`: labels them, where
 * the kernel can.
 */
export async function startDockerd(subnet: string, { liveRestore = true, selinux = false } = {}): Promise<TestDockerd> {
  const traces = await claimTraces("kd", subnet);
  const { directory, bridge, cgroupRoot } = traces;
  const binaries = dockerBinaries();
  mkdirSync(join(directory, "cni"));
  writeFileSync(join(directory, "cni", "10-test.conflist"), cniConfiguration(directory, bridge, subnet));
  writeFileSync(
    join(directory, "containerd.toml"),
    `version = 2\nroot = "${directory}/containerd"\nstate = "${directory}/containerd-state"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "${directory}/containerd.sock"\n`,
  );
  const log = openSync(join(directory, "daemons.log"), "w");
  const start = (file: string, args: string[]) =>
    spawn(file, args, {
      stdio: ["ignore", log, log],
      env: { ...process.env, PATH: `${binaries}/usr/bin:${binaries}/usr/sbin:${process.env["PATH"]}` },
    });
  const containerd = start("/usr/bin/containerd", ["--config", join(directory, "containerd.toml")]);
  const socketPath = join(directory, "docker.sock");
  const launch = () =>
    start(`${binaries}/usr/sbin/dockerd`, [
      `--containerd=${directory}/containerd.sock`,
      `--data-root=${directory}/docker`,
      `--exec-root=${directory}/docker-exec`,
      `--pidfile=${directory}/docker.pid`,
      `--host=unix://${socketPath}`,
      ...(liveRestore ? ["--live-restore"] : []),
      ...(selinux ? ["--selinux-enabled"] : []),
      "--bridge=none",
      "--iptables=false",
      "--ip6tables=false",
      "--ip-forward=false",
    ]);
  let dockerd = launch();
  const runtime = new DockerRuntime({
    socketPath,
    cniConfDir: join(directory, "cni"),
    cniBinDir: "/usr/lib/cni",
    stateDir: join(directory, "state"),
    commands: new SpawnRunner(),
    clock: new RealClock(),
    log: silentLogger,
  });
  const answering = async () => {
    for (let attempt = 0; ; attempt++) {
      try {
        await runtime.version();
        return;
      } catch (error) {
        if (attempt > 600) throw new Error(readFileSync(join(directory, "daemons.log"), "utf8"), { cause: error });
        await delay(100);
      }
    }
  };
  await answering();
  for (const reference of Object.values(IMAGES)) await loadImage(binaries, socketPath, archiveOf(reference), reference);
  const startAgain = async () => {
    // One that was killed could not remove it, and the next may find another process under its number.
    rmSync(join(directory, "docker.pid"), { force: true });
    dockerd = launch();
    await answering();
  };
  return {
    directory,
    runtime,
    cgroupRoot,
    kill: () => ended(dockerd, "SIGKILL"),
    start: startAgain,
    async restart() {
      await ended(dockerd);
      await startAgain();
    },
    async stop() {
      try {
        for (const { id } of await runtime.listSandboxes()) {
          await runtime.stopSandbox(id);
          await runtime.removeSandbox(id);
        }
      } finally {
        runtime.close();
        await ended(dockerd);
        await ended(containerd);
      }
      await removeTraces(traces);
    },
  };
}

/** Docker 20.10 cannot load OCI archives: the root file system is imported and its configuration given again. */
async function loadImage(binaries: string, socketPath: string, archive: string, reference: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kubelet-image-"));
  try {
    execFileSync("tar", ["-xf", archive, "-C", folder]);
    const blob = (digest: string) => join(folder, "blobs", digest.replace(":", "/"));
    const read = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    let manifest = read(join(folder, "index.json")) as {
      manifests?: { digest: string }[];
      config?: { digest: string };
      layers?: { digest: string }[];
    };
    while (manifest.manifests !== undefined) manifest = read(blob(manifest.manifests[0]!.digest));
    const { config } = read(blob(manifest.config!.digest)) as {
      config: { Cmd?: string[]; Entrypoint?: string[]; Env?: string[] };
    };
    const rootfs = join(folder, "rootfs");
    mkdirSync(rootfs);
    for (const { digest } of manifest.layers ?? []) execFileSync("tar", ["-xf", blob(digest), "-C", rootfs]);
    execFileSync("tar", ["-cf", join(folder, "rootfs.tar"), "-C", rootfs, "."]);
    const changes = [
      ...(config.Entrypoint === undefined ? [] : [`ENTRYPOINT ${JSON.stringify(config.Entrypoint)}`]),
      ...(config.Cmd === undefined ? [] : [`CMD ${JSON.stringify(config.Cmd)}`]),
      ...(config.Env ?? []).map((entry) => `ENV ${entry.replace("=", " ")}`),
    ].flatMap((change) => ["--change", change]);
    const docker = binaries === "" ? "docker" : join(binaries, "usr/bin/docker");
    execFileSync(
      docker,
      ["--host", `unix://${socketPath}`, "import", ...changes, join(folder, "rootfs.tar"), reference],
      { stdio: "ignore" },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}
