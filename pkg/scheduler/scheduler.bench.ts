/**
 * Pods per second of the scheduling cycle alone: no API server, bindings succeed at once.
 * Usage: hack/node pkg/scheduler/scheduler.bench.ts [nodes] [pods]
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

function measure(kind: "plain" | "spread", nodeCount: number, podCount: number): void {
  const { cache, search, profile } = offlineScheduler({ clock, random: new SeededRandom(1) });
  for (let i = 0; i < nodeCount; i++) {
    const labels = { "topology.kubernetes.io/zone": `z${i % ZONES}` };
    cache.setNode(stored(nodeDraft(`n${i}`, { labels, allocatable: { cpu: "16", memory: "64Gi" } })));
  }
  const pods = podsOf(kind, podCount);
  const start = clock.monotonic();
  let placed = 0;
  const never = new AbortController().signal;
  for (const pod of pods) {
    const info = new PodInfo(pod);
    const result = search.search(profile, info, new CycleState(), never);
    if (result instanceof Promise || !("found" in result)) continue;
    cache.assume(info, result.found.name);
    placed++;
  }
  const seconds = (clock.monotonic() - start) / 1000;
  console.log(
    `${kind}: ${nodeCount} nodes, ${placed}/${podCount} pods placed, ${Math.round(podCount / seconds)} pods/s`,
  );
}

const [nodes, pods] = process.argv.slice(2).map(Number);
const sizes =
  nodes === undefined
    ? [
        [1000, 2000],
        [5000, 2000],
        [15000, 2000],
      ]
    : [[nodes, pods ?? 2000]];
for (const [nodeCount, podCount] of sizes) {
  for (const kind of ["plain", "spread"] as const) measure(kind, nodeCount!, podCount!);
}
