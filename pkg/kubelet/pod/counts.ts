/** How many pods and volumes there are, as metrics tell them apart. Pure. */
import type { Volume } from "#pkg/api/types/core-v1.ts";
import type { PodCounts } from "../metrics.ts";
import type { PodWorker } from "./worker.ts";

const PLUGINS: Readonly<Partial<Record<keyof Volume, string>>> = {
  emptyDir: "empty-dir",
  hostPath: "host-path",
  configMap: "configmap",
  secret: "secret",
  downwardAPI: "downward-api",
  projected: "projected",
  nfs: "nfs",
  persistentVolumeClaim: "persistent-claim",
  ephemeral: "persistent-claim",
};
const LIFECYCLES = { syncing: "sync", terminating: "terminating", terminated: "terminated", finished: "finished" };

/** undefined for what is none of the kubelet's own, as images. */
function pluginOf(volume: Volume): string | undefined {
  const source = Object.keys(PLUGINS).find((key) => volume[key as keyof Volume] !== undefined);
  return source === undefined ? undefined : `kubernetes.io/${PLUGINS[source as keyof Volume]}`;
}

function tally<T>(items: Iterable<T>): ReadonlyMap<T, number> {
  const counts = new Map<T, number>();
  for (const item of items) counts.set(item, (counts.get(item) ?? 0) + 1);
  return counts;
}

type Counted = Pick<PodWorker, "uid" | "pod" | "state" | "active" | "removed" | "volumesReady">;

/** Counts a node's pods by what is wanted, what runs, and where they come from. */
export function countPods(workers: readonly Counted[], isStatic: (uid: string) => boolean): PodCounts {
  const originOf = ({ uid }: Counted) => (isStatic(uid) ? "true" : "");
  const wanted = workers.filter(({ removed }) => !removed);
  const volumes = (of: readonly Counted[]) =>
    tally(of.flatMap(({ pod }) => (pod.spec.volumes ?? []).map(pluginOf)).filter((name) => name !== undefined));
  const active = workers.filter((worker) => worker.active);
  return {
    desired: tally(wanted.map(originOf)),
    active: tally(active.map(originOf)),
    mirrors: wanted.filter(({ uid }) => isStatic(uid)).length,
    working: tally(
      workers.map((worker) => {
        const config = worker.removed ? "orphan" : "desired";
        return `${config}/${LIFECYCLES[worker.state]}/${originOf(worker)}`;
      }),
    ),
    desiredVolumes: volumes(active),
    actualVolumes: volumes(workers.filter(({ volumesReady }) => volumesReady)),
  };
}
