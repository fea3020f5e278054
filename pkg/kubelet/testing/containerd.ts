/** A containerd of a test's own: root, state, socket, CNI network and cgroup parent below one temporary directory. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { GrpcRuntime } from "../cri/grpc-runtime.ts";
import type { TestDaemon } from "./node.ts";
import { claimTraces, removeTraces } from "./traces.ts";

export interface TestContainerd extends TestDaemon {
  readonly socket: string;
}

const ROOT = join(import.meta.dirname, "../../..");
const ARCHIVES = "/var/cache/kubits/archives";
export const IMAGES = { pause: "registry.k8s.io/pause:3.10", busybox: "docker.io/library/busybox:1.35" };

/** The archive of an image of the catalogue, built first when this machine does not have it yet. */
export function archiveOf(reference: string): string {
  const archive = join(ARCHIVES, `${reference.replaceAll(/[/:]/g, "_")}.tar`);
  if (!existsSync(archive)) {
    mkdirSync(ARCHIVES, { recursive: true });
    // One at a time: several test files may find it missing.
    const build = [join(ROOT, "hack/images"), "--out", ARCHIVES, "--only", reference];
    execFileSync("flock", [ARCHIVES, ...build], { stdio: "inherit" });
  }
  return archive;
}

function configFor(directory: string, appArmor: boolean, selinux: boolean): string {
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
[grpc]
  address = "${directory}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  restrict_oom_score_adj = true
  disable_apparmor = ${!appArmor}
  enable_selinux = ${selinux}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${directory}/cni"
`;
}

/** A kubelet that was stopped in the middle may have removals on their way: they are waited for. */
async function removeEverything(runtime: GrpcRuntime): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      for (const { id } of await runtime.listSandboxes()) {
        await runtime.stopSandbox(id);
        await runtime.removeSandbox(id);
      }
      return;
    } catch (error) {
      if (attempt === 20) throw error;
      await delay(200);
    }
  }
}

/** A bridge of the test's own, without masquerading: nothing here needs to leave the machine. */
export function cniConfiguration(directory: string, bridge: string, subnet: string): string {
  const ipam = {
    type: "host-local",
    dataDir: join(directory, "ipam"),
    ranges: [[{ subnet: `${subnet}.0/24` }]],
    routes: [{ dst: "0.0.0.0/0" }],
  };
  const plugins = [{ type: "bridge", bridge, isGateway: true, ipMasq: false, ipam }];
  return JSON.stringify({ cniVersion: "0.4.0", name: "test", plugins });
}

/** `subnet` is three octets of a /24 nobody else uses. */
export async function startContainerd(
  subnet: string,
  options: {
    /** Gives the runtime, and with it images and containers' layers, a file system of its own of this size. */
    readonly diskSize?: string;
    /** Lets it confine containers by AppArmor, which a kernel may lack. */
    readonly appArmor?: boolean;
    /** Lets it label them by SELinux, likewise. */
    readonly selinux?: boolean;
  } = {},
): Promise<TestContainerd> {
  const traces = await claimTraces("kt", subnet);
  const { directory, bridge, cgroupRoot } = traces;
  const { diskSize, appArmor = false, selinux = false } = options;
  if (diskSize !== undefined) {
    mkdirSync(join(directory, "root"));
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskSize}`, "tmpfs", join(directory, "root")]);
  }
  mkdirSync(join(directory, "cni"));
  writeFileSync(join(directory, "cni", "10-test.conflist"), cniConfiguration(directory, bridge, subnet));
  writeFileSync(join(directory, "config.toml"), configFor(directory, appArmor, selinux));
  const log = openSync(join(directory, "containerd.log"), "w");
  // Another containerd than the machine's own is tried by naming its directory, where its shim lies too.
  const binaries = process.env["KUBELET_TEST_CONTAINERD"] ?? "/usr/bin";
  const launch = () =>
    spawn(join(binaries, "containerd"), ["--config", join(directory, "config.toml")], {
      stdio: ["ignore", log, log],
      env: { ...process.env, PATH: `${binaries}:${process.env["PATH"]}` },
    });
  let child = launch();
  const exit = async (signal: NodeJS.Signals) => {
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  };
  const socket = join(directory, "containerd.sock");
  const runtime = new GrpcRuntime(`unix://${socket}`);
  const answering = async () => {
    for (let attempt = 0; ; attempt++) {
      try {
        // The version is told before the rest is there.
        await runtime.listSandboxes({}, { timeoutMs: 1000 });
        return;
      } catch (error) {
        if (attempt > 600) throw new Error(readFileSync(join(directory, "containerd.log"), "utf8"), { cause: error });
        await delay(100);
      }
    }
  };
  try {
    await answering();
  } catch (error) {
    runtime.close();
    await exit("SIGKILL");
    throw error;
  }
  for (const reference of Object.values(IMAGES)) {
    execFileSync("ctr", ["-a", socket, "-n", "k8s.io", "images", "import", archiveOf(reference)], { stdio: "ignore" });
  }
  return {
    directory,
    runtime,
    socket,
    cgroupRoot,
    kill: () => exit("SIGKILL"),
    async start() {
      child = launch();
      await answering();
    },
    async stop() {
      try {
        await removeEverything(runtime);
      } finally {
        runtime.close();
        await exit("SIGTERM");
      }
      await removeTraces(traces);
    },
  };
}
