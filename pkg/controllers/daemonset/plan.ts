/**
 * Which nodes get a pod and which pods go; once that is so, which pods are replaced by those of a new template, within
 * maxUnavailable and maxSurge. Pure.
 */
import { intOrPercent } from "#pkg/apimachinery/index.ts";
import type { DaemonSet, DaemonSetStatus } from "#pkg/api/types/apps-v1.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { REVISION_LABEL } from "../common/history.ts";
import { availableInMs, isPodReady } from "../common/pods.ts";
import { nodeVerdict, pinnedNode } from "./pod.ts";

/** At most this many pods are created or deleted in one turn. */
const BURST_REPLICAS = 250;

/** What to do about a DaemonSet's pods, and the status after it. */
export interface DaemonPlan {
  /** Names of nodes that get a pod. */
  readonly create: readonly string[];
  readonly delete: readonly Pod[];
  /** Finished pods among the deleted ones, for the events that say so. */
  readonly finished: readonly { readonly pod: Pod; readonly node: string }[];
  readonly status: DaemonSetStatus;
  readonly requeueAfterMs: number | undefined;
}

/** A DaemonSet and what there is to decide by; `now` in epoch milliseconds. */
export interface DaemonView {
  readonly daemonSet: DaemonSet;
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  /** Revision label of up-to-date pods. */
  readonly hash: string;
  readonly collisionCount: number | undefined;
  /** Milliseconds until a finished pod of this node may be replaced again; 0: now. */
  readonly backoffMs: (node: string) => number;
  readonly now: number;
}

function nodeOf(pod: Pod): string | undefined {
  return pod.spec.nodeName !== undefined && pod.spec.nodeName !== "" ? pod.spec.nodeName : pinnedNode(pod.spec);
}

function byNode(pods: readonly Pod[]): Map<string, Pod[]> {
  const result = new Map<string, Pod[]>();
  for (const pod of pods) {
    const node = nodeOf(pod) ?? "";
    const list = result.get(node);
    if (list === undefined) result.set(node, [pod]);
    else list.push(pod);
  }
  return result;
}

function isDeleting(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}
function isUpdated(pod: Pod, hash: string): boolean {
  return pod.metadata.labels?.[REVISION_LABEL] === hash;
}
function isBound(pod: Pod): boolean {
  return pod.spec.nodeName !== undefined && pod.spec.nodeName !== "";
}

/** Bound before unbound, then older first: the one to keep leads. */
function byAge(a: Pod, b: Pod): number {
  if (isBound(a) !== isBound(b)) return isBound(a) ? -1 : 1;
  const [x, y] = [a.metadata.creationTimestamp, b.metadata.creationTimestamp];
  return x < y ? -1 : x > y ? 1 : a.metadata.name < b.metadata.name ? -1 : 1;
}

/** What to do next about a DaemonSet. Pure. */
export function planDaemonSet(view: DaemonView): DaemonPlan {
  const planner = new Planner(view);
  planner.manage();
  if (planner.idle && (view.daemonSet.spec.updateStrategy?.type ?? "RollingUpdate") === "RollingUpdate")
    planner.update();
  return planner.result();
}

class Planner {
  readonly #view: DaemonView;
  readonly #pods: Map<string, Pod[]>;
  readonly #create: string[] = [];
  readonly #delete: Pod[] = [];
  readonly #finished: { pod: Pod; node: string }[] = [];
  #requeueAfterMs: number | undefined;

  constructor(view: DaemonView) {
    this.#view = view;
    this.#pods = byNode(view.pods);
  }
  get idle(): boolean {
    return this.#create.length === 0 && this.#delete.length === 0;
  }

