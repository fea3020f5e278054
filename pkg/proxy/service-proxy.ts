/**
 * Follows Services and EndpointSlices, and has the mode's proxier bring the kernel to what they say: whole at first,
 * then by what changed, and compared with what is really there from time to time.
 */
import type { Server } from "node:http";
import { endpointSlices, nodes, services } from "#pkg/api/refs.ts";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { keyOf } from "#pkg/apimachinery/index.ts";
import type { InformerFactory } from "#pkg/client/index.ts";
import { type Clock, type CommandRunner, type Logger, sleep, pause } from "#pkg/util/index.ts";
import { deleteStaleFlows } from "./conntrack.ts";
import {
  ProxyHealth,
  type ServiceHealth,
  ServiceHealthServers,
  close,
  healthServer,
  listen,
  metricsServer,
} from "./health.ts";
import { ProxyMetrics } from "./metrics.ts";
import { ServiceTracker } from "./model/tracker.ts";
import type { Family, ModelChange, StaleFlow } from "./model/types.ts";
import type { Proxier } from "./proxier.ts";

export interface ServiceProxyDeps {
  readonly informers: InformerFactory;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly runner: CommandRunner;
  readonly log: Logger;
  /** One per address family that the node has. */
  readonly proxiers: ReadonlyMap<Family, Proxier>;
  /** Changes within this many milliseconds share a transaction. Default 50. */
  readonly batchMs?: number;
  /** How often the rules are checked for interference by others. Default 10,000. */
  readonly checkMs?: number;
  /** Address and port of /healthz and /livez; undefined: none. */
  readonly healthz?: ListenAddress;
  /** Address and port of /metrics; undefined: none. */
  readonly metrics?: ListenAddress;
}
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

const RETRY_MS = 1000;
/** A full comparison may take this share of one core's time: it is repeated after so many times its own duration. */
const VERIFY_PAUSE = 20;
/** After so many repairs in a row somebody is fighting us, and all services should not be written every few seconds. */
const MAX_REPAIRS = 5;
const REPAIR_REST_MS = 60_000;
const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";
const SCALE_DOWN_TAINT = "ToBeDeletedByClusterAutoscaler";
const ZONE_LABEL = "topology.kubernetes.io/zone";

/** Keeps the kernel's rules equal to Services and EndpointSlices: one loop per address family. */
export class ServiceProxy {
  readonly #deps: ServiceProxyDeps;
  readonly #trackers = new Map<Family, ServiceTracker>();
  readonly #waiting = new Set<() => void>();
  readonly #metrics = new ProxyMetrics();
  readonly #health: ProxyHealth;
  readonly #serviceHealth: ServiceHealthServers;
  /** Per family: service → what its health check node port answers. */
  readonly #healthPorts = new Map<Family, Map<string, ServiceHealth>>();
  /** Connection tracking entries to delete once the rules that made them stale are in the kernel. */
  readonly #staleFlows = new Map<Family, StaleFlow[]>();
  /** Trigger times (epoch milliseconds) of slices whose change is not in the kernel yet. */
  readonly #triggers = new Map<Family, number[]>();

  constructor(deps: ServiceProxyDeps) {
    this.#deps = deps;
    const families = [...deps.proxiers.keys()];
    for (const family of families) {
      this.#trackers.set(family, new ServiceTracker(family, { nodeName: deps.nodeName, zone: "" }));
      this.#healthPorts.set(family, new Map());
      this.#triggers.set(family, []);
      this.#staleFlows.set(family, []);
    }
    this.#health = new ProxyHealth(deps.clock, families);
    this.#serviceHealth = new ServiceHealthServers(this.#health, deps.log);
  }

