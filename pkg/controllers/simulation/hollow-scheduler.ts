import { keyOf } from "#pkg/apimachinery/index.ts";
import type { Client, InformerFactory } from "#pkg/client/index.ts";
import { nodes, pods } from "#pkg/api/refs.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import type { Clock, Random } from "#pkg/util/index.ts";

/** Binds every pod to some node it tolerates: enough of a scheduler for testing controllers fast. */
export function startHollowScheduler(
  { client, informers, clock, random }: { client: Client; informers: InformerFactory; clock: Clock; random: Random },
  signal: AbortSignal,
): void {
  const { lister } = informers.informer(pods);
  const nodeLister = informers.informer(nodes).lister;
  const pending = new Set<string>();
  const attempt = async (pod: Pod) => {
    const current = lister.get(keyOf(pod));
    if (current === undefined || current.metadata.uid !== pod.metadata.uid || !isPending(current)) return;
    const candidates = nodeLister.list().filter((node) => fits(current, node));
    const node = candidates[random.int(Math.max(1, candidates.length))];
    if (node === undefined) throw new Error("no node fits");
    const target = { apiVersion: "v1", kind: "Node", name: node.metadata.name };
    const binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: pod.metadata.name, uid: pod.metadata.uid },
      target,
    };
    await client.createSubresource(pods, keyOf(pod), "binding", binding, { signal });
  };
  const add = (pod: Pod) => {
    const { uid } = pod.metadata;
    if (!isPending(pod) || pending.has(uid)) return;
    pending.add(uid);
    const run = (delayMs: number) => {
      clock.schedule(delayMs, () => {
        if (signal.aborted) return;
        attempt(pod).then(
          () => pending.delete(uid),
          () => run(1000),
        );
      });
    };
    run(1 + random.int(200));
  };
  informers.informer(pods).addHandler({ onAdd: add, onUpdate: add });
}

function isPending({ metadata, spec, status }: Pod): boolean {
  if ((spec.schedulingGates ?? []).length > 0) return false;
  return (spec.nodeName ?? "") === "" && metadata.deletionTimestamp === undefined && status?.phase !== "Failed";
}

function fits(pod: Pod, node: Node): boolean {
  if (
    node.spec.unschedulable === true &&
    !(pod.spec.tolerations ?? []).some(({ key }) => key === "node.kubernetes.io/unschedulable")
  )
    return false;
  const tolerated = (node.spec.taints ?? []).every(
    (taint) =>
      taint.effect === "PreferNoSchedule" ||
      (pod.spec.tolerations ?? []).some(
        ({ key, effect }) =>
          (key === undefined || key === taint.key) && (effect === undefined || effect === taint.effect),
      ),
  );
  if (!tolerated) return false;
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  if (terms === undefined) return true;
  return terms.some((term) =>
    (term.matchFields ?? []).every(({ values }) => values?.includes(node.metadata.name) === true),
  );
}
