/**
 * Watches over nodes: marks silent ones Unknown, expresses their conditions as taints, and rations by zone how many nodes
 * are tainted NoExecute at a time, so that a broken network does not empty a whole cluster.
 */
import { ignoreNotFound, isNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { leases, nodes, pods } from "#pkg/api/refs.ts";
import type { Node, Pod, Taint } from "#pkg/api/types/core-v1.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { every } from "../common/periodic.ts";
import { isPodReady } from "../common/pods.ts";
import { POD_NODE_INDEX } from "../common/shared-informers.ts";
import { inParallel } from "../common/slow-start.ts";
import { type NodeHealth, observe, planUnknown, readyCondition } from "./health.ts";
import { hasNoExecute, planTaints, wantedNoExecute } from "./taints.ts";
import { EvictionLimiter, evictionRate, zoneOf, type ZoneState, zoneState } from "./zones.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const OS_LABELS: readonly (readonly [string, string])[] = [
  ["kubernetes.io/os", "beta.kubernetes.io/os"],
  ["kubernetes.io/arch", "beta.kubernetes.io/arch"],
];

/** node-lifecycle-controller. */
export function createNodeLifecycleController(env: ControllerEnv): Controller {
  const { clock, informers, options } = env;
  const queue = createQueue(clock);
  const lifecycle = new NodeLifecycle(env);
  const nodeHandler: EventHandler<Node> = {
    onAdd: (node) => queue.add(node.metadata.name),
    onUpdate: (node) => queue.add(node.metadata.name),
  };
  return createLoop(env, {
    workers: 8,
    queue,
    sources: [
      watching(informers.of(nodes), nodeHandler),
      watching(informers.of(leases)),
      watching(informers.pods(), podHandler(env, lifecycle)),
    ],
    reconcile: (key, context) => lifecycle.reconcile(key, context),
    background: (signal) => every(env, options.nodeMonitorPeriodMs, signal, () => lifecycle.monitor(signal)),
  });
}

/** A pod that reports ready from a node that is gone (its last report was late) is corrected. */
function podHandler({ informers, log }: ControllerEnv, lifecycle: NodeLifecycle): EventHandler<Pod> {
  return {
    onUpdate(pod) {
      if (!isPodReady(pod)) return;
      const node = informers.of(nodes).lister.get({ namespace: "", name: pod.spec.nodeName ?? "" });
      if (node === undefined || readyCondition(node)?.status !== "Unknown") return;
      lifecycle.markNotReady(pod).catch((err: unknown) => log.warn({ err }, "Cannot mark a pod not ready"));
    },
  };
}

