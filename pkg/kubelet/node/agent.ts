/** Registers the node, keeps its Lease fresh and its status true. */
import type { Node, NodeStatus } from "#pkg/api/types/core-v1.ts";
import type { Lease } from "#pkg/api/types/coordination-v1.ts";
import { cSINodes, leases, nodes } from "#pkg/api/refs.ts";
import { ignoreNotFound, deepEqual, isAlreadyExists, isConflict, isNotFound } from "#pkg/apimachinery/index.ts";
import type { Client, Draft } from "#pkg/client/index.ts";
import { formatMicroTime, pause } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";
import { nodeLabels } from "./status.ts";

const LEASE_NAMESPACE = "kube-node-lease";
const RETRY_MS = 1000;
const MAX_RETRY_MS = 10_000;

/** What reporting about the node needs. */
export interface NodeAgentDeps {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config: KubeletConfig;
  readonly nodeName: string;
  readonly hostname: string;
  readonly architecture: string;
  /** The node as the watch last showed it. */
  readonly node: () => Node | undefined;
  readonly computeStatus: (node: Node | undefined, signal: AbortSignal) => Promise<NodeStatus>;
  readonly onRegistered: (node: Node) => void;
  /** Told when the node is known to the API, once. */
  readonly onStart: () => void;
  /** Told of each condition at first and when it changes; of Ready only when it is not what the API knew before. */
  readonly onCondition: (type: string, status: string) => void;
  /** Told when the machine was started anew since the status was last written. */
  readonly onReboot: (bootID: string) => void;
}

/** Heartbeats alone do not make a status worth writing. */
function withoutHeartbeats(status: NodeStatus | undefined): unknown {
  return JSON.parse(
    JSON.stringify({
      ...status,
      conditions: status?.conditions?.map(({ lastHeartbeatTime: _heartbeat, ...rest }) => rest),
    }),
  );
}

function ownerOf({ metadata: { name, uid } }: Node) {
  return { apiVersion: "v1", kind: "Node", name, uid };
}

export class NodeAgent {
  readonly #deps: NodeAgentDeps;
  #lease: Lease | undefined;
  #lastWrite = -Infinity;
  #wake: (() => void) | undefined;
  readonly #conditions = new Map<string, string>();

  constructor(deps: NodeAgentDeps) {
    this.#deps = deps;
  }

  /** Makes the status be looked at now: something that matters changed. */
  wake(): void {
    this.#wake?.();
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#deps.config.registerNode)
      await this.#retry("Registering the node failed", signal, () => this.#register(signal));
    if (signal.aborted) return;
    this.#deps.onStart();
    await Promise.all([this.#statusLoop(signal), this.#leaseLoop(signal)]);
  }

  async #retry(message: string, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
    for (let delayMs = RETRY_MS; !signal.aborted; delayMs = Math.min(delayMs * 2, MAX_RETRY_MS)) {
      try {
        await work();
        return;
      } catch (err) {
        if (signal.aborted) return;
        this.#deps.log.warn({ err }, message);
      }
      await pause(this.#deps.clock, delayMs, signal);
    }
  }

  async #register(signal: AbortSignal): Promise<void> {
    const node = await this.#registered(signal);
    this.#deps.onRegistered(node);
    await this.#showDrivers(node, signal);
  }

  /** Every node has a CSINode, where registrars of CSI drivers, and whoever looks for volume limits, expect it. */
  async #showDrivers(node: Node, signal: AbortSignal): Promise<void> {
    const { client } = this.#deps;
    const key = { namespace: "", name: node.metadata.name };
    const metadata = { name: key.name, ownerReferences: [ownerOf(node)] };
    try {
      await client.create(
        cSINodes,
        { apiVersion: "storage.k8s.io/v1", kind: "CSINode", metadata, spec: { drivers: [] } },
        { signal },
      );
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
      // One that an earlier node of this name has left would go after it.
      const { ownerReferences } = metadata;
      await client.patch(cSINodes, key, "merge", { metadata: { ownerReferences } }, { signal });
    }
  }

  async #registered(signal: AbortSignal): Promise<Node> {
    const { client, nodeName, config, hostname, architecture, log } = this.#deps;
    const labels = nodeLabels(config, hostname, architecture);
    const status = await this.#deps.computeStatus(undefined, signal);
    const draft: Draft<Node> = {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: nodeName,
        labels,
        annotations: { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
      },
      spec: {
        ...(config.providerID === "" ? {} : { providerID: config.providerID }),
        ...(config.registerWithTaints.length === 0
          ? {}
          : { taints: config.registerWithTaints.map((taint) => ({ ...taint })) }),
      },
      status,
    };
    try {
      const created = await client.create(nodes, draft, { signal });
      log.info({ node: nodeName }, "Registered the node");
      return created;
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    const existing = await client.get(nodes, { namespace: "", name: nodeName }, { signal });
    const missing = Object.entries(labels).filter(([key, value]) => existing.metadata.labels?.[key] !== value);
    log.info({ node: nodeName }, "The node was already registered");
    if (missing.length === 0) return existing;
    return client.patch(
      nodes,
      { namespace: "", name: nodeName },
      "merge",
      { metadata: { labels: Object.fromEntries(missing) } },
      { signal },
    );
  }

