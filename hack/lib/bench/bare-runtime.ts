/** Pods made by nothing but the runtime's own calls: what no kubelet can be faster than. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ContainerConfig, Runtime, SandboxConfig } from "#pkg/kubelet/index.ts";

function sandboxOf(name: string, directory: string, cgroupParent: string): SandboxConfig {
  return {
    // Without a uid no kubelet takes it for a pod of its own, or for an orphan.
    metadata: { name, uid: "", namespace: "bare", attempt: 0 },
    hostname: name,
    logDirectory: join(directory, name),
    dns: { servers: ["10.96.0.10"], searches: [], options: [] },
    portMappings: [],
    labels: {},
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

function containerOf(image: string): ContainerConfig {
  return {
    metadata: { name: "c", attempt: 0 },
    image: { image },
    command: [],
    args: [],
    workingDir: "",
    envs: [],
    mounts: [],
    devices: [],
    labels: {},
    annotations: {},
    logPath: "c.log",
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: {},
    securityContext: {
      capabilities: { add: [], drop: [] },
      privileged: false,
      namespaces: { network: "Pod", ipc: "Pod", pid: "Container" },
      readonlyRootfs: false,
      supplementalGroups: [],
      noNewPrivs: false,
      maskedPaths: [],
      readonlyPaths: [],
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
  const container = containerOf(image);
  const begun = performance.now();
  const ids = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const sandbox = sandboxOf(`${prefix}-${index}`, directory, cgroupParent);
      mkdirSync(sandbox.logDirectory, { recursive: true });
      const id = await runtime.runSandbox(sandbox, "");
      await runtime.startContainer(await runtime.createContainer(id, container, sandbox));
      return id;
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  return {
    seconds,
    async remove() {
      for (const id of ids) {
        await runtime.stopSandbox(id);
        await runtime.removeSandbox(id);
      }
    },
  };
}
