/** Removes pods from nodes with NoExecute taints that they do not tolerate, or not any longer. */
import { deepEqual, keyOf, keyString, type ObjectKey } from "#pkg/apimachinery/index.ts";
import { type Controller, DONE, type EventHandler, type ReconcileContext, type Result } from "#pkg/client/index.ts";
import { nodes } from "#pkg/api/refs.ts";
import type { Node, Pod, Taint } from "#pkg/api/types/core-v1.ts";
import type { ControllerEnv } from "../common/env.ts";
import { evictPod } from "../common/evict.ts";
import { createLoop, createQueue, type KeyQueue, watching } from "../common/loop.ts";
import { POD_NODE_INDEX } from "../common/shared-informers.ts";
import { toleratedSeconds } from "./plan.ts";

function noExecute(node: Node | undefined): Taint[] {
  return (node?.spec.taints ?? []).filter(({ effect }) => effect === "NoExecute");
}

/** taint-eviction-controller: removes pods from nodes whose NoExecute taints they do not tolerate, or no longer. */
export function createTaintEvictionController(env: ControllerEnv): Controller {
  const { clock, informers } = env;
  const queue = createQueue(clock);
  const eviction = new TaintEviction(env);
  return createLoop(env, {
    workers: 8,
    queue,
    sources: [watching(informers.of(nodes), nodeHandler(env, queue)), watching(informers.pods(), podHandler(queue))],
    reconcile: (key, context) => eviction.reconcile(key, context),
  });
}

function nodeHandler({ informers }: ControllerEnv, queue: KeyQueue): EventHandler<Node> {
  const addPods = (node: Node) => {
    for (const pod of informers.pods().lister.byIndex(POD_NODE_INDEX, node.metadata.name))
      queue.add(keyString(keyOf(pod)));
  };
  return {
    onAdd(node) {
      if (noExecute(node).length > 0) addPods(node);
    },
    onUpdate(node, old) {
      if (node.spec.taints !== old.spec.taints && !deepEqual(noExecute(node), noExecute(old))) addPods(node);
    },
  };
}

function podHandler(queue: KeyQueue): EventHandler<Pod> {
  const add = (pod: Pod) => {
    if (pod.spec.nodeName !== undefined && pod.spec.nodeName !== "") queue.add(keyString(keyOf(pod)));
  };
  return {
    onAdd: add,
    onUpdate(pod, old) {
      if (pod.spec.nodeName !== old.spec.nodeName || !deepEqual(pod.spec.tolerations, old.spec.tolerations)) add(pod);
    },
    onDelete: add,
  };
}

class TaintEviction {
  readonly #env: ControllerEnv;
  /** Pods on borrowed time: since when, by pod uid. */
  readonly #since = new Map<string, { readonly uid: string; readonly at: number }>();

  constructor(env: ControllerEnv) {
    this.#env = env;
  }

  async reconcile(key: ObjectKey, { signal }: ReconcileContext): Promise<Result> {
    const { informers, clock, recorder } = this.#env;
    const id = keyString(key);
    const pod = informers.pods().lister.get(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) {
      this.#since.delete(id);
      return DONE;
    }
    const node = informers.of(nodes).lister.get({ namespace: "", name: pod.spec.nodeName ?? "" });
    const taints = noExecute(node);
    const seconds = toleratedSeconds(taints, pod.spec.tolerations);
    const known = this.#since.get(id);
    if (seconds === Infinity) {
      this.#since.delete(id);
      if (known?.uid === pod.metadata.uid)
        recorder.event(pod, "Normal", "TaintManagerEviction", `Cancelling deletion of Pod ${id}`);
      return DONE;
    }
    const since = known?.uid === pod.metadata.uid ? known.at : clock.monotonic();
    this.#since.set(id, { uid: pod.metadata.uid, at: since });
    const leftMs = since + seconds * 1000 - clock.monotonic();
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    await this.#evict(pod, signal);
    this.#since.delete(id);
    return DONE;
  }

  async #evict(pod: Pod, signal: AbortSignal): Promise<void> {
    this.#env.recorder.event(
      pod,
      "Normal",
      "TaintManagerEviction",
      `Marking for deletion Pod ${keyString(keyOf(pod))}`,
    );
    const why = { reason: "DeletionByTaintManager", message: "Taint manager: deleting due to NoExecute taint" };
    await evictPod(this.#env, pod, why, signal);
  }
}
