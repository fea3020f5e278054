import { endpointSlices, nodes, services } from "#pkg/api/refs.ts";
import type { Node } from "#pkg/api/types/core-v1.ts";
import { keyOf } from "#pkg/apimachinery/index.ts";
import type { InformerFactory } from "#pkg/client/index.ts";
import { type Clock, type CommandRunner, type Logger, sleep } from "#pkg/util/index.ts";
import { deleteStaleFlows } from "./conntrack.ts";
import { ServiceTracker } from "./model/tracker.ts";
import type { Family } from "./model/types.ts";
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
  /** How often the rules are checked for interference by others. Default 3000. */
  readonly checkMs?: number;
}

const RETRY_MS = 1000;

/** Keeps the kernel's rules equal to Services and EndpointSlices: one loop per address family. */
export class ServiceProxy {
  readonly #deps: ServiceProxyDeps;
  readonly #trackers = new Map<Family, ServiceTracker>();
  readonly #waiting = new Set<() => void>();
  #lastSync = 0;

  constructor(deps: ServiceProxyDeps) {
    this.#deps = deps;
    for (const family of deps.proxiers.keys()) {
      this.#trackers.set(family, new ServiceTracker(family, { nodeName: deps.nodeName, zone: "" }));
    }
  }

  /** Epoch milliseconds of the last successful sync, 0 before the first: what /healthz reports. */
  get lastSync(): number {
    return this.#lastSync;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { informers, nodeName } = this.#deps;
    const trackers = [...this.#trackers.values()];
    const changed = (change: (tracker: ServiceTracker) => void) => {
      for (const tracker of trackers) change(tracker);
      for (const wake of this.#waiting) wake();
    };
    const serviceInformer = informers.informer(services);
    serviceInformer.addHandler({
      onAdd: (service) => changed((tracker) => tracker.setService(service)),
      onUpdate: (service) => changed((tracker) => tracker.setService(service)),
      onDelete: (service) => changed((tracker) => tracker.deleteService(keyOf(service))),
    });
    const sliceInformer = informers.informer(endpointSlices);
    sliceInformer.addHandler({
      onAdd: (slice) => changed((tracker) => tracker.setSlice(slice)),
      onUpdate: (slice) => changed((tracker) => tracker.setSlice(slice)),
      onDelete: (slice) => changed((tracker) => tracker.deleteSlice(slice)),
    });
    const nodeInformer = informers.informer(nodes, { fieldSelector: `metadata.name=${nodeName}` });
    const onNode = (node: Node) => {
      const zone = node.metadata.labels?.["topology.kubernetes.io/zone"] ?? "";
      changed((tracker) => tracker.setNode({ nodeName, zone }));
    };
    nodeInformer.addHandler({ onAdd: onNode, onUpdate: onNode });
    informers.start(signal);
    // Rules written from half the picture would cut off services that work, so everything must be known first.
    await Promise.all([serviceInformer.synced(signal), sliceInformer.synced(signal)]);
    await Promise.all([...this.#deps.proxiers].map(([family, proxier]) => this.#loop(family, proxier, signal)));
  }

  async #loop(family: Family, proxier: Proxier, signal: AbortSignal): Promise<void> {
    const { clock, runner, log, batchMs = 50, checkMs = 3000 } = this.#deps;
    const tracker = this.#trackers.get(family)!;
    let full = true;
    while (!signal.aborted) {
      try {
        if (!full && !tracker.pending) full = !(await this.#idle(checkMs, signal)) && !(await proxier.intact(signal));
        if (!full && !tracker.pending) continue;
        await sleep(clock, batchMs, signal);
        const change = tracker.takeChanges();
        const rewrite = full;
        full = true; // until this sync has succeeded, nothing is known about the kernel
        await proxier.sync(tracker.all(), rewrite ? undefined : change, signal);
        full = false;
        this.#lastSync = clock.now();
        log.debug(
          { family, changed: change.changed.size, removed: change.removed.size, full: rewrite },
          "Synced service rules",
        );
        await deleteStaleFlows(change.staleUdp, runner, log, signal);
      } catch (err) {
        if (signal.aborted) return;
        log.error({ family, err }, "Could not sync service rules; trying again");
        await sleep(clock, RETRY_MS, signal).catch(() => undefined);
      }
    }
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
