/**
 * What the scheduling cycle alone costs: no API server, bindings succeed at once.
 * Usage: hack/bench scheduler [nodes] [pods]
 */
import { RealClock, SeededRandom } from "#pkg/util/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { PodInfo } from "./cache/pod-info.ts";
import { CycleState } from "./framework/types.ts";
import { nodeDraft, podDraft } from "./testing/cluster.ts";
import { offlineScheduler } from "./testing/offline.ts";
import { stored } from "./testing/offline.ts";

const clock = new RealClock();
const ZONES = 3;

function podsOf(kind: "plain" | "spread", count: number): Pod[] {
  return Array.from({ length: count }, (_, i) => {
    const labels = { group: `g${Math.floor(i / 100)}` };
    const labelSelector = { matchLabels: labels };
    const spec =
      kind === "plain"
        ? {}
        : {
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: "topology.kubernetes.io/zone",
                whenUnsatisfiable: "DoNotSchedule",
                labelSelector,
              },
            ],
            affinity: {
              podAntiAffinity: {
                requiredDuringSchedulingIgnoredDuringExecution: [
                  { topologyKey: "kubernetes.io/hostname", labelSelector },
                ],
              },
            },
          };
    return stored(podDraft(`p${i}`, spec, { labels, cpu: "100m" })) as Pod;
  });
}

/** Microseconds of CPU per pod; waiting for others on a busy machine does not count. */
function measure(kind: "plain" | "spread", nodeCount: number, podCount: number): number {
  const { cache, search, profile } = offlineScheduler({ clock, random: new SeededRandom(1) });
  for (let i = 0; i < nodeCount; i++) {
    const labels = { "topology.kubernetes.io/zone": `z${i % ZONES}` };
    cache.setNode(stored(nodeDraft(`n${i}`, { labels, allocatable: { cpu: "16", memory: "64Gi" } })));
  }
  const pods = podsOf(kind, podCount);
  const before = process.cpuUsage();
  const never = new AbortController().signal;
  for (const pod of pods) {
    const info = new PodInfo(pod);
    const result = search.search(profile, info, new CycleState(), never);
    if (result instanceof Promise || !("found" in result)) throw new Error(`${info.key} fits nowhere`);
    cache.assume(info, result.found.name);
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / podCount;
}

const [nodes, pods = 2000] = process.argv.slice(2).map(Number);
const sizes = nodes === undefined ? [1000, 5000, 15_000] : [nodes];
for (const kind of ["plain", "spread"] as const) {
  measure(kind, 1000, pods); // compiles
  let first: { readonly size: number; readonly cost: number } | undefined;
  for (const size of sizes) {
    const cost = measure(kind, size, pods);
    first ??= { size, cost };
    const growth = `${(size / first.size).toFixed(0)} x the nodes, ${(cost / first.cost).toFixed(1)} x the cost`;
    console.log(
      `${kind.padEnd(8)}${String(size).padStart(6)} nodes${cost.toFixed(0).padStart(8)} us CPU per pod${(1e6 / cost).toFixed(0).padStart(8)} pods/s per core   ${growth}`,
    );
  }
}