class NodeLifecycle {
  readonly #env: ControllerEnv;
  readonly #health = new Map<string, NodeHealth>();
  readonly #limiters = new Map<string, EvictionLimiter>();
  readonly #zoneStates = new Map<string, ZoneState>();
  #known = new Set<string>();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  /** Taints that need no rationing, as soon as the node changes. */
  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers, clock } = this.#env;
    const node = informers.of(nodes).lister.get(key);
    if (node === undefined) return DONE;
    await this.#reconcileLabels(node, signal);
    const wanted = wantedNoExecute(node);
    // A node that is well loses its NoExecute taints at once; a change of reason needs no new ration.
    const replace =
      wanted !== undefined &&
      (hasNoExecute(node, "node.kubernetes.io/not-ready") || hasNoExecute(node, "node.kubernetes.io/unreachable"));
    const ready = readyCondition(node)?.status === "True";
    await this.#setTaints(node, planTaints(node, ready ? "none" : replace ? wanted : "keep", clock.now()), signal);
    return DONE;
  }

  /** One look at all nodes. */
  async monitor(signal: AbortSignal): Promise<void> {
    const { informers, log } = this.#env;
    const all = informers.of(nodes).lister.list();
    this.#registerNodes(all);
    const error = await inParallel(all, async (node) => {
      try {
        await this.#check(node, signal);
      } catch (err) {
        if (!isNotFound(err)) log.warn({ node: node.metadata.name, err }, "Cannot update a node's health");
      }
    });
    if (error !== undefined) throw error;
    await this.#evict(informers.of(nodes).lister.list(), signal);
  }

  #registerNodes(all: readonly Node[]): void {
    const { recorder } = this.#env;
    const names = new Set(all.map(({ metadata }) => metadata.name));
    for (const node of all) {
      const { name } = node.metadata;
      if (this.#known.has(name)) continue;
      recorder.event(node, "Normal", "RegisteredNode", `Node ${name} event: Registered Node ${name} in Controller`);
    }
    for (const name of this.#health.keys()) if (!names.has(name)) this.#health.delete(name);
    this.#known = names;
  }

  async #check(node: Node, signal: AbortSignal): Promise<void> {
    const { clock, client, informers, options, recorder } = this.#env;
    const { name } = node.metadata;
    const lease = informers.of(leases).lister.get({ namespace: LEASE_NAMESPACE, name });
    const before = this.#health.get(name);
    const health = observe(before, node, lease?.spec.renewTime, clock.monotonic());
    this.#health.set(name, health);
    const grace = { monitorMs: options.nodeMonitorGracePeriodMs, startupMs: options.nodeStartupGracePeriodMs };
    const conditions = planUnknown(node, health, grace, { now: clock.now(), monotonic: clock.monotonic() });
    if (conditions !== undefined)
      await client.updateStatus(nodes, { ...node, status: { ...node.status, conditions } }, { signal });
    const nowReady = conditions === undefined ? readyCondition(node)?.status : "Unknown";
    if (nowReady === undefined || nowReady === "True") return;
    if (before?.readyStatus === "True" || conditions !== undefined) {
      recorder.event(node, "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
      await this.#markPodsNotReady(name);
    }
  }

  async #markPodsNotReady(nodeName: string): Promise<void> {
    const { informers } = this.#env;
    const affected = informers.pods().lister.byIndex(POD_NODE_INDEX, nodeName).filter(isPodReady);
    const error = await inParallel(affected, (pod) => this.markNotReady(pod), 10);
    if (error !== undefined) throw error;
  }

  async markNotReady(pod: Pod): Promise<void> {
    const { client, clock, recorder } = this.#env;
    const patch = {
      metadata: { uid: pod.metadata.uid },
      status: { conditions: [{ type: "Ready", status: "False", lastTransitionTime: formatTime(clock.now()) }] },
    };
    const key = { namespace: pod.metadata.namespace ?? "", name: pod.metadata.name };
    try {
      await client.patch(pods, key, "strategic", patch, { subresource: "status" });
      recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready");
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  /** NoExecute taints, as many as the zones' rates allow. */
  async #evict(all: readonly Node[], signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#env;
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    const stopped = this.#judgeZones(all, monotonic);
    for (const node of all) {
      const wanted = wantedNoExecute(node);
      if (wanted === undefined || hasNoExecute(node, wanted)) continue;
      // When no zone has a single ready node, the fault is more likely ours than theirs.
      if (stopped || this.#limiters.get(zoneOf(node))?.tryTake(monotonic) !== true) continue;
      log.info({ node: node.metadata.name, taint: wanted }, "Tainting a node that is not ready");
      await this.#setTaints(node, planTaints(node, wanted, now), signal);
    }
    if (!stopped) return;
    for (const node of all) {
      const taints = planTaints(node, "none", now);
      if (taints !== undefined) await this.#setTaints(node, taints, signal);
    }
  }

  /** True when every zone is fully disrupted. */
  #judgeZones(all: readonly Node[], monotonic: number): boolean {
    const { options, log } = this.#env;
    const zones = new Map<string, { ready: number; notReady: number }>();
    for (const node of all) {
      const zone = zones.get(zoneOf(node)) ?? { ready: 0, notReady: 0 };
      if (readyCondition(node)?.status === "True") zone.ready++;
      else zone.notReady++;
      zones.set(zoneOf(node), zone);
    }
    let stopped = zones.size > 0;
    for (const [zone, { ready, notReady }] of zones) {
      const state = zoneState(ready, notReady, options.unhealthyZoneThreshold);
      if (state !== "FullDisruption") stopped = false;
      if (this.#zoneStates.get(zone) !== state) log.info({ zone, state, ready, notReady }, "Zone changed its state");
      this.#zoneStates.set(zone, state);
      const rate = evictionRate(state, ready + notReady, options);
      const limiter = this.#limiters.get(zone);
      if (limiter === undefined) this.#limiters.set(zone, new EvictionLimiter(rate, monotonic));
      else limiter.setRate(rate, monotonic);
    }
    for (const zone of this.#zoneStates.keys())
      if (!zones.has(zone)) {
        this.#zoneStates.delete(zone);
        this.#limiters.delete(zone);
      }
    return stopped;
  }

  async #setTaints(node: Node, taints: Taint[] | undefined, signal: AbortSignal): Promise<void> {
    if (taints === undefined) return;
    const { name, resourceVersion, uid } = node.metadata;
    const patch = { metadata: { resourceVersion, uid }, spec: { taints: taints.length === 0 ? null : taints } };
    await ignoreNotFound(this.#env.client.patch(nodes, { namespace: "", name }, "merge", patch, { signal }));
  }

  /** The beta labels follow the stable ones. */
  async #reconcileLabels(node: Node, signal: AbortSignal): Promise<void> {
    const labels = node.metadata.labels ?? {};
    const changes: Record<string, string> = {};
    for (const [primary, secondary] of OS_LABELS) {
      const value = labels[primary];
      if (value !== undefined && labels[secondary] !== value) changes[secondary] = value;
    }
    if (Object.keys(changes).length === 0) return;
    await this.#env.client.patch(
      nodes,
      { namespace: "", name: node.metadata.name },
      "merge",
      { metadata: { labels: changes } },
      { signal },
    );
  }
}
