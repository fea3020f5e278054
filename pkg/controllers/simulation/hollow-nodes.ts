/** Nodes without containers: they register, renew leases, and move pods through their phases after simulated time. */
import { ignoreAlreadyExists, isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Client, InformerFactory } from "#pkg/client/index.ts";
import { leases, nodes, pods } from "#pkg/api/refs.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { type Clock, formatMicroTime, formatTime, type Random } from "#pkg/util/index.ts";

import { isPodReady } from "../common/pods.ts";
import { readyCondition } from "../nodelifecycle/health.ts";

/** Half of what a kubelet does: a lease renewed every 20 s is never close to being missed, and costs half as much. */
const HEARTBEAT_MS = 20_000;

/** Annotation: the pod ends with this exit code after it has run for a while; without it, it runs for ever. */
export const EXIT_CODE = "simulation/exit-code";

export interface HollowDeps {
  readonly client: Client;
  readonly informers: InformerFactory;
  readonly clock: Clock;
  readonly random: Random;
}

export class HollowNodes {
  readonly #deps: HollowDeps;
  readonly #names: string[];
  readonly #down = new Set<string>();
  readonly #timers = new Map<string, () => void>();
  /** How long pods take to start, to stop, to finish (milliseconds, at most). */
  startMs = 2000;
  stopMs = 1000;
  runMs = 5000;

  constructor(deps: HollowDeps, count: number) {
    this.#deps = deps;
    this.#names = Array.from({ length: count }, (_, index) => `node-${index}`);
  }
  get names(): readonly string[] {
    return this.#names;
  }
  isUp(name: string): boolean {
    return this.#names.includes(name) && !this.#down.has(name);
  }

