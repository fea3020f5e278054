import { setTimeout as delay } from "node:timers/promises";
import { nodes, pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { BenchServer } from "./server.ts";

const NAMESPACE = "default";
const ZONES = 10;
const PACED_PER_SECOND = 100;
const PACED_PODS = 500;
const MAX_WAIT_MS = 120_000;
/** Nothing of this image is ever run: the nodes are names only. */
const IMAGE = "registry.k8s.io/pause:3.10";

async function addNodes({ client }: BenchServer, count: number): Promise<void> {
  const resources = { cpu: "32", memory: "128Gi", pods: "110" };
  const time = new Date().toISOString();
  const ready = { type: "Ready", status: "True", lastHeartbeatTime: time, lastTransitionTime: time };
  for (let i = 0; i < count; i++) {
    const name = `node-${i}`;
    const labels = { "kubernetes.io/hostname": name, "topology.kubernetes.io/zone": `zone-${i % ZONES}` };
    await client.create(nodes, { metadata: { name, labels }, spec: {} });
    const status = { capacity: resources, allocatable: resources, conditions: [ready] };
    await client.patch(nodes, { namespace: "", name }, "merge", { status }, { subresource: "status" });
    // New nodes are tainted as not ready.
    await client.patch(nodes, { namespace: "", name }, "merge", { spec: { taints: null } });
  }
}

function podOf(name: string, group: string, isSpread: boolean): Draft<Pod> {
  const labelSelector = { matchLabels: { group } };
  const constraint = { maxSkew: 1, whenUnsatisfiable: "DoNotSchedule", labelSelector };
  const apart = [{ topologyKey: "kubernetes.io/hostname", labelSelector }];
  const spec = isSpread
    ? {
        topologySpreadConstraints: [{ ...constraint, topologyKey: "topology.kubernetes.io/zone" }],
        affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: apart } },
      }
    : {};
  const resources = { requests: { cpu: "10m", memory: "16Mi" } };
  return {
    metadata: { name, namespace: NAMESPACE, labels: { group } },
    spec: { terminationGracePeriodSeconds: 0, containers: [{ name: "main", image: IMAGE, resources }], ...spec },
  };
}

interface Run {
  readonly title: string;
  readonly count: number;
  readonly isSpread: boolean;
  /** Pods per second; undefined: as fast as 32 at a time go. */
  readonly pace?: number;
}

/** Creates pods and follows them by a watch until each is on a node. */
async function bindPods(server: BenchServer, { title, count, isSpread, pace }: Run): Promise<void> {
  const { client } = server;
  const createdAt = new Map<string, number>();
  const latencies: number[] = [];
  const abort = new AbortController();
  const { metadata } = await client.list(pods, { namespace: NAMESPACE, limit: 1 });
  const options = { namespace: NAMESPACE, resourceVersion: metadata.resourceVersion, signal: abort.signal };
  const watching = (async () => {
    for await (const { type, object } of client.watch(pods, options)) {
      if (type !== "MODIFIED" || object.spec.nodeName === undefined) continue;
      const created = createdAt.get(object.metadata.name);
      if (created === undefined) continue;
      createdAt.delete(object.metadata.name);
      latencies.push(performance.now() - created);
      if (latencies.length === count) return;
    }
  })();
  const cpu = server.cpuSeconds();
  const begun = performance.now();
  const create = async (index: number) => {
    const name = `${title.replaceAll(/\W/g, "")}-${index}`;
    createdAt.set(name, performance.now());
    await client.create(pods, podOf(name, `group-${Math.floor(index / 100)}`, isSpread));
  };
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const index = next++;
      if (pace !== undefined) await delay(Math.max(0, begun + (index * 1000) / pace - performance.now()));
      await create(index);
    }
  };
  await Promise.all(Array.from({ length: 32 }, worker));
  const deadline = AbortSignal.timeout(MAX_WAIT_MS);
  deadline.addEventListener("abort", () => abort.abort(new Error(`${count - latencies.length} pods were not bound`)));
  await watching;
  abort.abort(new Error("done"));
  const seconds = (performance.now() - begun) / 1000;
  const perPod = ((server.cpuSeconds() - cpu) / count) * 1e6;
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) => latencies[Math.floor((latencies.length - 1) * q)]!.toFixed(0);
  console.log(
    `${title.padEnd(34)}${(count / seconds).toFixed(0).padStart(8)}/s${perPod.toFixed(0).padStart(9)} us CPU   create to bound: p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms`,
  );
  await client.deleteCollection(pods, NAMESPACE, { gracePeriodSeconds: 0 });
}

/** Create to bound through the whole master, on nodes that are names only. */
export async function schedulingPhases(server: BenchServer, nodeCount: number, podCount: number): Promise<void> {
  await addNodes(server, nodeCount);
  await bindPods(server, { title: "bind, warm-up", count: 200, isSpread: false });
  await bindPods(server, { title: "bind", count: podCount, isSpread: false });
  await bindPods(server, { title: "bind, spread and apart", count: podCount, isSpread: true });
  const paced = { count: PACED_PODS, isSpread: false, pace: PACED_PER_SECOND };
  await bindPods(server, { title: `bind, ${PACED_PER_SECOND} pods/s`, ...paced });
}
