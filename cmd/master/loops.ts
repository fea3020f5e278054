import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { createControllers } from "#pkg/controllers/index.ts";
import {
  type Client,
  type Controller,
  type InformerPool,
  LeaderElector,
  createInformerPool,
  createSeriesRecorder,
} from "#pkg/client/index.ts";
import type { ControllerOptions } from "#pkg/controllers/index.ts";
import { DnsServiceController } from "#pkg/dns/index.ts";
import { createScheduler, parseSchedulerConfiguration } from "#pkg/scheduler/index.ts";
import type { Explanation } from "#pkg/scheduler/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import { userAgentOf } from "../common/program.ts";
import type { LoopsMetrics } from "./loops-metrics.ts";
import { SCHEDULER_LEASE, SERVED_CA, SERVED_URL, type ServedAt } from "./explain.ts";
import { type SchedulerSettings, loadPlugins } from "./scheduler-config.ts";

/** What the control loops need to know; plain data, so that it can cross to a worker thread. */
export interface LoopsConfig {
  readonly scheduler: boolean;
  readonly controllers: boolean;
  /** --controllers. */
  readonly selection: readonly string[];
  readonly leaderElect: boolean;
  readonly controllerOptions: Partial<ControllerOptions>;
  readonly schedulerSettings: SchedulerSettings;
  /** Address of the kube-dns Service; "" when cluster DNS is somebody else's. */
  readonly clusterDnsAddress: string;
}

const SCHEDULER = "system:kube-scheduler";
const CONTROLLERS = "system:kube-controller-manager";

/** How a loop that acts as this user names itself to the API server. */
export function loopsUserAgent(user: string): string {
  return userAgentOf(user === SCHEDULER ? "kube-scheduler" : "kube-controller-manager");
}

export interface LoopsDeps {
  readonly config: LoopsConfig;
  /** A client that acts as this user: "system:kube-scheduler", "system:kube-controller-manager" or a service account. */
  clientAs(user: string): Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: LoopsMetrics;
  /** Told of the scheduler while it runs here, undefined when it has stopped. */
  readonly onScheduler?: (scheduler: RunningScheduler | undefined) => void;
  /** Where the scheduler of this process can be asked, when it has a server of its own. */
  readonly schedulerServedAt?: ServedAt;
}

/** What others in this process ask of the scheduler. */
export interface RunningScheduler {
  explain(key: string): Explanation | undefined;
  metrics(): Promise<string>;
}

const SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:kube-system:";

/**
 * Shorter than upstream's 15 and 10 seconds, in the same proportion, so that the loops of the next leader, which have to
 * fill their caches first, are at work within 15 seconds of the death of the last one.
 */
const LEADER_TIMES = { leaseDurationMs: 12_000, renewDeadlineMs: 8_000, retryPeriodMs: 2_000 };

/** Runs `lead` while holding the Lease, again and again until the signal aborts; at once when there is no election. */
async function elected(
  deps: LoopsDeps,
  name: string,
  client: Client,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
  annotations?: Readonly<Record<string, string | undefined>>,
): Promise<void> {
  if (!deps.config.leaderElect) return lead(signal);
  const identity = `${hostname()}_${randomUUID()}`;
  const { clock, random, log, metrics } = deps;
  metrics.leads(name, false);
  while (!signal.aborted) {
    const elector = new LeaderElector({
      client,
      lease: { namespace: "kube-system", name },
      identity,
      clock,
      random,
      log,
      ...(annotations === undefined ? {} : { annotations }),
      ...LEADER_TIMES,
    });
    await elector.run(signal, async (leading) => {
      metrics.leads(name, true);
      await lead(leading).finally(() => metrics.leads(name, false));
    });
  }
}

async function runAll(controllers: readonly Controller[], log: Logger, signal: AbortSignal): Promise<void> {
  await Promise.all(
    controllers.map(async (controller) => {
      try {
        await controller.run(signal);
      } catch (err) {
        // One loop that cannot go on must not take the others with it; its absence shows in the log and in metrics.
        if (!signal.aborted) log.error({ controller: controller.name, err }, "Controller ended unexpectedly");
      }
    }),
  );
}

async function runControllers(deps: LoopsDeps, pool: InformerPool, signal: AbortSignal): Promise<void> {
  const { config, clock, random, log } = deps;
  const client = deps.clientAs(CONTROLLERS);
  await elected(deps, "kube-controller-manager", client, signal, async (leading) => {
    const informers = pool.factory();
    const controllers = createControllers({
      clientFor: (account) => (account === "" ? client : deps.clientAs(`${SERVICE_ACCOUNT_PREFIX}${account}`)),
      informers,
      clock,
      random,
      log,
      controllers: config.selection,
      options: config.controllerOptions,
      queues: deps.metrics.queues,
    });
    if (config.clusterDnsAddress !== "") {
      const dnsClient = deps.clientAs(`${SERVICE_ACCOUNT_PREFIX}cluster-dns`);
      controllers.push(
        new DnsServiceController({ client: dnsClient, informers, clock, log, clusterIP: config.clusterDnsAddress }),
      );
    }
    informers.start(leading);
    await runAll(controllers, log, leading);
  });
}

async function runScheduler(deps: LoopsDeps, pool: InformerPool, signal: AbortSignal): Promise<void> {
  const { configuration, pluginModules } = deps.config.schedulerSettings;
  const config = configuration === undefined ? undefined : parseSchedulerConfiguration(configuration);
  const plugins = await loadPlugins(pluginModules);
  const { clock, random, log } = deps;
  const client = deps.clientAs(SCHEDULER);
  const lead = async (leading: AbortSignal) => {
    const informers = pool.factory();
    const recorder = createSeriesRecorder({
      client,
      host: hostname(),
      clock,
      log,
      routine: new Set(["Scheduled"]),
      busy: () => scheduler.busy,
    });
    const scheduler = createScheduler({ client, informers, clock, random, log, recorder, config, plugins });
    informers.start(leading);
    deps.onScheduler?.(scheduler);
    await runAll([scheduler], log, leading);
    deps.onScheduler?.(undefined);
  };
  const { url, ca } = deps.schedulerServedAt ?? {};
  await elected(deps, SCHEDULER_LEASE.name, client, signal, lead, { [SERVED_URL]: url, [SERVED_CA]: ca });
}

/** Runs the scheduler and the controllers until the signal aborts. */
export async function runLoops(deps: LoopsDeps, signal: AbortSignal): Promise<void> {
  const { config } = deps;
  // Both follow pods, nodes and volumes: where they lead in one process, each event is read and kept once, in the name of
  // the one who may see everything.
  const pool = createInformerPool({ ...deps, client: deps.clientAs(config.controllers ? CONTROLLERS : SCHEDULER) });
  await Promise.all([
    config.controllers ? runControllers(deps, pool, signal) : undefined,
    config.scheduler ? runScheduler(deps, pool, signal) : undefined,
  ]);
}
