/** Tells kubelets by an annotation how long they may cache secrets and config maps: the longer, the larger the cluster. */
import { ignoreNotFound, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { nodes } from "#pkg/api/refs.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";

const ANNOTATION = "node.alpha.kubernetes.io/ttl";
/** Bounds overlap, so that a cluster at a bound does not flap. */
const BOUNDS: readonly { readonly min: number; readonly max: number; readonly ttl: number }[] = [
  { min: 0, max: 100, ttl: 0 },
  { min: 90, max: 500, ttl: 15 },
  { min: 450, max: 1000, ttl: 30 },
  { min: 900, max: 2000, ttl: 60 },
  { min: 1800, max: 10_000, ttl: 300 },
  { min: 9000, max: Infinity, ttl: 600 },
];

/** Seconds for a cluster of `size` nodes that had the bound `step` before. */
export function nextStep(step: number, size: number): number {
  let next = step;
  while (next < BOUNDS.length - 1 && size > BOUNDS[next]!.max) next++;
  while (next > 0 && size < BOUNDS[next]!.min) next--;
  return next;
}

/** ttl-controller. */
export function createTtlController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const informer = informers.of(nodes);
  let step = 0;
  const resized = () => {
    const next = nextStep(step, informer.lister.list().length);
    if (next === step) return;
    step = next;
    for (const node of informer.lister.list()) queue.add(node.metadata.name);
  };
  return createLoop(env, {
    workers: 2,
    queue,
    sources: [
      watching(informer, {
        onAdd(node) {
          resized();
          queue.add(node.metadata.name);
        },
        onUpdate: (node) => {
          if (node.metadata.annotations?.[ANNOTATION] !== String(BOUNDS[step]!.ttl)) queue.add(node.metadata.name);
        },
        onDelete: resized,
      }),
    ],
    reconcile: (key, context) => reconcile(env, key, String(BOUNDS[step]!.ttl), context),
  });
}

async function reconcile(
  { client, informers }: ControllerEnv,
  key: ObjectKey,
  ttl: string,
  { signal }: ReconcileContext,
): Promise<Result> {
  const node = informers.of(nodes).lister.get(key);
  if (node === undefined || node.metadata.annotations?.[ANNOTATION] === ttl) return DONE;
  await ignoreNotFound(
    client.patch(nodes, key, "merge", { metadata: { annotations: { [ANNOTATION]: ttl } } }, { signal }),
  );
  return DONE;
}
