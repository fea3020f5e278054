import { hostname } from "node:os";
import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { createKubelet } from "#pkg/kubelet/index.ts";
import { cleanupModes } from "#pkg/proxy/index.ts";
import { type Logger, RealClock, SecureRandom, SpawnRunner } from "#pkg/util/index.ts";
import { defaultAddress } from "../common/address.ts";
import { notifyReady } from "../common/notify.ts";
import { type ProgramDescription, runProgram } from "../common/program.ts";
import { connectNode, connectProxy } from "./credentials.ts";
import { nodeFlags } from "./flags.ts";
import { join } from "./join.ts";
import { kubeletConfig } from "./kubelet-config.ts";
import { fileAsFlags } from "./kubelet-configuration.ts";
import { collectAtRest, programMemory } from "./memory.ts";
import { runNetwork } from "./network.ts";
import { createRuntime } from "./runtime.ts";
import { refuseSwap } from "./swap.ts";

type Flags = FlagValues<typeof nodeFlags>;

async function runNode(flags: Flags, log: Logger, signal: AbortSignal): Promise<void> {
  const clock = new RealClock();
  const random = new SecureRandom();
  const runner = new SpawnRunner();
  const nodeName = flags["hostname-override"] === "" ? hostname().toLowerCase() : flags["hostname-override"];
  const nodeIP = flags["node-ip"] === "" ? await defaultAddress(runner) : flags["node-ip"];
  if (nodeIP === "") throw new UsageError("this machine has no address besides loopback; give --node-ip");
  const config = kubeletConfig(flags, nodeIP);
  if (flags["fail-swap-on"]) await refuseSwap();
  const kubeletApi = await connectNode({ flags, nodeName, clock, random, log }, signal);
  const proxyApi = await connectProxy(flags, kubeletApi, clock);
  const runtime = await createRuntime(flags, { commands: runner, clock, log });
  const kubelet = createKubelet({
    client: kubeletApi.client,
    connection: kubeletApi.metrics,
    runtime,
    nodeName,
    clock,
    random,
    commands: runner,
    log: log.child({ part: "kubelet" }),
    config,
  });
  log.info({ nodeName, nodeIP }, "Starting the node agent");
  await notifyReady(runner, process.env);
  const memory = programMemory(log);
  await Promise.all([
    kubelet.run(signal),
    kubeletApi.maintain(signal),
    memory === undefined ? undefined : collectAtRest(memory, clock, signal),
    runNetwork({ flags, client: proxyApi.client, nodeName, nodeIP, clock, random, runner, log }, signal),
  ]);
  kubeletApi.close();
  proxyApi.close();
}

const PROGRAM: ProgramDescription<typeof nodeFlags> = {
  name: "kubits-node",
  summary: "Kubits' node agent: kubelet, service proxy, pod network and cluster DNS.",
  commands: {
    run: {
      summary: "Runs the node agent.",
      async run({ flags, log, signal }) {
        if (flags.cleanup) await cleanupModes({ runner: new SpawnRunner(), clock: new RealClock(), log }, signal);
        else await runNode(flags, log, signal);
      },
    },
    join: {
      summary: "Prepares this machine to join a cluster (--token, --discovery-token-ca-cert-hash).",
      arguments: ["<host:port>"],
      async run({ flags, args: [endpoint = ""], log, signal }) {
        await join({ flags, endpoint, clock: new RealClock(), log, signal });
      },
    },
    reset: {
      summary: "Removes all pods and every mount, interface and rule that the node agent made.",
      async run({ flags, log, signal }) {
        const { reset } = await import("./reset.ts");
        await reset(kubeletConfig(flags, ""), flags, log, signal);
      },
    },
  },
  flags: nodeFlags,
  defaultConfigFile: "/etc/kubits/node.yaml",
  fileAsFlags,
};

/** The program: parses, starts, runs until told to stop. Containers go on when it ends. Answers the exit code. */
export function run(argv: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  return runProgram(PROGRAM, argv, env, signal);
}