  async #statusLoop(signal: AbortSignal): Promise<void> {
    const { clock, config, log } = this.#deps;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#updateStatus(signal);
        failures = 0;
      } catch (err) {
        if (signal.aborted) return;
        failures++;
        log.warn({ err }, "Updating the node's status failed");
        // The node is gone from the API (deleted by hand): register it again, as a restart would.
        if (isNotFound(err) && config.registerNode)
          await this.#retry("Registering the node failed", signal, () => this.#register(signal));
      }
      if (signal.aborted) return;
      const delayMs = failures > 0 && failures < 5 ? RETRY_MS : config.nodeStatusUpdateFrequencySeconds * 1000;
      await new Promise<void>((resolve) => {
        const done = () => {
          cancel();
          signal.removeEventListener("abort", done);
          this.#wake = undefined;
          resolve();
        };
        const cancel = clock.schedule(delayMs, done);
        this.#wake = done;
        signal.addEventListener("abort", done, { once: true });
      });
    }
  }

  async #updateStatus(signal: AbortSignal): Promise<void> {
    const { client, clock, config, nodeName } = this.#deps;
    const key = { namespace: "", name: nodeName };
    const node = this.#deps.node() ?? (await client.get(nodes, key, { signal }));
    const status = await this.#deps.computeStatus(node, signal);
    const merged: NodeStatus = { ...node.status, ...status, conditions: mergeConditions(node.status, status) };
    const changed = !deepEqual(withoutHeartbeats(merged), withoutHeartbeats(node.status));
    const due = clock.monotonic() - this.#lastWrite >= config.nodeStatusReportFrequencySeconds * 1000;
    if (changed || due) {
      try {
        await client.updateStatus(nodes, { ...node, status: merged }, { signal });
      } catch (error) {
        if (!isConflict(error)) throw error;
        // The watch is behind: base the same status on what the server has now.
        const current = await client.get(nodes, key, { signal });
        const again = await this.#deps.computeStatus(current, signal);
        await client.updateStatus(
          nodes,
          { ...current, status: { ...current.status, ...again, conditions: mergeConditions(current.status, again) } },
          { signal },
        );
      }
      this.#lastWrite = clock.monotonic();
      const [before, bootID] = [node.status?.nodeInfo?.bootID ?? "", status.nodeInfo?.bootID ?? ""];
      if (before !== "" && bootID !== before) this.#deps.onReboot(bootID);
    }
    for (const { type, status: now } of status.conditions ?? []) {
      const known = node.status?.conditions?.find((condition) => condition.type === type)?.status ?? now;
      const before = this.#conditions.get(type) ?? (type === "Ready" ? known : undefined);
      this.#conditions.set(type, now);
      if (before !== now) this.#deps.onCondition(type, now);
    }
  }

  async #leaseLoop(signal: AbortSignal): Promise<void> {
    const { clock, config, log } = this.#deps;
    const periodMs = (config.nodeLeaseDurationSeconds * 1000) / 4;
    while (!signal.aborted) {
      let delayMs = periodMs;
      try {
        await this.#renewLease(signal);
      } catch (err) {
        if (signal.aborted) return;
        this.#lease = undefined;
        delayMs = RETRY_MS;
        log.warn({ err }, "Renewing the node's lease failed");
      }
      await pause(clock, delayMs, signal);
    }
  }

  async #renewLease(signal: AbortSignal): Promise<void> {
    const { client, clock, config, nodeName } = this.#deps;
    const key = { namespace: LEASE_NAMESPACE, name: nodeName };
    const spec = {
      holderIdentity: nodeName,
      leaseDurationSeconds: config.nodeLeaseDurationSeconds,
      renewTime: formatMicroTime(clock.now()),
    };
    const node = this.#deps.node();
    const owner = node === undefined ? {} : { ownerReferences: [ownerOf(node)] };
    const held = this.#lease ?? (await ignoreNotFound(client.get(leases, key, { signal })));
    if (held === undefined) {
      const metadata = { ...key, ...owner };
      const draft = { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec } as const;
      this.#lease = await client.create(leases, draft, { signal });
      return;
    }
    const next = { ...held, metadata: { ...held.metadata, ...owner }, spec: { ...held.spec, ...spec } };
    this.#lease = await client.update(leases, next, { signal });
  }
}

/** Conditions of others (NetworkUnavailable, problem detectors) stay. */
function mergeConditions(old: NodeStatus | undefined, own: NodeStatus): NodeStatus["conditions"] {
  const ours = own.conditions ?? [];
  const others = (old?.conditions ?? []).filter(({ type }) => ours.every((condition) => condition.type !== type));
  return [...others, ...ours];
}