  /** Runs until the signal aborts. The rules stay: traffic must not stop because the proxy restarts. */
  async run(signal: AbortSignal): Promise<void> {
    const ended = await this.#startServers();
    try {
      const synced = this.#watch(signal);
      // Rules written from half the picture would cut off services that work, so everything must be known first.
      await synced;
      await Promise.all([...this.#deps.proxiers].map(([family, proxier]) => this.#loop(family, proxier, signal)));
    } finally {
      await ended();
      await this.#serviceHealth.close();
      for (const proxier of this.#deps.proxiers.values()) await proxier.close?.();
    }
  }

  async #startServers(): Promise<() => Promise<void>> {
    const { healthz, metrics, clock, log, proxiers } = this.#deps;
    const mode = proxiers.values().next().value?.mode ?? "";
    const deps = { health: this.#health, metrics: this.#metrics, clock, mode };
    const servers: Server[] = [];
    for (const [at, server] of [
      [healthz, healthServer(deps)],
      [metrics, metricsServer(deps)],
    ] as const) {
      if (at === undefined) continue;
      try {
        await listen(server, at.port, at.address);
        servers.push(server);
      } catch (err) {
        // Traffic matters more than being asked about it: services work without these ports.
        log.error({ ...at, err }, "Could not open a port of the service proxy");
      }
    }
    return async () => {
      await Promise.all(servers.map(close));
    };
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { informers, nodeName } = this.#deps;
    const changed = (change: (tracker: ServiceTracker) => void) => {
      for (const [family, tracker] of this.#trackers) {
        change(tracker);
        if (tracker.pending) {
          this.#health.queued(family);
          this.#metrics.lastQueued.set({ ip_family: family }, this.#deps.clock.now() / 1000);
        }
      }
      for (const wake of this.#waiting) wake();
    };
    const serviceInformer = informers.informer(services);
    serviceInformer.addHandler({
      onAdd: (service) => changed((tracker) => tracker.setService(service)),
      onUpdate: (service) => changed((tracker) => tracker.setService(service)),
      onDelete: (service) => changed((tracker) => tracker.deleteService(keyOf(service))),
    });
    const sliceInformer = informers.informer(endpointSlices);
    const onSlice = (slice: EndpointSlice) => {
      this.#noteTrigger(slice);
      changed((tracker) => tracker.setSlice(slice));
    };
    sliceInformer.addHandler({
      onAdd: onSlice,
      onUpdate: (slice, old) => {
        // A slice whose label now names another service leaves the first one.
        changed((tracker) => tracker.deleteSlice(old));
        onSlice(slice);
      },
      onDelete: (slice) => changed((tracker) => tracker.deleteSlice(slice)),
    });
    const nodeInformer = informers.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` });
    const onNode = (node: Node) => {
      const { labels = {}, deletionTimestamp } = node.metadata;
      this.#health.nodeEligible =
        deletionTimestamp === undefined && !(node.spec.taints ?? []).some(({ key }) => key === SCALE_DOWN_TAINT);
      changed((tracker) => tracker.setNode({ nodeName, zone: labels[ZONE_LABEL] ?? "" }));
    };
    nodeInformer.addHandler({
      onAdd: onNode,
      onUpdate: onNode,
      onDelete: () => {
        this.#health.nodeEligible = false;
      },
    });
    informers.start(signal);
    await Promise.all([serviceInformer.synced(signal), sliceInformer.synced(signal)]);
  }

  #noteTrigger({ metadata, addressType }: EndpointSlice): void {
    const text = metadata.annotations?.[TRIGGER_TIME];
    const triggers = this.#triggers.get(addressType as Family);
    // Only what happens while we run says how fast we are; the bound holds when nothing can be written for long.
    if (text === undefined || triggers === undefined || triggers.length >= 1000) return;
    triggers.push(new Date(text).getTime());
  }

  async #loop(family: Family, proxier: Proxier, signal: AbortSignal): Promise<void> {
    const { clock, log, batchMs = 50, checkMs = 10_000 } = this.#deps;
    const tracker = this.#trackers.get(family)!;
    let full = true;
    let verifyAt = 0;
    let repairs = 0;
    const labels = { ip_family: family };
    while (!signal.aborted) {
      try {
        if (!full && !tracker.pending && !(await this.#idle(checkMs, signal))) {
          const started = clock.monotonic();
          const deep = started >= verifyAt;
          full = !(await (deep ? proxier.verify(signal) : proxier.intact(signal)));
          repairs = full ? repairs + 1 : 0;
          const rest = repairs > MAX_REPAIRS ? REPAIR_REST_MS : 0;
          if (deep) verifyAt = clock.monotonic() + (clock.monotonic() - started) * VERIFY_PAUSE + rest;
          if (full) {
            this.#metrics.repairs.inc(labels);
            log.warn({ family }, "Somebody else changed the service rules; writing them again");
          }
        }
        if (!full && !tracker.pending) continue;
        await sleep(clock, batchMs, signal);
        const rewrite = full;
        full = true; // until this sync has succeeded, nothing is known about the kernel
        await this.#sync(family, proxier, rewrite, signal);
        full = false;
      } catch (err) {
        if (signal.aborted) return;
        this.#metrics.failures.inc(labels);
        log.error({ family, err }, "Could not sync service rules; trying again");
        await pause(clock, RETRY_MS, signal);
      }
    }
  }

  async #sync(family: Family, proxier: Proxier, full: boolean, signal: AbortSignal): Promise<void> {
    const { clock, runner, log } = this.#deps;
    const tracker = this.#trackers.get(family)!;
    const started = clock.monotonic();
    const change = tracker.takeChanges();
    const stale = this.#staleFlows.get(family)!;
    stale.push(...change.staleUdp);
    await this.#updateHealthPorts(family, change);
    const stats = await proxier.sync(() => tracker.all(), full ? undefined : change, signal);
    const seconds = (clock.monotonic() - started) / 1000;
    const labels = { ip_family: family };
    this.#metrics.synced(family, full, seconds, clock.now() / 1000);
    this.#metrics.rules.set(labels, stats.rules);
    this.#metrics.bytes.inc(labels, stats.bytes);
    this.#metrics.serviceChanges.inc(labels, change.changed.size + change.removed.size);
    for (const trigger of this.#triggers.get(family)!.splice(0)) {
      this.#metrics.endpointChanges.inc(labels);
      this.#metrics.programmingSeconds.observe(labels, Math.max(0, clock.now() - trigger) / 1000);
    }
    if (!tracker.pending) this.#health.updated(family);
    log.debug(
      { family, full, bytes: stats.bytes, changed: change.changed.size, removed: change.removed.size, seconds },
      "Synced service rules",
    );
    const deleted = await deleteStaleFlows(stale.splice(0), runner, log, signal);
    this.#metrics.conntrackDeleted.inc(labels, deleted);
  }

  async #updateHealthPorts(family: Family, { changed, removed }: ModelChange): Promise<void> {
    const states = this.#healthPorts.get(family)!;
    for (const { namespace, name } of removed.values()) states.delete(`${namespace}/${name}`);
    for (const { namespace, name, healthCheckNodePort, readyLocalEndpoints } of changed.values()) {
      const key = `${namespace}/${name}`;
      if (healthCheckNodePort === 0) states.delete(key);
      else states.set(key, { namespace, name, port: healthCheckNodePort, localEndpoints: readyLocalEndpoints });
    }
    await this.#serviceHealth.sync([...this.#healthPorts.values()].flatMap((entries) => [...entries.values()]));
  }

  /** Waits for a change or for `ms`; true when a change came. */
  #idle(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        cancel();
        this.#waiting.delete(onChange);
        signal.removeEventListener("abort", onAbort);
      };
      const onChange = () => {
        leave();
        resolve(true);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const cancel = this.#deps.clock.schedule(ms, () => {
        leave();
        resolve(false);
      });
      this.#waiting.add(onChange);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }
}
