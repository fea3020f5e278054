/** Pods made by nothing but the runtime's own calls: what no kubelet can be faster than. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerConfig, Runtime, SandboxConfig } from "#pkg/kubelet/index.ts";

const BEST_EFFORT = { cpuShares: 2, oomScoreAdj: 1000 };
const MASKED = ["asound", "acpi", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug", "scsi"];
const READ_ONLY = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

function sandboxOf(name: string, directory: string, cgroupParent: string): SandboxConfig {
  return {
    // Without a uid no kubelet takes it for a pod of its own, or for an orphan.
    metadata: { name, uid: "", namespace: "bare", attempt: 0 },
    hostname: name,
    logDirectory: join(directory, name),
    dns: { servers: ["10.96.0.10"], searches: ["default.svc.cluster.local"], options: ["ndots:5"] },
    portMappings: [],
    labels: { "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "bare" },
    annotations: {},
    cgroupParent,
    sysctls: {},
    securityContext: {
      namespaces: { network: "Pod", ipc: "Pod", pid: "Container" },
      supplementalGroups: [],
      privileged: false,
    },
  };
}

/** A container as a kubelet asks for it: with the files that every pod has, made here before the clock runs. */
function containerOf(image: string, directory: string): ContainerConfig {
  const file = (containerPath: string, readonly = false) => {
    const hostPath = join(directory, containerPath.replaceAll("/", "_"));
    if (readonly) mkdirSync(hostPath, { recursive: true });
    else writeFileSync(hostPath, "");
    return { containerPath, hostPath, readonly, propagation: "Private" as const };
  };
  return {
    metadata: { name: "c", attempt: 0 },
    image: { image },
    command: [],
    args: [],
    workingDir: "",
    envs: [],
    mounts: [
      file("/etc/hosts"),
      file("/dev/termination-log"),
      file("/var/run/secrets/kubernetes.io/serviceaccount", true),
    ],
    devices: [],
    labels: { "io.kubernetes.container.name": "c" },
    annotations: {},
    logPath: "c.log",
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: BEST_EFFORT,
    securityContext: {
      capabilities: { add: [], drop: [] },
      privileged: false,
      namespaces: { network: "Pod", ipc: "Pod", pid: "Container" },
      readonlyRootfs: false,
      supplementalGroups: [],
      noNewPrivs: false,
      maskedPaths: MASKED.map((name) => `/proc/${name}`),
      readonlyPaths: READ_ONLY.map((name) => `/proc/${name}`),
    },
  };
}

export interface BarePods {
  readonly seconds: number;
  remove(): Promise<void>;
}

/** Starts `count` pods at once, each with its three calls, and answers how long that took. */
export async function startBarePods(
  runtime: Runtime,
  options: { count: number; prefix: string; image: string; directory: string; cgroupParent: string },
): Promise<BarePods> {
  const { count, prefix, image, directory, cgroupParent } = options;
  const wanted = Array.from({ length: count }, (_, index) => {
    const sandbox = sandboxOf(`${prefix}-${index}`, directory, cgroupParent);
    mkdirSync(sandbox.logDirectory, { recursive: true });
    return { sandbox, container: containerOf(image, sandbox.logDirectory) };
  });
  const begun = performance.now();
  const ids = await Promise.all(
    wanted.map(async ({ sandbox, container }) => {
      const id = await runtime.runSandbox(sandbox, "");
      await runtime.startContainer(await runtime.createContainer(id, container, sandbox));
      return id;
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  return {
    seconds,
    async remove() {
      await Promise.all(
        ids.map(async (id) => {
          await runtime.stopSandbox(id);
          await runtime.removeSandbox(id);
        }),
      );
    },
  };
}