  /** One pod on every node that should have one, none elsewhere. */
  manage(): void {
    const { daemonSet, nodes } = this.#view;
    const { surge } = limits(daemonSet, this.#desired());
    const known = new Set<string>();
    for (const node of nodes) {
      known.add(node.metadata.name);
      const verdict = nodeVerdict(daemonSet, node);
      const pods = this.#pods.get(node.metadata.name) ?? [];
      if (!verdict.stay) this.#delete.push(...pods.filter((pod) => !isDeleting(pod)));
      else if (pods.length > 0) this.#keepOne(node.metadata.name, pods, surge > 0);
      else if (verdict.run) this.#create.push(node.metadata.name);
    }
    // Unbound pods pinned to nodes that have gone would wait for ever.
    for (const [name, pods] of this.#pods)
      if (!known.has(name)) this.#delete.push(...pods.filter((pod) => !isBound(pod) && !isDeleting(pod)));
  }

  #keepOne(node: string, pods: readonly Pod[], surge: boolean): void {
    const running: Pod[] = [];
    for (const pod of pods) {
      if (isDeleting(pod)) continue;
      const phase = pod.status?.phase;
      if (phase !== "Failed" && phase !== "Succeeded") {
        running.push(pod);
        continue;
      }
      const wait = this.#view.backoffMs(node);
      if (wait > 0) this.#recheck(wait);
      else {
        this.#finished.push({ pod, node });
        this.#delete.push(pod);
      }
    }
    if (running.length < 2) return;
    running.sort(byAge);
    if (!surge) {
      this.#delete.push(...running.slice(1));
      return;
    }
    // During a surge one old and one new pod may share the node, until the new one is available.
    const fresh = running.filter((pod) => isUpdated(pod, this.#view.hash));
    const old = running.filter((pod) => !isUpdated(pod, this.#view.hash));
    this.#delete.push(...fresh.slice(1), ...old.slice(1));
    if (fresh[0] !== undefined && old[0] !== undefined && this.#isAvailable(fresh[0])) this.#delete.push(old[0]);
  }

  #desired(): number {
    const { daemonSet, nodes } = this.#view;
    return nodes.filter((node) => nodeVerdict(daemonSet, node).run).length;
  }
  #isAvailable(pod: Pod): boolean {
    const { daemonSet, now } = this.#view;
    const wait = availableInMs(pod, daemonSet.spec.minReadySeconds ?? 0, now);
    if (wait !== undefined && wait > 0) this.#recheck(wait + 1000);
    return wait === 0;
  }
  #recheck(ms: number): void {
    this.#requeueAfterMs = Math.min(this.#requeueAfterMs ?? ms, ms);
  }

  /** Replaces outdated pods within the strategy's bounds. */
  update(): void {
    const { surge, unavailable } = limits(this.#view.daemonSet, this.#desired());
    if (surge > 0) this.#surge(surge);
    else this.#replace(unavailable);
  }

  #split(node: string): { fresh: Pod | undefined; old: Pod | undefined } | undefined {
    const pods = (this.#pods.get(node) ?? []).filter((pod) => !isDeleting(pod));
    const fresh = pods.filter((pod) => isUpdated(pod, this.#view.hash));
    const old = pods.filter((pod) => !isUpdated(pod, this.#view.hash));
    return fresh.length > 1 || old.length > 1 ? undefined : { fresh: fresh[0], old: old[0] };
  }

  #replace(maxUnavailable: number): void {
    const { daemonSet, nodes } = this.#view;
    let unavailable = 0;
    const candidates: Pod[] = [];
    for (const node of nodes) {
      if (!nodeVerdict(daemonSet, node).run) continue;
      const pair = this.#split(node.metadata.name);
      if (pair === undefined) unavailable++;
      else if (pair.old === undefined) unavailable += pair.fresh !== undefined && this.#isAvailable(pair.fresh) ? 0 : 1;
      else if (!this.#isAvailable(pair.old)) {
        // It serves nobody: replacing it costs nothing.
        unavailable++;
        this.#delete.push(pair.old);
      } else candidates.push(pair.old);
    }
    this.#delete.push(...candidates.slice(0, Math.max(0, maxUnavailable - unavailable)));
  }

  #surge(maxSurge: number): void {
    const { daemonSet, nodes } = this.#view;
    let surging = 0;
    const candidates: string[] = [];
    for (const node of nodes) {
      if (!nodeVerdict(daemonSet, node).run) continue;
      const pair = this.#split(node.metadata.name);
      if (pair === undefined || pair.old === undefined) continue;
      const oldAvailable = this.#isAvailable(pair.old);
      if (pair.fresh === undefined) {
        if (!oldAvailable) this.#create.push(node.metadata.name);
        else candidates.push(node.metadata.name);
      } else if (!oldAvailable || this.#isAvailable(pair.fresh)) this.#delete.push(pair.old);
      else surging++;
    }
    this.#create.push(...candidates.slice(0, Math.max(0, maxSurge - surging)));
  }

  result(): DaemonPlan {
    return {
      create: this.#create.slice(0, BURST_REPLICAS),
      delete: this.#delete.slice(0, BURST_REPLICAS),
      finished: this.#finished,
      status: this.#status(),
      requeueAfterMs: this.#requeueAfterMs,
    };
  }

  #status(): DaemonSetStatus {
    const { daemonSet, nodes, hash, collisionCount } = this.#view;
    let desired = 0;
    let current = 0;
    let misscheduled = 0;
    let ready = 0;
    let updated = 0;
    let available = 0;
    for (const node of nodes) {
      const pods = [...(this.#pods.get(node.metadata.name) ?? [])].sort(byAge);
      if (!nodeVerdict(daemonSet, node).run) {
        if (pods.length > 0) misscheduled++;
        continue;
      }
      desired++;
      const first = pods[0];
      if (first === undefined) continue;
      current++;
      if (isPodReady(first)) {
        ready++;
        if (this.#isAvailable(first)) available++;
      }
      if (isUpdated(first, hash)) updated++;
    }
    return {
      observedGeneration: daemonSet.metadata.generation ?? 0,
      desiredNumberScheduled: desired,
      currentNumberScheduled: current,
      numberMisscheduled: misscheduled,
      numberReady: ready,
      updatedNumberScheduled: updated,
      numberAvailable: available,
      numberUnavailable: Math.max(0, desired - available),
      ...(collisionCount === undefined ? {} : { collisionCount }),
      ...(daemonSet.status?.conditions === undefined ? {} : { conditions: daemonSet.status.conditions }),
    };
  }
}

/** The strategy's bounds in pods, both rounded up; never both zero. */
function limits(daemonSet: DaemonSet, desired: number): { surge: number; unavailable: number } {
  const { maxSurge, maxUnavailable } = daemonSet.spec.updateStrategy?.rollingUpdate ?? {};
  const resolve = (value: number | string | undefined, fallback: number) => {
    if (value === undefined) return fallback;
    try {
      return Math.max(0, intOrPercent(value, desired, true));
    } catch {
      return fallback; // validated by the server
    }
  };
  const surge = resolve(maxSurge, 0);
  const unavailable = resolve(maxUnavailable, surge > 0 ? 0 : 1);
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}
