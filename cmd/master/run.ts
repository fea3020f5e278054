import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { startCompactor } from "#pkg/storage/index.ts";
import { createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { type Clock, type Logger, RealClock, SecureRandom, SpawnRunner } from "#pkg/util/index.ts";
import { defaultAddress } from "../common/address.ts";
import { createLogger } from "../common/logging.ts";
import { VERSION, parseProgram } from "../common/program.ts";
import { aborted } from "../common/signals.ts";
import { buildApiServer } from "./apiserver.ts";
import { masterFlags } from "./flags.ts";
import type { LoopsConfig } from "./loops.ts";
import { startLoopsThread } from "./loops-thread.ts";
import { ensurePki, firstServiceAddress, writeUserKubeconfig } from "./pki.ts";
import { openStore } from "./store.ts";
import { existsSync } from "node:fs";
import type { ClusterPki } from "#pkg/pki/index.ts";

type Flags = FlagValues<typeof masterFlags>;

const PROGRAM = {
  name: "kubits-master",
  summary: "Kubits' control plane: API server, scheduler and controllers.",
  commands: {
    run: "Runs the control plane (the default).",
    kubeconfig: "Issues a client certificate and writes it as a kubeconfig (--user, --groups, --server, --out).",
  },
  flags: masterFlags,
  defaultConfigFile: "/etc/kubits/master.yaml",
} as const;

/** The program: parses, starts in order, stops in reverse. Answers the exit code. */
export async function run(argv: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  const outcome = parseProgram(PROGRAM, argv, env);
  if (outcome.kind === "exit") return outcome.code;
  const flags = outcome.flags.values;
  const log = createLogger({ component: PROGRAM.name, verbosity: flags.v, format: flags["logging-format"] });
  try {
    if (outcome.command === "kubeconfig") await issueKubeconfig(flags);
    else await runMaster(flags, log, signal);
    return 0;
  } catch (err) {
    if (err instanceof UsageError) {
      console.error(`${PROGRAM.name}: ${err.message}`);
      return 2;
    }
    log.error({ err }, "kubits-master stops");
    return 1;
  }
}

async function issueKubeconfig(flags: Flags): Promise<void> {
  for (const name of ["user", "server", "out"] as const) {
    if (flags[name] === "") throw new UsageError(`kubeconfig needs --${name}`);
  }
  await writeUserKubeconfig({
    certDir: flags["cert-dir"],
    server: flags.server,
    user: flags.user,
    groups: flags.groups,
    out: flags.out,
    now: new RealClock().now(),
  });
}

function loopsConfig(flags: Flags, pki: ClusterPki | undefined): LoopsConfig {
  const [range = "10.96.0.0/16"] = flags["service-cluster-ip-range"];
  return {
    scheduler: flags.components.includes("scheduler"),
    controllers: flags.components.includes("controllers"),
    selection: flags.controllers,
    leaderElect: flags["leader-elect"],
    clusterDnsAddress: firstServiceAddress(range).replace(/\d+$/, (last) => String(Number(last) + 9)),
    controllerOptions: {
      clusterCidrs: flags["cluster-cidr"],
      serviceCidrs: flags["service-cluster-ip-range"],
      nodeCidrMaskSizeIpv4: flags["node-cidr-mask-size"],
      ...(pki === undefined ? {} : { rootCa: pki.ca.cert, signingCa: pki.ca }),
    },
  };
}

async function runMaster(flags: Flags, log: Logger, signal: AbortSignal): Promise<void> {
  const unknown = flags.components.filter((name) => !["apiserver", "scheduler", "controllers"].includes(name));
  if (unknown.length > 0) throw new UsageError(`--components: there is no component called ${unknown[0]}`);
  const clock = new RealClock();
  if (flags.components.includes("apiserver")) await runWithApiServer(flags, clock, log, signal);
  else await runLoopsAlone(flags, clock, log, signal);
}

async function runWithApiServer(flags: Flags, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  const address =
    flags["advertise-address"] === "" ? await defaultAddress(new SpawnRunner()) : flags["advertise-address"];
  if (address === "") throw new UsageError("this machine has no address besides loopback; give --advertise-address");
  const pki = await ensurePki({
    dir: flags["cert-dir"],
    advertiseAddress: address,
    serviceRanges: flags["service-cluster-ip-range"],
    extraSans: flags["apiserver-cert-extra-sans"],
    now: clock.now(),
  });
  const store = await openStore(flags, clock, log);
  const stopCompactor = startCompactor({ store, clock, log });
  const apiServer = await buildApiServer({ flags, store, pki, clock, random: new SecureRandom(), log, signal });
  await apiServer.ready;
  const port = flags["secure-port"];
  await apiServer.listen({
    host: flags["bind-address"],
    port,
    tls: { cert: pki.apiserver.cert, key: pki.apiserver.key, clientCa: [pki.ca.cert, pki.frontProxyCa.cert] },
  });
  const adminConf = flags["admin-kubeconfig"];
  if (adminConf !== "" && !existsSync(adminConf)) {
    await writeUserKubeconfig({
      certDir: flags["cert-dir"],
      server: `https://${address.includes(":") ? `[${address}]` : address}:${port}`,
      user: "kubernetes-admin",
      groups: ["system:masters"],
      out: adminConf,
      now: clock.now(),
    });
  }
  log.info({ address, port }, "API server is ready");

  const config = loopsConfig(flags, pki);
  const input = { config, verbosity: flags.v, format: flags["logging-format"] };
  const loops = config.scheduler || config.controllers ? startLoopsThread(apiServer.handler, input, log) : undefined;
  await Promise.race([aborted(signal), ...(loops === undefined ? [] : [loops.ended])]);
  log.info({}, "Shutting down");
  loops?.stop();
  // Leases are given back and running requests end; what hangs is cut off by the server's own grace period.
  await Promise.race([loops?.ended, new Promise<void>((resolve) => clock.schedule(5000, resolve))]);
  await apiServer.close();
  stopCompactor();
  await store.close();
}

async function runLoopsAlone(flags: Flags, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  if (flags.kubeconfig === "")
    throw new UsageError("without the apiserver component --kubeconfig must name an API server");
  // Loaded only here: next to an API server the loops live in a thread of their own.
  const { runLoops } = await import("./loops.ts");
  const transport = http2Transport({ ...(await loadKubeconfig(flags.kubeconfig)), clock });
  const client = createClient(transport, { userAgent: `kubits-master/${VERSION}`, clock });
  await runLoops(
    { config: loopsConfig(flags, undefined), clientAs: () => client, clock, random: new SecureRandom(), log },
    signal,
  );
  transport.close();
}
