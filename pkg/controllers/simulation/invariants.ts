/** What must be true of a simulated history: at every moment, and when everything has come to rest. */
import { endOfJob } from "#pkg/api/rules/index.ts";
import { controllerOf, intOrPercent, labelSelectorAsSelector } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import {
  controllerRevisions,
  cronJobs,
  daemonSets,
  deployments,
  endpoints,
  endpointSlices,
  jobs,
  nodes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { Deployment, ReplicaSet, StatefulSet } from "#pkg/api/types/apps-v1.ts";
import type { Job } from "#pkg/api/types/batch-v1.ts";
import type { Pod, ReplicationController } from "#pkg/api/types/core-v1.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { isPodActive, isPodReady, isPodTerminal } from "../common/pods.ts";
import { readyCondition } from "../nodelifecycle/health.ts";
import type { Troubles } from "./actions.ts";
import type { SimulatedCluster } from "./cluster.ts";

/** Label value of pods that were taken from their owners by hand. */
export const STRAY = "nobody";

export class Invariants {
  readonly #cluster: SimulatedCluster;
  readonly #namespace: string;
  /** Nobody loses requests or crashes: then there is never too much of anything, not even for a moment. */
  readonly #strict: boolean;
  /** Nobody gives pods to a set by hand either. */
  readonly #undisturbed: boolean;
  /** The most replicas each set has asked for so far: caches may be late, so it may still be working on them. */
  readonly #mostReplicas = new Map<string, number>();
  /** Names of pods that have been ready at some time, by the uid of their controller. */
  readonly #onceReady = new Map<string, Set<string>>();
  /** What a handler found wrong; reported with the next check. */
  #wrong: string | undefined;
  /** What became of each pod of a Job, by Job uid and pod uid. */
  readonly #outcomes = new Map<string, Map<string, "Succeeded" | "Failed">>();
  /** Deployments and StatefulSets that were completely available, so that roll-outs must keep a minimum up. */
  readonly #settled = new Set<string>();
  #lost = 0;

  constructor(
    cluster: SimulatedCluster,
    namespace: string,
    { network, crashes, meddling }: Pick<Troubles, "network" | "crashes" | "meddling">,
  ) {
    this.#cluster = cluster;
    this.#namespace = namespace;
    this.#strict = network !== "lossy" && !crashes;
    this.#undisturbed = this.#strict && !meddling;
    this.#recordJobPods();
    this.#watchOrder();
    this.#recordReplicas(replicaSets);
    this.#recordReplicas(replicationControllers);
  }

  /** Somebody takes pods away: until this owner (all, by default) is complete again, no minimum can be promised. */
  disturbed(uid?: string): void {
    if (uid === undefined) this.#settled.clear();
    else this.#settled.delete(uid);
  }

  /** A set that makes its pods in order makes none before the one below it has once been ready. */
  #watchOrder(): void {
    const { informers } = this.#cluster;
    const record = (pod: Pod) => {
      const uid = controllerOf(pod)?.uid ?? "";
      if (!isPodReady(pod)) return;
      const names = this.#onceReady.get(uid) ?? new Set<string>();
      this.#onceReady.set(uid, names.add(pod.metadata.name));
    };
    informers.informer(pods).addHandler({
      onUpdate: record,
      onAdd: (pod) => {
        const owner = controllerOf(pod);
        const set = informers
          .informer(statefulSets)
          .lister.list(this.#namespace)
          .find(({ metadata }) => metadata.uid === owner?.uid);
        const [, base, ordinal] = /^(.*)-(\d+)$/.exec(pod.metadata.name) ?? [];
        if (set === undefined || set.spec.podManagementPolicy === "Parallel" || ordinal === "0") return;
        const below = `${base}-${Number(ordinal) - 1}`;
        if (this.#onceReady.get(set.metadata.uid)?.has(below) !== true)
          this.#wrong ??= `stateful set ${set.metadata.name} made ${pod.metadata.name} before ${below} was ready`;
      },
    });
  }

  #recordReplicas<T extends ReplicaSet | ReplicationController>(resource: ResourceRef<T>): void {
    const record = ({ metadata, spec }: T) => {
      const most = Math.max(this.#mostReplicas.get(metadata.uid) ?? 0, spec.replicas ?? 1);
      this.#mostReplicas.set(metadata.uid, most);
    };
    this.#cluster.informers.informer(resource).addHandler({ onAdd: record, onUpdate: record });
  }

  #recordJobPods(): void {
    const record = (pod: Pod) => {
      const owner = controllerOf(pod);
      // A pod on its way out counts as failed, whether or not a node ever confirms its end.
      const isOver = isPodTerminal(pod) || pod.metadata.deletionTimestamp !== undefined;
      if (owner?.kind !== "Job" || !isOver) return;
      const outcomes = this.#outcomes.get(owner.uid) ?? new Map<string, "Succeeded" | "Failed">();
      if (outcomes.has(pod.metadata.uid)) return;
      outcomes.set(pod.metadata.uid, pod.status?.phase === "Succeeded" ? "Succeeded" : "Failed");
      this.#outcomes.set(owner.uid, outcomes);
    };
    this.#cluster.informers.informer(pods).addHandler({ onAdd: record, onUpdate: record, onDelete: record });
  }

  /** What must be true at every moment; throws otherwise. */
  always(): void {
    const { wire } = this.#cluster;
    if (this.#wrong !== undefined) throw new Error(this.#wrong);
    // Who does not know whether a pod is gone may take the next one.
    if (wire.lost !== this.#lost) this.disturbed();
    this.#lost = wire.lost;
    const all = this.#cluster.list(pods, this.#namespace).filter(({ metadata }) => metadata.labels?.["app"] !== STRAY); // no longer counted, and not yet let go
    const sets = this.#cluster.list(replicaSets, this.#namespace);
    for (const found of this.#cluster.list(deployments, this.#namespace)) this.#checkDeployment(found, sets, all);
    for (const found of this.#cluster.list(statefulSets, this.#namespace)) this.#checkStatefulSet(found, all);
    if (this.#strict) this.#checkSurplus(all);
    if (this.#undisturbed)
      for (const set of [...sets, ...this.#cluster.list(replicationControllers, this.#namespace)])
        this.#checkSet(set, all);
    const names = new Set<string>();
    for (const { metadata } of all) {
      if (names.has(metadata.name)) throw new Error(`two pods named ${metadata.name}`);
      names.add(metadata.name);
    }
  }

  #checkDeployment(found: Deployment, sets: readonly ReplicaSet[], all: readonly Pod[]): void {
    const { uid, name } = found.metadata;
    const own = sets.filter((set) => controllerOf(set)?.uid === uid);
    const uids = new Set(own.map(({ metadata }) => metadata.uid));
    const mine = all.filter((pod) => uids.has(controllerOf(pod)?.uid ?? ""));
    const ready = mine.filter((pod) => isPodActive(pod) && isPodReady(pod)).length;
    const replicas = found.spec.replicas ?? 1;
    const rolling = found.spec.strategy?.rollingUpdate;
    if (rolling === undefined || found.metadata.deletionTimestamp !== undefined) return;
    const surge = intOrPercent(rolling.maxSurge ?? "25%", replicas, true);
    const unavailable = Math.max(intOrPercent(rolling.maxUnavailable ?? "25%", replicas, false), surge === 0 ? 1 : 0);
    const wanted = own.reduce((sum, { spec }) => sum + (spec.replicas ?? 0), 0);
    // While a node is away its pods look ready until they are given up: no minimum can be promised.
    if (this.#someNodeIsAway()) {
      this.#settled.delete(uid);
      return;
    }
    if (this.#settled.has(uid)) {
      if (wanted > replicas + surge)
        throw new Error(`deployment ${name} asks for ${wanted} pods, more than ${replicas}+${surge}`);
      if (ready < replicas - unavailable)
        throw new Error(`deployment ${name} has ${ready} ready pods, fewer than ${replicas}-${unavailable}`);
    } else if (
      ready === replicas &&
      wanted === replicas &&
      found.status?.observedGeneration === found.metadata.generation
    ) {
      this.#settled.add(uid);
    }
  }

  /** A roll-out in order takes one pod down at a time. */
  #checkStatefulSet(found: StatefulSet, all: readonly Pod[]): void {
    const { uid, name, deletionTimestamp } = found.metadata;
    const replicas = found.spec.replicas ?? 1;
    const mine = all.filter((pod) => controllerOf(pod)?.uid === uid);
    const ready = mine.filter((pod) => isPodActive(pod) && isPodReady(pod)).length;
    // A parallel one may lose a second pod when the template changes again while it rolls.
    if (found.spec.podManagementPolicy === "Parallel") return;
    if (deletionTimestamp !== undefined || this.#someNodeIsAway()) this.#settled.delete(uid);
    else if (this.#settled.has(uid)) {
      if (ready < replicas - 1) throw new Error(`stateful set ${name} has ${ready} ready pods of ${replicas}`);
    } else if (ready === replicas && mine.length === replicas) this.#settled.add(uid);
  }

  /** Counts pods that are neither finished nor going, by owner. */
  #checkSurplus(all: readonly Pod[]): void {
    const active = (uid: string) => all.filter((pod) => controllerOf(pod)?.uid === uid && isPodActive(pod));
    for (const { metadata, spec } of this.#cluster.list(jobs, this.#namespace)) {
      const running = active(metadata.uid).length;
      if (running > (spec.parallelism ?? 1)) throw new Error(`job ${metadata.name} runs ${running} pods at once`);
    }
    for (const { metadata } of this.#cluster.list(daemonSets, this.#namespace)) {
      const on = active(metadata.uid).map(daemonNode);
      if (new Set(on).size < on.length)
        throw new Error(`daemon set ${metadata.name} runs twice on a node: ${on.join()}`);
    }
    for (const { metadata, spec } of this.#cluster.list(cronJobs, this.#namespace)) {
      const mine = this.#cluster.list(jobs, this.#namespace).filter((job) => controllerOf(job)?.uid === metadata.uid);
      const running = mine.filter((job) => endOfJob(job) === undefined && job.metadata.deletionTimestamp === undefined);
      if (spec.concurrencyPolicy !== "Allow" && running.length > 1)
        throw new Error(`cron job ${metadata.name} runs ${running.length} jobs at once`);
    }
  }

  /** A set never makes a pod that it did not need at some time. */
  #checkSet({ metadata }: ReplicaSet | ReplicationController, all: readonly Pod[]): void {
    const most = this.#mostReplicas.get(metadata.uid) ?? 0;
    const active = all.filter((pod) => controllerOf(pod)?.uid === metadata.uid && isPodActive(pod)).length;
    if (active > most) throw new Error(`${metadata.name} has ${active} pods, and never asked for more than ${most}`);
  }

  /** Silent, or taken to be because its heartbeats were not heard. */
  #someNodeIsAway(): boolean {
    if (this.#cluster.nodes.names.some((node) => !this.#cluster.nodes.isUp(node))) return true;
    return this.#cluster.list(nodes).some((node) => readyCondition(node)?.status !== "True");
  }

  /** Holds when everything has come to rest: what is not so yet, or undefined. */
  notConverged(): string | undefined {
    try {
      this.#checkConverged();
      return undefined;
    } catch (error) {
      return errorMessage(error);
    }
  }

  #checkConverged(): void {
    this.#checkOwners();
    const cluster = this.#cluster;
    const all = cluster.list(pods, this.#namespace);
    const fail = (text: string) => {
      throw new Error(text);
    };
    for (const { metadata, spec, status } of cluster.list(deployments, this.#namespace)) {
      const replicas = spec.replicas ?? 1;
      const sets = cluster.list(replicaSets, this.#namespace).filter((set) => controllerOf(set)?.uid === metadata.uid);
      const running = all.filter(
        (pod) => sets.some((set) => set.metadata.uid === controllerOf(pod)?.uid) && isPodActive(pod),
      );
      if (running.length !== replicas) fail(`deployment ${metadata.name} has ${running.length} pods, not ${replicas}`);
      if ((status?.availableReplicas ?? 0) !== replicas || (status?.updatedReplicas ?? 0) !== replicas)
        fail(`deployment ${metadata.name} says ${JSON.stringify(status)}`);
      const addresses = cluster.list(endpoints, this.#namespace).find((found) => found.metadata.name === metadata.name);
      const known = addresses?.subsets?.flatMap((subset) => subset.addresses ?? []).length ?? 0;
      if (known !== replicas) fail(`service ${metadata.name} has ${known} endpoints, not ${replicas}`);
      const slices = cluster
        .list(endpointSlices, this.#namespace)
        .filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name);
      const sliced = slices.flatMap((slice) => slice.endpoints ?? []).length;
      if (sliced !== replicas) fail(`service ${metadata.name} has ${sliced} endpoints in slices, not ${replicas}`);
      if (sets.filter((set) => set.spec.replicas === 0).length > 2 + (replicas === 0 ? 1 : 0))
        fail(`deployment ${metadata.name} keeps ${sets.length} sets`);
    }
    for (const { metadata, spec, status } of cluster.list(statefulSets, this.#namespace)) {
      const names = all
        .filter((pod) => controllerOf(pod)?.uid === metadata.uid)
        .map((pod) => pod.metadata.name)
        .sort();
      const wanted = Array.from({ length: spec.replicas ?? 1 }, (_, ordinal) => `${metadata.name}-${ordinal}`);
      if (names.join() !== wanted.join()) fail(`stateful set ${metadata.name} has ${names.join()}`);
      if ((spec.replicas ?? 1) > 0 && status?.currentRevision !== status?.updateRevision)
        fail(`stateful set ${metadata.name} did not finish its roll-out`);
      if ((status?.readyReplicas ?? 0) !== (spec.replicas ?? 1))
        fail(`stateful set ${metadata.name} says ${JSON.stringify(status)}`);
    }
    for (const { metadata, status } of cluster.list(daemonSets, this.#namespace)) {
      const on = all
        .filter((pod) => controllerOf(pod)?.uid === metadata.uid)
        .map((pod) => pod.spec.nodeName)
        .sort();
      if (on.join() !== cluster.nodes.names.join()) fail(`daemon set ${metadata.name} runs on ${on.join()}`);
      if (status?.updatedNumberScheduled !== 3 || status.numberAvailable !== 3)
        fail(`daemon set ${metadata.name} says ${JSON.stringify(status)}`);
    }
    for (const { metadata, spec, status } of cluster.list(replicationControllers, this.#namespace)) {
      const running = all.filter((pod) => controllerOf(pod)?.uid === metadata.uid && isPodActive(pod)).length;
      if (running !== spec.replicas || (status?.readyReplicas ?? 0) !== spec.replicas)
        fail(`replication controller ${metadata.name} has ${running} pods and says ${JSON.stringify(status)}`);
    }
    for (const { metadata, spec, status } of cluster.list(podDisruptionBudgets, this.#namespace)) {
      const selector = labelSelectorAsSelector(spec?.selector);
      const healthy = all.filter((pod) => selector.matches(pod.metadata.labels) && isPodReady(pod)).length;
      const allowed = Math.max(0, healthy - Number(spec?.minAvailable));
      if (status?.currentHealthy !== healthy || status.disruptionsAllowed !== allowed)
        fail(`budget ${metadata.name} counts ${JSON.stringify(status)}, not ${healthy} healthy`);
    }
    for (const job of cluster.list(jobs, this.#namespace)) this.#checkJob(job);
    for (const { metadata } of all) {
      if ((metadata.finalizers ?? []).length > 0) fail(`pod ${metadata.name} still has ${metadata.finalizers?.join()}`);
      if (metadata.deletionTimestamp !== undefined) fail(`pod ${metadata.name} is still being deleted`);
    }
  }

  /** Nothing outlives its controller, and only pods let go by hand have none. */
  #checkOwners(): void {
    const list = <T extends AnyObject>(resource: ResourceRef<T>): AnyObject[] =>
      this.#cluster.list(resource, this.#namespace);
    const dependents = [...list(pods), ...list(replicaSets), ...list(jobs), ...list(controllerRevisions)];
    const owners = [deployments, statefulSets, daemonSets, cronJobs, replicationControllers].flatMap((resource) =>
      list(resource as ResourceRef<AnyObject>),
    );
    const alive = new Set([...dependents, ...owners].map(({ metadata }) => metadata.uid));
    for (const object of dependents) {
      const owner = controllerOf(object);
      if (owner !== undefined && !alive.has(owner.uid))
        throw new Error(`${object.kind} ${object.metadata.name} outlives its ${owner.kind} ${owner.name}`);
    }
  }

  #checkJob(job: Job): void {
    const { name, uid } = job.metadata;
    const { status, spec } = job;
    const end = endOfJob(job);
    if (end === undefined) throw new Error(`job ${name} is not finished: ${JSON.stringify(status)}`);
    const outcomes = [...(this.#outcomes.get(uid)?.values() ?? [])];
    const failed = outcomes.filter((outcome) => outcome === "Failed").length;
    // Without indexes a pod too many, made while the cache was behind, succeeds as well.
    const succeededPods = status?.succeeded ?? 0;
    const wanted = spec.completions ?? 0;
    const enough = spec.completionMode === "Indexed" ? succeededPods === wanted : succeededPods >= wanted;
    if (end.type === "Complete" && !enough)
      throw new Error(`job ${name} is complete with ${status?.succeeded} of ${spec.completions}`);
    // Once a Job has failed, whatever still ran counts as failed, even if it ends well before it is stopped.
    const counted = status?.failed ?? 0;
    const right = end.type === "Failed" ? counted >= failed : counted === failed;
    if (!right) throw new Error(`job ${name} counts ${counted} failed pods, there were ${failed}`);
    if (spec.completionMode !== "Indexed" && succeededPods + counted !== outcomes.length)
      throw new Error(`job ${name} counts ${succeededPods} and ${counted} pods, there were ${outcomes.length}`);
    const uncounted = status?.uncountedTerminatedPods ?? {};
    if ((uncounted.failed?.length ?? 0) + (uncounted.succeeded?.length ?? 0) > 0)
      throw new Error(`job ${name} has uncounted pods`);
  }
}

/** The node a daemon pod is on or made for. */
function daemonNode({ spec }: Pod): string {
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  return spec.nodeName ?? terms?.[0]?.matchFields?.[0]?.values?.[0] ?? "";
}
