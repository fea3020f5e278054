import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { FlagValues } from "#pkg/config/index.ts";
import { type KubeletConfig, resetNode } from "#pkg/kubelet/index.ts";
import { removePodNetwork } from "#pkg/network/index.ts";
import { cleanupModes } from "#pkg/proxy/index.ts";
import { type Logger, RealClock, SpawnRunner } from "#pkg/util/index.ts";
import type { nodeFlags } from "./flags.ts";
import { createRuntime } from "./runtime.ts";

/** Removes everything that node agents ever made on this machine; repeating it is harmless. */
export async function reset(
  config: Partial<KubeletConfig>,
  flags: FlagValues<typeof nodeFlags>,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const runner = new SpawnRunner();
  const clock = new RealClock();
  const runtime = await createRuntime(flags, { commands: runner, clock, log });
  await resetNode({ runtime, config, clock, commands: runner, log }, signal);
  await cleanupModes({ runner, clock, log }, signal);
  await removePodNetwork(
    { cniConfDir: flags["cni-conf-dir"], ipamDir: flags["cni-state-dir"], bridge: flags["cni-bridge"] },
    runner,
    signal,
  );
  // Without them the machine can join again, here or elsewhere; the CA's file is the master's where both share a machine.
  const identity = [flags.kubeconfig, flags["bootstrap-kubeconfig"], join(flags["root-dir"], "pki")];
  await Promise.all(identity.map((path) => rm(path, { recursive: true, force: true })));
  log.info({}, "Removed pods, mounts, interfaces and rules");
}
