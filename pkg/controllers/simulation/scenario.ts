/** A random history of one simulated cluster, with faults, checked all along. */
import {
  controllerRevisions,
  cronJobs,
  daemonSets,
  deployments,
  endpoints,
  endpointSlices,
  jobs,
  namespaces,
  nodes,
  podDisruptionBudgets,
  pods,
  replicaSets,
  replicationControllers,
  services,
  statefulSets,
} from "#pkg/api/refs.ts";
import { errorMessage, SeededRandom } from "#pkg/util/index.ts";
import { Actions, type Troubles } from "./actions.ts";
import type { Foundation } from "./api.ts";
import { SimulatedCluster } from "./cluster.ts";
import { NO_FAULTS } from "./faulty-transport.ts";
import { Invariants, STRAY } from "./invariants.ts";

const NAMESPACE = "sim";
/** Longer than the longest backoff of a work queue: by then everything must have come to rest. */
const CALM_MS = 20 * 60_000;
const CALM_STEP_MS = 60_000;
const CRON_MS = 150_000;

export interface ScenarioOptions extends Troubles {
  readonly seed: number;
  readonly steps: number;
  /** Runs the real scheduler, under the same troubles. */
  readonly realScheduler: boolean;
}

/** Which troubles a seed brings, how long it lasts, and which scheduler it has. Equal chances, independent of each other. */
export function scenarioOf(seed: number): ScenarioOptions {
  const dice = new SeededRandom(Math.imul(seed, 0x9e3779b1));
  const one = (of: number) => dice.int(of) === 0;
  return {
    seed,
    // Many short histories find more than a few long ones; some things go wrong only late in a long one.
    steps: one(24) ? 40 : 3 + dice.int(8),
    network: (["sound", "late", "lossy", "lossy"] as const)[dice.int(4)]!,
    crashes: one(3),
    nodeLoss: one(4),
    clockJumps: one(5),
    meddling: one(3),
    realScheduler: one(3),
  };
}

/** Runs one history; throws with the seed in its message when something is wrong. Returns every write, with its time. */
export async function runScenario(options: ScenarioOptions, foundation?: Foundation): Promise<readonly string[]> {
  const cluster = await SimulatedCluster.start({
    foundation,
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
      `seed ${options.seed}: ${errorMessage(cause)}\n${scenario.history.join("\n")}\nTo see it again: hack/simulate --from ${options.seed} --seeds 1`,
      { cause },
    );
  } finally {
    await cluster.close();
  }
}

class Scenario {
  readonly #cluster: SimulatedCluster;
  readonly #options: ScenarioOptions;
  readonly #invariants: Invariants;
  readonly history: string[] = [];
  readonly writes: string[] = [];

  constructor(cluster: SimulatedCluster, options: ScenarioOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#invariants = new Invariants(cluster, NAMESPACE, options);
    cluster.wire.onWrite = ({ method, path }) => this.writes.push(`${cluster.clock.monotonic()} ${method} ${path}`);
  }

  async run(): Promise<void> {
    const cluster = this.#cluster;
    await cluster.observe(deployments, replicaSets, statefulSets, daemonSets, jobs, cronJobs, replicationControllers);
    await cluster.observe(services, endpoints, endpointSlices, namespaces, nodes, controllerRevisions);
    await cluster.observe(podDisruptionBudgets);
    await cluster.admin.create(namespaces, { metadata: { name: NAMESPACE }, spec: {} });
    await cluster.advance(1000);
    const actions = new Actions({
      cluster,
      namespace: NAMESPACE,
      troubles: this.#options,
      invariants: this.#invariants,
      log: (text) => this.#log(text),
    });
    if (this.#options.network !== "sound") actions.setFaults();
    for (let step = 0; step < this.#options.steps; step++) {
      await actions.next();
      // Mostly one thing soon after the other; now and then there is time for schedules and deadlines.
      const pauseMs = cluster.random.int(6) === 0 ? 90_000 : 8000;
      await cluster.advance(cluster.random.int(pauseMs), () => this.#invariants.always());
    }
    await this.#calm();
    await this.#checkQuiet();
    await this.#removeAll();
  }

  #log(text: string): void {
    this.history.push(`${Math.round(this.#cluster.clock.monotonic())} ms: ${text}`);
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
    // A schedule needs minutes to show what it does; jobs of it end by their deadline after that.
    if (cluster.list(cronJobs, NAMESPACE).length > 0) await cluster.advance(CRON_MS, () => this.#invariants.always());
    for (const { metadata } of cluster.list(cronJobs, NAMESPACE))
      await cluster.admin.patch(cronJobs, { namespace: NAMESPACE, name: metadata.name }, "merge", {
        spec: { suspend: true },
      });
    // A stray pod holds the name that a stateful set needs.
    await cluster.admin.deleteCollection(pods, NAMESPACE, { labelSelector: `app=${STRAY}` });
    const end = cluster.clock.now() + CALM_MS;
    for (;;) {
      await cluster.advance(CALM_STEP_MS, () => this.#invariants.always());
      const wrong = this.#invariants.notConverged();
      if (wrong === undefined) return;
      if (cluster.clock.now() >= end) throw new Error(wrong);
    }
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
      cronJobs,
      replicationControllers,
      podDisruptionBudgets,
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