  async start(signal: AbortSignal): Promise<void> {
    for (const name of this.#names) await this.#register(name);
    this.#deps.informers.informer(pods).addHandler({
      onAdd: (pod) => this.#see(pod),
      onUpdate: (pod) => this.#see(pod),
      onDelete: (pod) => this.#forget(pod.metadata.uid),
    });
    const look = (node: Node) => this.#contradict(node);
    this.#deps.informers.informer(nodes).addHandler({ onAdd: look, onUpdate: look });
    this.#heartbeat(signal);
    signal.addEventListener("abort", () => {
      for (const cancel of this.#timers.values()) cancel();
    });
  }
  /** The node falls silent; its pods stay as they are. */
  stop(name: string): void {
    this.#down.add(name);
    for (const pod of this.#podsOf(name)) this.#forget(pod.metadata.uid);
  }
  async restart(name: string): Promise<void> {
    this.#down.delete(name);
    await this.#register(name);
    for (const pod of this.#podsOf(name)) this.#see(pod);
  }

  #podsOf(name: string): Pod[] {
    return this.#deps.informers
      .informer(pods)
      .lister.list()
      .filter(({ spec }) => spec.nodeName === name);
  }

  async #register(name: string): Promise<void> {
    const { client } = this.#deps;
    const metadata = { name, labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } };
    await ignoreAlreadyExists(client.create(nodes, { apiVersion: "v1", kind: "Node", metadata, spec: {} }));
    await this.#report(name);
    await this.#renew(name);
  }

  async #report(name: string): Promise<void> {
    const { client, clock } = this.#deps;
    const time = formatTime(clock.now());
    const condition = (type: string, status: string, reason: string) => ({
      type,
      status,
      reason,
      message: "",
      lastHeartbeatTime: time,
      lastTransitionTime: time,
    });
    const resources = { cpu: "64", memory: "256Gi", pods: "500" };
    const patch = {
      status: {
        capacity: resources,
        allocatable: resources,
        conditions: [
          condition("Ready", "True", "KubeletReady"),
          condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
          condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
          condition("PIDPressure", "False", "KubeletHasSufficientPID"),
        ],
        addresses: [{ type: "InternalIP", address: `10.1.0.${this.#names.indexOf(name) + 1}` }],
      },
    } as unknown as Partial<Node>;
    await client.patch(nodes, { namespace: "", name }, "strategic", patch, { subresource: "status" });
  }

  async #renew(name: string): Promise<void> {
    const { client, clock } = this.#deps;
    const key = { namespace: "kube-node-lease", name };
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: formatMicroTime(clock.now()) };
    try {
      await client.patch(leases, key, "merge", { spec });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await client.create(leases, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata: key, spec });
    }
  }

  #heartbeat(signal: AbortSignal): void {
    const { clock } = this.#deps;
    const beat = () => {
      if (signal.aborted) return;
      for (const name of this.#names) if (!this.#down.has(name)) this.#renew(name).catch(() => undefined); // next beat tries again
      clock.schedule(HEARTBEAT_MS, beat);
    };
    clock.schedule(HEARTBEAT_MS, beat);
  }

  /** A node that is well says so when it was taken to be lost, as a kubelet does with its next status. */
  #contradict(node: Node): void {
    const { name } = node.metadata;
    const ready = readyCondition(node)?.status;
    if (ready !== undefined && ready !== "True" && this.isUp(name))
      this.#later(`${name} report`, HEARTBEAT_MS, () => (this.isUp(name) ? this.#report(name) : Promise.resolve()));
  }

  #see(pod: Pod): void {
    const { nodeName } = pod.spec;
    if (nodeName === undefined || nodeName === "" || !this.isUp(nodeName)) return;
    const { uid, deletionTimestamp } = pod.metadata;
    const phase = pod.status?.phase ?? "Pending";
    const finished = phase === "Succeeded" || phase === "Failed";
    if (deletionTimestamp !== undefined) {
      this.#forget(uid, ["start", "finish"]); // what is being stopped does not end by itself any more
      this.#later(`${uid} stop`, this.stopMs, () => this.#remove(pod));
    } else if (phase === "Pending" || phase === "") this.#later(`${uid} start`, this.startMs, () => this.#run(pod));
    else if (!finished && !isPodReady(pod)) this.#later(`${uid} start`, this.startMs, () => this.#run(pod));
    else if (!finished && pod.metadata.annotations?.[EXIT_CODE] !== undefined)
      this.#later(`${uid} finish`, this.runMs, () => this.#finish(pod));
  }

  #later(id: string, maxMs: number, act: () => Promise<void>): void {
    const { clock, random } = this.#deps;
    if (this.#timers.has(id)) return;
    const attempt = () => {
      this.#timers.delete(id);
      act().catch((error: unknown) => {
        if (!isNotFound(error)) this.#timers.set(id, clock.schedule(500, attempt));
      });
    };
    this.#timers.set(id, clock.schedule(1 + random.int(Math.max(1, maxMs)), attempt));
  }

  #forget(uid: string, steps = ["start", "finish", "stop"]): void {
    for (const step of steps) {
      this.#timers.get(`${uid} ${step}`)?.();
      this.#timers.delete(`${uid} ${step}`);
    }
  }

  async #run(pod: Pod): Promise<void> {
    const { client, clock, random } = this.#deps;
    const time = formatTime(clock.now());
    const condition = (type: string) => ({ type, status: "True", lastTransitionTime: time });
    const ip = `10.2.${random.int(250)}.${1 + random.int(250)}`;
    const status = {
      phase: "Running",
      startTime: time,
      podIP: ip,
      // Whatever address it had: merged with it, there would be two of one family.
      podIPs: [{ $patch: "replace" }, { ip }],
      conditions: [condition("Initialized"), condition("ContainersReady"), condition("Ready")],
      containerStatuses: pod.spec.containers.map(({ name, image }) => ({
        name,
        image: image ?? "",
        imageID: "",
        ready: true,
        restartCount: 0,
        state: { running: { startedAt: time } },
      })),
    };
    await client.patch(
      pods,
      keyOf(pod),
      "strategic",
      { metadata: { uid: pod.metadata.uid }, status },
      { subresource: "status" },
    );
  }

  async #finish(pod: Pod): Promise<void> {
    const { client, clock } = this.#deps;
    const exitCode = Number(pod.metadata.annotations?.[EXIT_CODE]);
    const time = formatTime(clock.now());
    const status = {
      phase: exitCode === 0 ? "Succeeded" : "Failed",
      conditions: [
        {
          type: "Ready",
          status: "False",
          reason: exitCode === 0 ? "PodCompleted" : "PodFailed",
          lastTransitionTime: time,
        },
      ],
      containerStatuses: pod.spec.containers.map(({ name, image }) => ({
        name,
        image: image ?? "",
        imageID: "",
        ready: false,
        restartCount: 0,
        state: { terminated: { exitCode, finishedAt: time, reason: exitCode === 0 ? "Completed" : "Error" } },
      })),
    };
    await client.patch(
      pods,
      keyOf(pod),
      "strategic",
      { metadata: { uid: pod.metadata.uid }, status },
      { subresource: "status" },
    );
  }

  async #remove(pod: Pod): Promise<void> {
    const { client } = this.#deps;
    const { uid } = pod.metadata;
    const fresh = await client.get(pods, keyOf(pod));
    if (fresh.metadata.uid !== uid) return;
    const phase = fresh.status?.phase;
    if (phase !== "Succeeded" && phase !== "Failed")
      await client.patch(
        pods,
        keyOf(pod),
        "strategic",
        { metadata: { uid }, status: { phase: "Failed" } },
        { subresource: "status" },
      );
    await client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions: { uid } });
  }
}
