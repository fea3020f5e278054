/** Takes back everything the kubelet made on a machine. Repeating it is harmless. */
import { readdir, readFile, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { sleep } from "#pkg/util/index.ts";
import type { Clock, CommandRunner, Logger } from "#pkg/util/index.ts";
import { CgroupManager, parseHierarchies } from "./cgroups/manager.ts";
import { DEFAULT_CONFIG } from "./config.ts";
import type { KubeletConfig } from "./config.ts";
import type { Runtime } from "./cri/runtime.ts";
import { HostMounts } from "./mounts.ts";
import { MEMORY_VOLUMES } from "./volumes/manager.ts";

/** What the kubelet and its runtimes keep below rootDirectory, but for certificates. */
const OWN_DIRECTORIES = ["pods", MEMORY_VOLUMES, "plugins", "plugins_registry", "image_manager", "docker"];

/** Killed processes take a moment to end, on a busy machine some more. */
const REMOVE_ATTEMPTS = 300;

/** A directory that is a file system of its own stays, without what was in it. */
async function removeDirectory(path: string): Promise<void> {
  try {
    for (const name of await readdir(path)) await rm(join(path, name), { recursive: true, force: true });
    await rmdir(path);
  } catch (error) {
    if (!["ENOENT", "EBUSY"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  }
}

/** What taking a node apart needs. */
export interface ResetDeps {
  readonly runtime: Runtime;
  readonly config: Partial<KubeletConfig>;
  readonly clock: Clock;
  readonly commands: CommandRunner;
  readonly log: Logger;
}

/** Removes all pods of the runtime, mounts and directories below rootDirectory, pod logs, and the pods' cgroups. */
export async function resetNode(deps: ResetDeps, signal: AbortSignal): Promise<void> {
  const { runtime, commands, log } = deps;
  const config = { ...DEFAULT_CONFIG, ...deps.config };
  const containers = await runtime.listContainers({}, { signal });
  await Promise.all(
    containers.map(async ({ id }) => {
      await runtime.stopContainer(id, 0, { signal });
      await runtime.removeContainer(id, { signal });
    }),
  );
  const sandboxes = await runtime.listSandboxes({}, { signal });
  await Promise.all(
    sandboxes.map(async ({ id }) => {
      await runtime.stopSandbox(id, { signal });
      await runtime.removeSandbox(id, { signal });
    }),
  );
  const mounts = new HostMounts(commands);
  for (const point of await mounts.below(config.rootDirectory)) {
    if (point !== config.rootDirectory) await mounts.unmount(point);
  }
  const left = (await mounts.below(config.rootDirectory)).filter((point) => point !== config.rootDirectory);
  if (left.length > 0) throw new Error(`these mounts could not be removed: ${left.join(", ")}`);
  for (const name of OWN_DIRECTORIES) await rm(join(config.rootDirectory, name), { recursive: true, force: true });
  for (const directory of [config.podLogsDir, config.containerLogsDir]) await removeDirectory(directory);
  const cgroups = new CgroupManager({
    hierarchies: parseHierarchies(await readFile("/proc/self/mountinfo", "utf8")),
    driver: (await runtime.cgroupDriver({ signal })) ?? config.cgroupDriver,
    cgroupRoot: config.cgroupRoot,
    perQos: config.cgroupsPerQOS,
    podPidsLimit: config.podPidsLimit,
    commands,
    log,
  });
  for (let attempt = 1; !(await cgroups.removeAll()); attempt++) {
    if (attempt === REMOVE_ATTEMPTS) throw new Error("processes of pods could not be killed");
    await sleep(deps.clock, 100, signal);
  }
  log.info({ containers: containers.length, sandboxes: sandboxes.length }, "Removed all pods of this node");
}
