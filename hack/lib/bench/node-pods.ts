/** Pods of a measurement: made through the API as anybody would, watched until they are Ready, and removed. */
import { setTimeout as delay } from "node:timers/promises";
import { deployments, pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import type { Runtime } from "#pkg/kubelet/index.ts";

export const IMAGE = "registry.k8s.io/pause:3.10";
const NAMESPACE = "default";
const LIMIT_MS = 300_000;

export interface PodTimes {
  /** Seconds from the first request until the last pod was Ready. */
  readonly ready: number;
  /** Seconds from the last pod's binding until it was Running. */
  readonly bindToRunning: number;
}

const spec = { terminationGracePeriodSeconds: 0, containers: [{ name: "c", image: IMAGE }] };
const isReady = ({ status }: Pod) =>
  status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") === true;

export class BenchPods {
  readonly #client: Client;
  readonly #runtime: Runtime;
  constructor(client: Client, runtime: Runtime) {
    this.#client = client;
    this.#runtime = runtime;
  }

  /** One pod, from its creation. */
  single(name: string): Promise<PodTimes> {
    return this.#timed(1, () => this.#client.create(pods, { metadata: { name, namespace: NAMESPACE }, spec }));
  }

  /** So many pods of one Deployment. */
  deployment(name: string, replicas: number): Promise<PodTimes> {
    const labels = { app: name };
    const template = { metadata: { labels }, spec };
    const draft = {
      metadata: { name, namespace: NAMESPACE },
      spec: { replicas, selector: { matchLabels: labels }, template },
    };
    return this.#timed(replicas, () => this.#client.create(deployments, draft));
  }

  async #timed(count: number, create: () => Promise<unknown>): Promise<PodTimes> {
    const { metadata } = await this.#client.list(pods, { namespace: NAMESPACE, limit: 1 });
    const { resourceVersion } = metadata;
    const watch = this.#client.watch(pods, {
      namespace: NAMESPACE,
      resourceVersion,
      signal: AbortSignal.timeout(LIMIT_MS),
    });
    const bound = new Map<string, number>();
    const running = new Map<string, number>();
    const ready = new Set<string>();
    const begun = performance.now();
    const created = create();
    for await (const { type, object } of watch) {
      if (type === "DELETED" || type === "BOOKMARK") continue;
      const { uid } = object.metadata;
      const now = performance.now();
      if (object.spec.nodeName !== undefined && !bound.has(uid)) bound.set(uid, now);
      if (object.status?.phase === "Running" && !running.has(uid)) running.set(uid, now);
      if (isReady(object)) ready.add(uid);
      if (ready.size === count) break;
    }
    const seconds = (performance.now() - begun) / 1000;
    await created;
    const waits = [...running].map(([uid, at]) => (at - bound.get(uid)!) / 1000);
    return { ready: seconds, bindToRunning: Math.max(...waits) };
  }

  /** Deletes all; answers the seconds until neither the API nor the runtime has anything of them. */
  async remove(): Promise<number> {
    const begun = performance.now();
    await this.#client.deleteCollection(deployments, NAMESPACE, { propagationPolicy: "Background" });
    await this.#client.deleteCollection(pods, NAMESPACE, { gracePeriodSeconds: 0 });
    while (await this.#left()) {
      if (performance.now() - begun > LIMIT_MS) throw new Error("pods of the measurement are still there");
      await delay(50);
    }
    return (performance.now() - begun) / 1000;
  }

  async #left(): Promise<boolean> {
    if ((await this.#client.list(pods, { namespace: NAMESPACE, limit: 1 })).items.length > 0) return true;
    return (await this.#runtime.listSandboxes()).some(({ metadata }) => metadata.namespace === NAMESPACE);
  }
}
