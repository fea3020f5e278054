/**
 * Removes pods that nobody else would: finished ones beyond a number, those of nodes that are no more, and those
 * deleted before they had a node.
 */
import { ignoreNotFound, isNotFound, keyOf } from "#pkg/apimachinery/index.ts";
import type { Controller } from "#pkg/client/index.ts";
import { nodes, pods } from "#pkg/api/refs.ts";
import { formatTime } from "#pkg/util/index.ts";
import type { ControllerEnv } from "../common/env.ts";
import { createLoop, createQueue, watching } from "../common/loop.ts";
import { every } from "../common/periodic.ts";
import { isPodTerminal, podCondition } from "../common/pods.ts";
import { inParallel } from "../common/slow-start.ts";
import { missingNodes, outOfService, type Removal, surplusTerminated, unscheduledTerminating } from "./plan.ts";

const PERIOD_MS = 20_000;
/** A node must be missing this long before its pods go: it may be registering anew. */
const QUARANTINE_MS = 40_000;

/** Removes pods that nobody else will: surplus finished ones, and those whose node is not there to confirm. */
export function createPodGcController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const collector = new PodCollector(env);
  const queue = createQueue(clock);
  return createLoop(env, {
    workers: 1,
    queue,
    sources: [watching(informers.of(nodes)), watching(informers.pods())],
    reconcile: () => Promise.resolve({}),
    background: (signal) => every(env, PERIOD_MS, signal, () => collector.collect(signal)),
  });
}

class PodCollector {
  readonly #env: ControllerEnv;
  /** Missing nodes, since when by our clock. */
  readonly #missingSince = new Map<string, number>();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async collect(signal: AbortSignal): Promise<void> {
    const { informers, options } = this.#env;
    const all = informers.pods().lister.list();
    const nodeOf = (name: string) => informers.of(nodes).lister.get({ namespace: "", name });
    const gone = await this.#goneNodes(missingNodes(all, nodeOf), signal);
    const removals = [
      ...surplusTerminated(all, options.terminatedPodGcThreshold),
      ...outOfService(all, nodeOf),
      ...all
        .filter(({ spec }) => gone.has(spec.nodeName ?? ""))
        .map((pod) => ({ pod, message: "PodGC: node no longer exists" })),
      ...unscheduledTerminating(all),
    ];
    const error = await inParallel(removals, (removal) => this.#remove(removal, signal), 20);
    if (error !== undefined) throw error;
  }

  async #goneNodes(missing: ReadonlySet<string>, signal: AbortSignal): Promise<Set<string>> {
    const { client, clock } = this.#env;
    const now = clock.monotonic();
    for (const name of this.#missingSince.keys()) if (!missing.has(name)) this.#missingSince.delete(name);
    const gone = new Set<string>();
    for (const name of missing) {
      const since = this.#missingSince.get(name) ?? now;
      this.#missingSince.set(name, since);
      if (now - since < QUARANTINE_MS) continue;
      const node = await ignoreNotFound(client.get(nodes, { namespace: "", name }, { signal }));
      if (node === undefined) gone.add(name);
    }
    return gone;
  }

  async #remove({ pod, message }: Removal, signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#env;
    const key = keyOf(pod);
    const { uid } = pod.metadata;
    try {
      if (!isPodTerminal(pod)) {
        const disruption =
          message === undefined || podCondition(pod, "DisruptionTarget") !== undefined
            ? {}
            : {
                conditions: [
                  {
                    type: "DisruptionTarget",
                    status: "True",
                    reason: "DeletionByPodGC",
                    message,
                    lastTransitionTime: formatTime(clock.now()),
                  },
                ],
              };
        // Finished first, so that a Job counts the pod before it is gone.
        const patch = { metadata: { uid }, status: { phase: "Failed", ...disruption } };
        await client.patch(pods, key, "strategic", patch, { subresource: "status", signal });
      }
      await client.delete(pods, key, { gracePeriodSeconds: 0, preconditions: { uid }, signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
