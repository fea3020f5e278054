/** A random history of one simulated cluster, with faults, and what must be true of it whatever happens. */
import { controllerOf, intOrPercent } from "#pkg/apimachinery/index.ts";
import {
  controllerRevisions,
  daemonSets,
  deployments,
  endpoints,
  endpointSlices,
  jobs,
  namespaces,
  nodes,
  pods,
  replicaSets,
  services,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { Deployment } from "#pkg/api/types/apps-v1.ts";
import type { Job } from "#pkg/api/types/batch-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { isStatusError } from "#pkg/apimachinery/index.ts";
import type { Random } from "#pkg/util/index.ts";
import { isPodActive, isPodReady, isPodTerminal } from "../common/pods.ts";
import { SimulatedCluster } from "./cluster.ts";
import { type Faults, NO_FAULTS } from "./faulty-transport.ts";
import { EXIT_CODE } from "./hollow-nodes.ts";
import { deployment, template } from "./objects.ts";

const NAMESPACE = "sim";
/** Longer than the longest backoff of a work queue: by then everything must have come to rest. */
const CALM_MS = 20 * 60_000;
const CALM_STEP_MS = 60_000;

export interface ScenarioOptions {
  readonly seed: number;
  readonly steps: number;
  /** Which troubles may come. */
  readonly network: boolean;
  readonly crashes: boolean;
  readonly nodeLoss: boolean;
  /** Runs the real scheduler, under the same troubles. */
  readonly realScheduler: boolean;
}

/** Runs one history; throws with the seed in its message when something is wrong. Returns every write, with its time. */
export async function runScenario(options: ScenarioOptions): Promise<readonly string[]> {
  const cluster = await SimulatedCluster.start({
    seed: options.seed,
    nodes: 3,
    scheduler: options.realScheduler ? "real" : "hollow",
  });
  const scenario = new Scenario(cluster, options);
  try {
    await scenario.run();
    return scenario.writes;
  } catch (cause) {
    throw new Error(
      `seed ${options.seed}: ${cause instanceof Error ? cause.message : String(cause)}\n${scenario.history.join("\n")}`,
      { cause },
    );
  } finally {
    await cluster.close();
  }
}

class Scenario {
  readonly #cluster: SimulatedCluster;
  readonly #options: ScenarioOptions;
  readonly #random: Random;
  readonly history: string[] = [];
  readonly writes: string[] = [];
  /** What became of each pod of a Job, by Job uid and pod uid. */
  readonly #outcomes = new Map<string, Map<string, "Succeeded" | "Failed">>();
  /** Deployments that were completely available, so that roll-outs must keep a minimum up. */
  readonly #settled = new Set<string>();
  #names = 0;

  constructor(cluster: SimulatedCluster, options: ScenarioOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#random = cluster.random;
    cluster.wire.onWrite = ({ method, path }) => this.writes.push(`${cluster.clock.monotonic()} ${method} ${path}`);
  }

  async run(): Promise<void> {
    const cluster = this.#cluster;
    await cluster.observe(deployments, replicaSets, statefulSets, daemonSets, jobs, services, endpoints);
    await cluster.observe(endpointSlices, namespaces, nodes, controllerRevisions);
    this.#recordJobPods();
    await cluster.admin.create(namespaces, { metadata: { name: NAMESPACE }, spec: {} });
    await cluster.advance(1000);
    for (let step = 0; step < this.#options.steps; step++) {
      await this.#act();
      await cluster.advance(this.#random.int(8000), () => this.#checkAlways());
    }
    await this.#calm();
    await this.#checkQuiet();
    await this.#removeAll();
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

  #log(text: string): void {
    this.history.push(`${Math.round(this.#cluster.clock.monotonic())} ms: ${text}`);
  }

  async #act(): Promise<void> {
    const { network, crashes, nodeLoss } = this.#options;
    const actions: (() => Promise<void>)[] = [
      () => this.#createDeployment(),
      () => this.#changeDeployment(),
      () => this.#changeDeployment(),
      () => this.#createJob(),
      () => this.#createStatefulSet(),
      () => this.#changeStatefulSet(),
      () => this.#createDaemonSet(),
      () => this.#changeDaemonSet(),
      () => this.#deleteSomething(),
      () => this.#killPod(),
      ...(network ? [() => this.#setFaults(), () => this.#setFaults()] : []),
      ...(crashes ? [() => this.#crash(), () => this.#duplicate()] : []),
      ...(nodeLoss ? [() => this.#toggleNode()] : []),
    ];
    try {
      await actions[this.#random.int(actions.length)]!();
    } catch (error) {
      // What the administrator asks for can be overtaken (deleted, changed): that is no fault.
      if (!isStatusError(error)) throw error;
      this.#log(`refused: ${error.message}`);
    }
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[this.#random.int(Math.max(1, items.length))];
  }

  async #createDeployment(): Promise<void> {
    const name = `d${this.#names++}`;
    const replicas = this.#random.int(7);
    const rollingUpdate = this.#pick([
      { maxSurge: 1, maxUnavailable: 0 },
      { maxSurge: "50%", maxUnavailable: "25%" },
      { maxSurge: 0, maxUnavailable: 2 },
    ])!;
    const strategy = this.#random.int(5) === 0 ? { type: "Recreate" } : { type: "RollingUpdate", rollingUpdate };
    this.#log(`create deployment ${name} with ${replicas} replicas, ${JSON.stringify(strategy)}`);
    await this.#cluster.admin.create(
      deployments,
      deployment(NAMESPACE, name, replicas, { strategy, revisionHistoryLimit: 2 }),
    );
    await this.#cluster.admin.create(services, {
      metadata: { namespace: NAMESPACE, name },
      spec: { clusterIP: "None", selector: { app: name }, ports: [{ port: 80 }] },
    });
  }

  async #changeDeployment(): Promise<void> {
    const found = this.#pick(this.#cluster.list(deployments, NAMESPACE));
    if (found === undefined) return;
    const change = this.#pick([
      { spec: { replicas: this.#random.int(8) } },
      { spec: { template: { metadata: { annotations: { version: String(this.#random.int(4)) } } } } },
      { spec: { template: { metadata: { annotations: { version: String(this.#random.int(4)) } } } } },
      { spec: { paused: this.#random.int(3) === 0 } },
    ])!;
    if ("replicas" in change.spec) this.#settled.delete(found.metadata.uid);
    this.#log(`change deployment ${found.metadata.name}: ${JSON.stringify(change)}`);
    await this.#cluster.admin.patch(deployments, { namespace: NAMESPACE, name: found.metadata.name }, "merge", change);
  }

  async #createJob(): Promise<void> {
    const name = `j${this.#names++}`;
    const exitCode = this.#random.int(4) === 0 ? "1" : "0";
    const pod = template({ job: name }, { [EXIT_CODE]: exitCode });
    const indexed = this.#random.int(2) === 0 ? { completionMode: "Indexed" } : {};
    const spec = {
      completions: 1 + this.#random.int(6),
      parallelism: 1 + this.#random.int(4),
      backoffLimit: this.#random.int(4),
      ...indexed,
    };
    this.#log(`create job ${name} ending with ${exitCode}: ${JSON.stringify(spec)}`);
    await this.#cluster.admin.create(jobs, {
      metadata: { namespace: NAMESPACE, name },
      spec: { ...spec, template: { ...pod, spec: { ...pod.spec!, restartPolicy: "Never" } } },
    });
  }

  async #createStatefulSet(): Promise<void> {
    if (this.#cluster.list(statefulSets, NAMESPACE).length >= 2) return;
    const name = `s${this.#names++}`;
    const podManagementPolicy = this.#random.int(2) === 0 ? "Parallel" : "OrderedReady";
    const replicas = this.#random.int(5);
    this.#log(`create stateful set ${name} with ${replicas} replicas, ${podManagementPolicy}`);
    await this.#cluster.admin.create(statefulSets, {
      metadata: { namespace: NAMESPACE, name },
      spec: {
        serviceName: name,
        replicas,
        podManagementPolicy,
        selector: { matchLabels: { app: name } },
        template: template({ app: name }),
      },
    });
  }

  async #changeStatefulSet(): Promise<void> {
    const found = this.#pick(this.#cluster.list(statefulSets, NAMESPACE));
    if (found === undefined) return;
    const change = this.#pick([
      { spec: { replicas: this.#random.int(5) } },
      { spec: { template: { metadata: { annotations: { version: String(this.#random.int(3)) } } } } },
    ])!;
    this.#log(`change stateful set ${found.metadata.name}: ${JSON.stringify(change)}`);
    await this.#cluster.admin.patch(statefulSets, { namespace: NAMESPACE, name: found.metadata.name }, "merge", change);
  }

  async #createDaemonSet(): Promise<void> {
    if (this.#cluster.list(daemonSets, NAMESPACE).length >= 1) return;
    const name = `n${this.#names++}`;
    this.#log(`create daemon set ${name}`);
    await this.#cluster.admin.create(daemonSets, {
      metadata: { namespace: NAMESPACE, name },
      spec: { selector: { matchLabels: { app: name } }, template: template({ app: name }) },
    });
  }

  async #changeDaemonSet(): Promise<void> {
    const found = this.#pick(this.#cluster.list(daemonSets, NAMESPACE));
    if (found === undefined) return;
    const change = { spec: { template: { metadata: { annotations: { version: String(this.#random.int(3)) } } } } };
    this.#log(`change daemon set ${found.metadata.name}: ${JSON.stringify(change)}`);
    await this.#cluster.admin.patch(daemonSets, { namespace: NAMESPACE, name: found.metadata.name }, "merge", change);
  }

  async #deleteSomething(): Promise<void> {
    if (this.#random.int(2) === 0) return;
    const kinds = [deployments, jobs, statefulSets, daemonSets] as const;
    const kind = this.#pick(kinds)!;
    const found = this.#pick(this.#cluster.list<{ metadata: { name: string } }>(kind as never, NAMESPACE));
    if (found === undefined) return;
    const propagationPolicy = this.#random.int(3) === 0 ? "Foreground" : "Background";
    this.#log(`delete ${kind.plural}/${found.metadata.name} (${propagationPolicy})`);
    await this.#cluster.admin.delete(
      kind as never,
      { namespace: NAMESPACE, name: found.metadata.name },
      { propagationPolicy },
    );
  }

  async #killPod(): Promise<void> {
    const found = this.#pick(this.#cluster.list(pods, NAMESPACE).filter(isPodActive));
    if (found === undefined) return;
    this.#settled.clear();
    this.#log(`delete pod ${found.metadata.name}`);
    await this.#cluster.admin.delete(pods, { namespace: NAMESPACE, name: found.metadata.name });
  }

  async #setFaults(): Promise<void> {
    const some = (most: number) => (this.#random.int(2) === 0 ? 0 : this.#random.float() * most);
    const faults: Faults =
      this.#random.int(3) === 0
        ? NO_FAULTS
        : {
            dropRequest: some(0.2),
            dropResponse: some(0.1),
            conflict: some(0.3),
            dropWatch: some(0.05),
            delayWatch: some(0.3),
          };
    this.#log(`faults ${JSON.stringify(faults)}`);
    this.#cluster.faults = faults;
    await Promise.resolve();
  }

  async #crash(): Promise<void> {
    this.#log("controllers crash and start again");
    await this.#cluster.crashControllers();
    await this.#cluster.advance(this.#random.int(5000));
    this.#cluster.startControllers();
  }

  async #duplicate(): Promise<void> {
    this.#log("a second leader");
    this.#cluster.startControllers();
    await this.#cluster.advance(this.#random.int(3000));
    await this.#cluster.crashControllers();
    this.#cluster.startControllers();
  }

  async #toggleNode(): Promise<void> {
    const name = this.#pick(this.#cluster.nodes.names)!;
    this.#settled.clear();
    if (this.#cluster.nodes.isUp(name)) {
      this.#log(`${name} falls silent`);
      this.#cluster.nodes.stop(name);
    } else {
      this.#log(`${name} comes back`);
      await this.#cluster.nodes.restart(name);
    }
  }

  /** Trouble ends, and everything gets the time it needs. */
  async #calm(): Promise<void> {
    const cluster = this.#cluster;
    this.#log("calm");
    cluster.faults = NO_FAULTS;
    for (const name of cluster.nodes.names) if (!cluster.nodes.isUp(name)) await cluster.nodes.restart(name);
    for (const { metadata, spec } of cluster.list(deployments, NAMESPACE))
      if (spec.paused === true)
        await cluster.admin.patch(deployments, { namespace: NAMESPACE, name: metadata.name }, "merge", {
          spec: { paused: false },
        });
    const end = cluster.clock.now() + CALM_MS;
    for (;;) {
      await cluster.advance(CALM_STEP_MS, () => this.#checkAlways());
      const wrong = this.#notConverged();
      if (wrong === undefined) return;
      if (cluster.clock.now() >= end) throw new Error(wrong);
    }
  }

  /** True at every moment. */
  #checkAlways(): void {
    const all = this.#cluster.list(pods, NAMESPACE);
    const sets = this.#cluster.list(replicaSets, NAMESPACE);
    for (const found of this.#cluster.list(deployments, NAMESPACE)) this.#checkDeployment(found, sets, all);
    const names = new Set<string>();
    for (const { metadata } of all) {
      if (names.has(metadata.name)) throw new Error(`two pods named ${metadata.name}`);
      names.add(metadata.name);
    }
  }

  #checkDeployment(
    found: Deployment,
    sets: readonly { metadata: { uid: string }; spec: { replicas?: number } }[],
    all: readonly Pod[],
  ): void {
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
    if (this.#cluster.nodes.names.some((node) => !this.#cluster.nodes.isUp(node))) {
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

  /** What has not come to rest yet; undefined when everything has. */
  #notConverged(): string | undefined {
    try {
      this.#checkConverged();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Holds when everything has come to rest. */
  #checkConverged(): void {
    const cluster = this.#cluster;
    const all = cluster.list(pods, NAMESPACE);
    const fail = (text: string) => {
      throw new Error(text);
    };
    for (const { metadata, spec, status } of cluster.list(deployments, NAMESPACE)) {
      const replicas = spec.replicas ?? 1;
      const sets = cluster.list(replicaSets, NAMESPACE).filter((set) => controllerOf(set)?.uid === metadata.uid);
      const running = all.filter(
        (pod) => sets.some((set) => set.metadata.uid === controllerOf(pod)?.uid) && isPodActive(pod),
      );
      if (running.length !== replicas) fail(`deployment ${metadata.name} has ${running.length} pods, not ${replicas}`);
      if ((status?.availableReplicas ?? 0) !== replicas || (status?.updatedReplicas ?? 0) !== replicas)
        fail(`deployment ${metadata.name} says ${JSON.stringify(status)}`);
      const addresses = cluster.list(endpoints, NAMESPACE).find((found) => found.metadata.name === metadata.name);
      const known = addresses?.subsets?.flatMap((subset) => subset.addresses ?? []).length ?? 0;
      if (known !== replicas) fail(`service ${metadata.name} has ${known} endpoints, not ${replicas}`);
      const slices = cluster
        .list(endpointSlices, NAMESPACE)
        .filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name);
      const sliced = slices.flatMap((slice) => slice.endpoints ?? []).length;
      if (sliced !== replicas) fail(`service ${metadata.name} has ${sliced} endpoints in slices, not ${replicas}`);
      if (sets.filter((set) => set.spec.replicas === 0).length > 2 + (replicas === 0 ? 1 : 0))
        fail(`deployment ${metadata.name} keeps ${sets.length} sets`);
    }
    for (const { metadata, spec, status } of cluster.list(statefulSets, NAMESPACE)) {
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
    for (const { metadata, status } of cluster.list(daemonSets, NAMESPACE)) {
      const on = all
        .filter((pod) => controllerOf(pod)?.uid === metadata.uid)
        .map((pod) => pod.spec.nodeName)
        .sort();
      if (on.join() !== cluster.nodes.names.join()) fail(`daemon set ${metadata.name} runs on ${on.join()}`);
      if (status?.updatedNumberScheduled !== 3 || status.numberAvailable !== 3)
        fail(`daemon set ${metadata.name} says ${JSON.stringify(status)}`);
    }
    for (const job of cluster.list(jobs, NAMESPACE)) this.#checkJob(job);
    for (const { metadata } of all) {
      if ((metadata.finalizers ?? []).length > 0) fail(`pod ${metadata.name} still has ${metadata.finalizers?.join()}`);
      if (metadata.deletionTimestamp !== undefined) fail(`pod ${metadata.name} is still being deleted`);
    }
  }

  #checkJob(job: Job): void {
    const { name, uid } = job.metadata;
    const { status, spec } = job;
    const end = status?.conditions?.find(
      ({ type, status: state }) => (type === "Complete" || type === "Failed") && state === "True",
    );
    if (end === undefined) throw new Error(`job ${name} is not finished: ${JSON.stringify(status)}`);
    const outcomes = [...(this.#outcomes.get(uid)?.values() ?? [])];
    const failed = outcomes.filter((outcome) => outcome === "Failed").length;
    if (end.type === "Complete" && status?.succeeded !== spec.completions)
      throw new Error(`job ${name} is complete with ${status?.succeeded} of ${spec.completions}`);
    if ((status?.failed ?? 0) !== failed)
      throw new Error(`job ${name} counts ${status?.failed ?? 0} failed pods, there were ${failed}`);
    const succeeded = outcomes.length - failed;
    if (spec.completionMode !== "Indexed" && (status?.succeeded ?? 0) !== succeeded)
      throw new Error(`job ${name} counts ${status?.succeeded ?? 0} succeeded pods, there were ${succeeded}`);
    const uncounted = status?.uncountedTerminatedPods ?? {};
    if ((uncounted.failed?.length ?? 0) + (uncounted.succeeded?.length ?? 0) > 0)
      throw new Error(`job ${name} has uncounted pods`);
  }

  async #checkQuiet(): Promise<void> {
    const before = this.writes.length;
    await this.#cluster.advance(2 * 60_000);
    const written = this.writes.slice(before);
    if (written.length > 0) throw new Error(`written although nothing changed: ${written.slice(0, 5).join(", ")}`);
  }

  async #removeAll(): Promise<void> {
    const cluster = this.#cluster;
    await cluster.admin.delete(namespaces, { namespace: "", name: NAMESPACE });
    await cluster.until(
      "the namespace is gone",
      () => cluster.list(namespaces).every(({ metadata }) => metadata.name !== NAMESPACE),
      10 * 60_000,
    );
    for (const kind of [
      pods,
      replicaSets,
      deployments,
      jobs,
      statefulSets,
      daemonSets,
      controllerRevisions,
      endpoints,
      endpointSlices,
    ] as const) {
      const left = cluster.list<{ metadata: { name: string } }>(kind as never, NAMESPACE);
      if (left.length > 0)
        throw new Error(`${kind.plural} outlive their namespace: ${left.map(({ metadata }) => metadata.name).join()}`);
    }
  }
}
