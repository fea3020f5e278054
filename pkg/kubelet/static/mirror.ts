/** Keeps one mirror pod in the API for each static pod, so that `kubectl get pods` shows it. */
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { pods } from "#pkg/api/refs.ts";
import { ignoreAlreadyExists, ignoreNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Client, Draft } from "#pkg/client/index.ts";

const HASH = "kubernetes.io/config.hash";
const MIRROR = "kubernetes.io/config.mirror";

function mirrorDraft(pod: Pod, node: Node): Draft<Pod> {
  const hash = pod.metadata.annotations?.[HASH] ?? "";
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: pod.metadata.name,
      namespace: pod.metadata.namespace,
      labels: pod.metadata.labels,
      annotations: { ...pod.metadata.annotations, [MIRROR]: hash },
      ownerReferences: [
        { apiVersion: "v1", kind: "Node", name: node.metadata.name, uid: node.metadata.uid, controller: true },
      ],
    },
    spec: pod.spec,
  };
}

/** Whether this mirror still stands for that static pod. */
export function mirrors(mirror: Pod, pod: Pod): boolean {
  return (
    mirror.metadata.deletionTimestamp === undefined &&
    mirror.metadata.annotations?.[MIRROR] === pod.metadata.annotations?.[HASH]
  );
}

/** Makes the API show what runs: creates missing mirrors, replaces stale ones, deletes those of nothing. */
export async function reconcileMirrors(
  client: Client,
  node: Node | undefined,
  staticPods: readonly Pod[],
  known: readonly Pod[],
  signal: AbortSignal,
): Promise<void> {
  const byName = new Map(staticPods.map((pod) => [`${pod.metadata.namespace ?? ""}/${pod.metadata.name}`, pod]));
  const current = new Set<string>();
  for (const mirror of known) {
    const name = `${mirror.metadata.namespace ?? ""}/${mirror.metadata.name}`;
    const pod = byName.get(name);
    if (pod !== undefined && mirrors(mirror, pod)) {
      current.add(name);
      continue;
    }
    await ignoreNotFound(
      client.delete(pods, keyOf(mirror), {
        gracePeriodSeconds: 0,
        preconditions: { uid: mirror.metadata.uid },
        signal,
      }),
    );
  }
  if (node === undefined) return;
  for (const [name, pod] of byName) {
    if (current.has(name)) continue;
    // The stale one is still on its way out; the next round finds it gone.
    await ignoreAlreadyExists(client.create(pods, mirrorDraft(pod, node), { signal }));
  }
}
