import { type FlagValues, UsageError } from "#pkg/config/index.ts";
import { startCompactor } from "#pkg/storage/index.ts";
import { type Client, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { type Clock, type Logger, RealClock, SecureRandom, SpawnRunner, pause } from "#pkg/util/index.ts";
import { defaultAddress } from "../common/address.ts";
import { notifyReady } from "../common/notify.ts";
import { type ProgramDescription, runProgram } from "../common/program.ts";
import { aborted } from "../common/signals.ts";
import { applyAddons } from "./addons.ts";
import { buildApiServer } from "./apiserver.ts";
import { type ServedAt, explainScheduling, serveExplanations } from "./explain.ts";
import { masterFlags } from "./flags.ts";
import { makeJoinCommand } from "./join-command.ts";
import type { LoopsConfig, RunningScheduler } from "./loops.ts";
import { LoopsMetrics } from "./loops-metrics.ts";
import { createProcessMetrics } from "./metrics.ts";
import { type LoopsThread, startLoopsThread } from "./loops-thread.ts";
import { ensurePki, firstServiceAddress, writeUserKubeconfig } from "./pki.ts";
import { fileAsFlags, readSchedulerSettings } from "./scheduler-config.ts";
import { gatesOf } from "./security.ts";
import { openStore } from "./store.ts";
import { existsSync } from "node:fs";
import type { ClusterPki } from "#pkg/pki/index.ts";

type Flags = FlagValues<typeof masterFlags>;

const LOOPS_GRACE_MS = 5000;

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

/** Controllers that a feature gate switches on. */
const GATED_CONTROLLERS = [
  // Whoever holds groups of pods by a finalizer has to let them go.
  ["GenericWorkload", "podgroup-protection-controller"],
  ["StorageVersionMigrator", "storage-version-migrator-controller"],
] as const;

async function loopsConfig(flags: Flags, pki: ClusterPki | undefined): Promise<LoopsConfig> {
  const [range = "10.96.0.0/16"] = flags["service-cluster-ip-range"];
  return {
    scheduler: flags.components.includes("scheduler"),
    controllers: flags.components.includes("controllers"),
    selection: [
      ...flags.controllers,
      ...GATED_CONTROLLERS.flatMap(([gate, name]) => (gatesOf(flags)[gate] ? [name] : [])),
    ],
    leaderElect: flags["leader-elect"],
    schedulerSettings: await readSchedulerSettings(flags["scheduler-config"], flags["scheduler-plugins"]),
    clusterDnsAddress: flags.addons.includes("cluster-dns")
      ? firstServiceAddress(range).replace(/\d+$/, (last) => String(Number(last) + 9))
      : "",
    controllerOptions: {
      clusterCidrs: flags["cluster-cidr"],
      serviceCidrs: flags["service-cluster-ip-range"],
      nodeCidrMaskSizeIpv4: flags["node-cidr-mask-size"],
      terminatedPodGcThreshold: flags["terminated-pod-gc-threshold"],
      ...(pki === undefined
        ? {}
        : { rootCa: pki.ca.cert, signingCa: pki.ca, serviceAccountPrivateKey: pki.serviceAccount.key }),
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

/** Everything that was started is stopped in reverse, also when a later step fails. */
async function runWithApiServer(flags: Flags, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  const runner = new SpawnRunner();
  const address = flags["advertise-address"] === "" ? await defaultAddress(runner) : flags["advertise-address"];
  if (address === "") throw new UsageError("this machine has no address besides loopback; give --advertise-address");
  const pki = await ensurePki({
    dir: flags["cert-dir"],
    advertiseAddress: address,
    serviceRanges: flags["service-cluster-ip-range"],
    extraSans: flags["apiserver-cert-extra-sans"],
    now: clock.now(),
  });
  await using cleanup = new AsyncDisposableStack();
  const storeFailed = Promise.withResolvers<never>();
  storeFailed.promise.catch(() => undefined); // heard below, once everything runs
  const store = await openStore(flags, clock, log, storeFailed.reject);
  cleanup.defer(() => store.close());
  cleanup.defer(startCompactor({ store, clock, log }));
  const background = new AbortController();
  const endBackground = (): void => background.abort(new Error("kubits-master is shutting down"));
  cleanup.defer(endBackground); // also when the server cannot be built
  const random = new SecureRandom();
  const config = await loopsConfig(flags, pki);
  let loops: LoopsThread | undefined;
  const probe = (enabled: boolean) => () => (enabled && loops?.running === true ? undefined : "not running here");
  const componentProbes = new Map([
    ["scheduler", probe(config.scheduler)],
    ["controller-manager", probe(config.controllers)],
  ]);
  const apiServer = await buildApiServer({
    flags,
    store,
    pki,
    clock,
    random,
    log,
    address,
    signal: background.signal,
    cleanup,
    componentProbes,
    ownPaths: [serveExplanations(() => loops)],
    loopsMetrics: () => loops?.metrics() ?? Promise.resolve(""),
  });
  cleanup.defer(() => apiServer.close());
  cleanup.defer(endBackground);
  await apiServer.ready;
  await apiServer.listen({
    host: flags["bind-address"],
    port: flags["secure-port"],
    tls: { cert: pki.apiserver.cert, key: pki.apiserver.key, clientCa: [pki.ca.cert, pki.frontProxyCa.cert] },
  });
  const server = serverUrl(address, flags["secure-port"]);
  await applyAddons(apiServer.handler, flags.addons, { server, ca: pki.ca.cert }, clock);
  await writeAdminKubeconfig(flags, server, clock);
  log.info({ address, port: flags["secure-port"] }, "API server is ready");
  await notifyReady(runner, process.env);

  if (!config.scheduler && !config.controllers) {
    await Promise.race([aborted(signal), storeFailed.promise]);
  } else {
    const input = { config, host: new URL(server).host, verbosity: flags.v, format: flags["logging-format"] };
    loops = startLoopsThread(apiServer.handler, input, log);
    try {
      await Promise.race([aborted(signal), loops.ended, storeFailed.promise]);
    } finally {
      await endLoops(loops, clock);
    }
  }
  log.info({}, "Shutting down");
}

/** Leases are given back first; a loop that does not end must not keep the process. */
async function endLoops(loops: LoopsThread, clock: Clock): Promise<void> {
  loops.stop();
  const grace = new AbortController();
  const ended = loops.ended.catch(() => undefined); // whoever waits for the thread hears of its crash
  await Promise.race([ended, pause(clock, LOOPS_GRACE_MS, grace.signal)]);
  grace.abort(); // the timer would keep the process alive
  await loops.terminate();
}

function serverUrl(address: string, port: number): string {
  return `https://${address.includes(":") ? `[${address}]` : address}:${port}`;
}

async function writeAdminKubeconfig(flags: Flags, server: string, clock: Clock): Promise<void> {
  const out = flags["admin-kubeconfig"];
  if (out === "" || existsSync(out)) return;
  await writeUserKubeconfig({
    certDir: flags["cert-dir"],
    server,
    user: "kubernetes-admin",
    groups: ["system:masters"],
    out,
    now: clock.now(),
  });
}

async function runLoopsAlone(flags: Flags, clock: Clock, log: Logger, signal: AbortSignal): Promise<void> {
  if (flags.kubeconfig === "")
    throw new UsageError("without the apiserver component --kubeconfig must name an API server");
  // Loaded only here: next to an API server the loops live in a thread of their own.
  const { loopsUserAgent, runLoops } = await import("./loops.ts");
  const connection = await loadKubeconfig(flags.kubeconfig);
  const transport = http2Transport({ ...connection, clock });
  const metrics = new LoopsMetrics(new URL(connection.server).host);
  const observed = metrics.observed(transport, clock);
  try {
    const clientAs = (user: string) => createClient(observed, { userAgent: loopsUserAgent(user), clock });
    const config = await loopsConfig(flags, undefined);
    let scheduler: RunningScheduler | undefined;
    const schedulerServedAt =
      config.scheduler && flags["scheduler-secure-port"] !== 0
        ? await serveSchedulerAlone(flags, clientAs("system:kube-scheduler"), config, () => scheduler, {
            clock,
            log,
            metrics,
            signal,
          })
        : undefined;
    const onScheduler = (running: RunningScheduler | undefined) => (scheduler = running);
    const deps = { config, clientAs, clock, random: new SecureRandom(), log, metrics, onScheduler };
    await runLoops(schedulerServedAt === undefined ? deps : { ...deps, schedulerServedAt }, signal);
  } finally {
    transport.close();
  }
}

async function serveSchedulerAlone(
  flags: Flags,
  client: Client,
  { schedulerSettings: { configuration } }: LoopsConfig,
  scheduler: () => RunningScheduler | undefined,
  { clock, log, metrics, signal }: { clock: Clock; log: Logger; metrics: LoopsMetrics; signal: AbortSignal },
): Promise<ServedAt> {
  const { serveScheduler } = await import("./scheduler-server.ts");
  const { DEFAULT_CONFIGURATION, describeConfiguration, parseSchedulerConfiguration } =
    await import("#pkg/scheduler/index.ts");
  const parsed = configuration === undefined ? DEFAULT_CONFIGURATION : parseSchedulerConfiguration(configuration);
  const own = flags["advertise-address"] === "" ? await defaultAddress(new SpawnRunner()) : flags["advertise-address"];
  const processMetrics = createProcessMetrics();
  const served = await serveScheduler(
    {
      client,
      clock,
      log,
      host: flags["bind-address"],
      port: flags["scheduler-secure-port"],
      address: own === "" ? "127.0.0.1" : own,
      scheduler,
      metrics: async () => {
        const texts = [scheduler()?.metrics() ?? "", metrics.text(), processMetrics()];
        return (await Promise.all(texts)).join("");
      },
      configuration: describeConfiguration(parsed),
    },
    signal,
  );
  log.info({ url: served.url }, "The scheduler can be asked");
  return served;
}

const PROGRAM: ProgramDescription<typeof masterFlags> = {
  name: "kubits-master",
  summary: "Kubits' control plane: API server, scheduler and controllers.",
  commands: {
    run: {
      summary: "Runs the control plane.",
      run: ({ flags, log, signal }) => runMaster(flags, log, signal),
    },
    kubeconfig: {
      summary: "Issues a client certificate and writes it as a kubeconfig (--user, --groups, --server, --out).",
      run: ({ flags }) => issueKubeconfig(flags),
    },
    "join-command": {
      summary: "Makes a bootstrap token (--token-ttl) and prints the command that joins a node with it.",
      async run({ flags }) {
        const request = { kubeconfig: flags["admin-kubeconfig"], ttlMs: flags["token-ttl"], clock: new RealClock() };
        console.log(await makeJoinCommand(request));
      },
    },
    "explain-scheduling": {
      summary: "Shows why a pod is where it is, or nowhere: each node's verdicts and scores.",
      arguments: ["<namespace>/<pod>"],
      async run({ flags, args: [pod = ""] }) {
        const kubeconfig = flags.kubeconfig === "" ? flags["admin-kubeconfig"] : flags.kubeconfig;
        console.log(await explainScheduling(kubeconfig, pod));
      },
    },
  },
  flags: masterFlags,
  defaultConfigFile: "/etc/kubits/master.yaml",
  fileAsFlags,
};

/** The program: parses, starts in order, stops in reverse. Answers the exit code. */
export function run(argv: readonly string[], env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<number> {
  return runProgram(PROGRAM, argv, env, signal);
}
