/** What an administrator, and misfortune, do to a simulated cluster: one thing at a time, chosen by dice. */
import { isStatusError, keyOf } from "#pkg/apimachinery/index.ts";
import {
  cronJobs,
  daemonSets,
  deployments,
  jobs,
  podDisruptionBudgets,
  pods,
  replicationControllers,
  services,
  statefulSets,
} from "#pkg/api/refs.ts";
import type { Random } from "#pkg/util/index.ts";
import { isPodActive } from "../common/pods.ts";
import type { SimulatedCluster } from "./cluster.ts";
import { type Faults, NO_FAULTS } from "./faulty-transport.ts";
import { EXIT_CODE } from "./hollow-nodes.ts";
import type { Invariants } from "./invariants.ts";
import { editsByHand } from "./meddling.ts";
import { deployment, template } from "./objects.ts";

/** Which troubles may come. */
export interface Troubles {
  /** "late": watches tell late what happened; "lossy": they break, too, and requests and answers get lost. */
  readonly network: "sound" | "late" | "lossy";
  readonly crashes: boolean;
  readonly nodeLoss: boolean;
  /** The clock of the day is set, forward and back. */
  readonly clockJumps: boolean;
  /** Objects are edited by hand between two steps. */
  readonly meddling: boolean;
}

export class Actions {
  readonly #cluster: SimulatedCluster;
  readonly #namespace: string;
  readonly #troubles: Troubles;
  readonly #invariants: Invariants;
  readonly #log: (text: string) => void;
  readonly #random: Random;
  #names = 0;

  constructor(deps: {
    cluster: SimulatedCluster;
    namespace: string;
    troubles: Troubles;
    invariants: Invariants;
    log: (text: string) => void;
  }) {
    this.#cluster = deps.cluster;
    this.#namespace = deps.namespace;
    this.#troubles = deps.troubles;
    this.#invariants = deps.invariants;
    this.#log = deps.log;
    this.#random = deps.cluster.random;
  }

  async next(): Promise<void> {
    const { network, crashes, nodeLoss, clockJumps, meddling } = this.#troubles;
    const actions: (() => Promise<void> | void)[] = [
      () => this.#createDeployment(),
      () => this.#changeDeployment(),
      () => this.#changeDeployment(),
      () => this.#createJob(),
      () => this.#createStatefulSet(),
      () => this.#changeStatefulSet(),
      () => this.#createDaemonSet(),
      () => this.#changeDaemonSet(),
      () => this.#createCronJob(),
      () => this.#scaleReplicationController(),
      () => this.#evictPod(),
      () => this.#deleteSomething(),
      () => this.#killPod(),
      ...(network === "sound" ? [] : [() => this.setFaults(), () => this.setFaults()]),
      ...(crashes ? [() => this.#crash(), () => this.#crashWhileWriting(), () => this.#duplicate()] : []),
      ...(nodeLoss ? [() => this.#toggleNode()] : []),
      ...(clockJumps ? [() => this.#setClock()] : []),
      ...(meddling ? [() => this.#meddle(), () => this.#meddle()] : []),
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
      deployment(this.#namespace, name, replicas, { strategy, revisionHistoryLimit: 2 }),
    );
    await this.#cluster.admin.create(services, {
      metadata: { namespace: this.#namespace, name },
      spec: { clusterIP: "None", selector: { app: name }, ports: [{ port: 80 }] },
    });
  }

  async #changeDeployment(): Promise<void> {
    const found = this.#pick(this.#cluster.list(deployments, this.#namespace));
    if (found === undefined) return;
    const change = this.#pick([
      { spec: { replicas: this.#random.int(8) } },
      { spec: { template: { metadata: { annotations: { version: String(this.#random.int(4)) } } } } },
      { spec: { template: { metadata: { annotations: { version: String(this.#random.int(4)) } } } } },
      { spec: { paused: this.#random.int(3) === 0 } },
    ])!;
    if ("replicas" in change.spec) this.#invariants.disturbed(found.metadata.uid);
    this.#log(`change deployment ${found.metadata.name}: ${JSON.stringify(change)}`);
    await this.#cluster.admin.patch(
      deployments,
      { namespace: this.#namespace, name: found.metadata.name },
      "merge",
      change,
    );
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
      metadata: { namespace: this.#namespace, name },
      spec: { ...spec, template: { ...pod, spec: { ...pod.spec!, restartPolicy: "Never" } } },
    });
  }

  async #createStatefulSet(): Promise<void> {
    if (this.#cluster.list(statefulSets, this.#namespace).length >= 2) return;
    const name = `s${this.#names++}`;
    const podManagementPolicy = this.#random.int(2) === 0 ? "Parallel" : "OrderedReady";
    const replicas = this.#random.int(5);
    this.#log(`create stateful set ${name} with ${replicas} replicas, ${podManagementPolicy}`);
    await this.#cluster.admin.create(statefulSets, {
      metadata: { namespace: this.#namespace, name },
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
    const found = this.#pick(this.#cluster.list(statefulSets, this.#namespace));
    if (found === undefined) return;
    const change = this.#pick([
      { spec: { replicas: this.#random.int(5) } },
      { spec: { template: { metadata: { annotations: { version: String(this.#random.int(3)) } } } } },
    ])!;
    if ("replicas" in change.spec) this.#invariants.disturbed(found.metadata.uid);
    this.#log(`change stateful set ${found.metadata.name}: ${JSON.stringify(change)}`);
    await this.#cluster.admin.patch(
      statefulSets,
      { namespace: this.#namespace, name: found.metadata.name },
      "merge",
      change,
    );
  }

  async #createDaemonSet(): Promise<void> {
    if (this.#cluster.list(daemonSets, this.#namespace).length >= 1) return;
    const name = `n${this.#names++}`;
    this.#log(`create daemon set ${name}`);
    await this.#cluster.admin.create(daemonSets, {
      metadata: { namespace: this.#namespace, name },
      spec: { selector: { matchLabels: { app: name } }, template: template({ app: name }) },
    });
  }

  async #changeDaemonSet(): Promise<void> {
    const found = this.#pick(this.#cluster.list(daemonSets, this.#namespace));
    if (found === undefined) return;
    const change = { spec: { template: { metadata: { annotations: { version: String(this.#random.int(3)) } } } } };
    this.#log(`change daemon set ${found.metadata.name}: ${JSON.stringify(change)}`);
    await this.#cluster.admin.patch(
      daemonSets,
      { namespace: this.#namespace, name: found.metadata.name },
      "merge",
      change,
    );
  }

  async #deleteSomething(): Promise<void> {
    if (this.#random.int(2) === 0) return;
    const kinds = [deployments, jobs, statefulSets, daemonSets, cronJobs] as const;
    const kind = this.#pick(kinds)!;
    const found = this.#pick(this.#cluster.list<{ metadata: { name: string } }>(kind as never, this.#namespace));
    if (found === undefined) return;
    const propagationPolicy = this.#random.int(3) === 0 ? "Foreground" : "Background";
    this.#log(`delete ${kind.plural}/${found.metadata.name} (${propagationPolicy})`);
    await this.#cluster.admin.delete(
      kind as never,
      { namespace: this.#namespace, name: found.metadata.name },
      { propagationPolicy },
    );
  }

  async #killPod(): Promise<void> {
    const found = this.#pick(this.#cluster.list(pods, this.#namespace).filter(isPodActive));
    if (found === undefined) return;
    this.#invariants.disturbed();
    this.#log(`delete pod ${found.metadata.name}`);
    await this.#cluster.admin.delete(pods, { namespace: this.#namespace, name: found.metadata.name });
  }

  async #createCronJob(): Promise<void> {
    if (this.#cluster.list(cronJobs, this.#namespace).length >= 1) return;
    const name = `c${this.#names++}`;
    const concurrencyPolicy = this.#pick(["Allow", "Forbid", "Replace"])!;
    const pod = template({ cron: name }, this.#random.int(2) === 0 ? { [EXIT_CODE]: "0" } : {});
    this.#log(`create cron job ${name}, ${concurrencyPolicy}`);
    await this.#cluster.admin.create(cronJobs, {
      metadata: { namespace: this.#namespace, name },
      spec: {
        schedule: "* * * * *",
        concurrencyPolicy,
        jobTemplate: {
          spec: { activeDeadlineSeconds: 150, template: { ...pod, spec: { ...pod.spec!, restartPolicy: "Never" } } },
        },
      },
    });
  }

  /** A ReplicationController with a budget over its pods. */
  async #scaleReplicationController(): Promise<void> {
    const [found] = this.#cluster.list(replicationControllers, this.#namespace);
    const replicas = this.#random.int(5);
    if (found !== undefined) {
      this.#log(`scale replication controller ${found.metadata.name} to ${replicas}`);
      const scale = { spec: { replicas } };
      await this.#cluster.admin.patch(replicationControllers, keyOf(found), "merge", scale, { subresource: "scale" });
      return;
    }
    const name = `r${this.#names++}`;
    this.#log(`create replication controller ${name} with ${replicas} replicas and a budget`);
    const metadata = { namespace: this.#namespace, name };
    const app = { app: name };
    await this.#cluster.admin.create(replicationControllers, {
      metadata,
      spec: { replicas, selector: app, template: template(app) },
    });
    await this.#cluster.admin.create(podDisruptionBudgets, {
      metadata,
      spec: { minAvailable: 2, selector: { matchLabels: app } },
    });
  }

  async #evictPod(): Promise<void> {
    const found = this.#pick(this.#cluster.list(pods, this.#namespace).filter(isPodActive));
    if (found === undefined) return;
    this.#invariants.disturbed();
    this.#log(`evict pod ${found.metadata.name}`);
    const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: keyOf(found) };
    await this.#cluster.admin.createSubresource(pods, keyOf(found), "eviction", eviction);
  }

  /** Lets the network be as bad as it will be for a while. */
  setFaults(): void {
    const some = (most: number) => (this.#random.int(2) === 0 ? 0 : this.#random.float() * most);
    const faults: Faults =
      this.#random.int(3) === 0
        ? NO_FAULTS
        : {
            ...NO_FAULTS,
            delayWatch: some(0.3),
            ...(this.#troubles.network === "late"
              ? {}
              : {
                  dropRequest: some(0.2),
                  dropResponse: some(0.1),
                  conflict: some(0.3),
                  dropWatch: some(0.15),
                  expireWatch: some(1),
                }),
          };
    this.#log(`faults ${JSON.stringify(faults)}`);
    this.#cluster.faults = faults;
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

  /** The controllers die at some await of theirs: what they had begun is left as it is. */
  async #crashWhileWriting(): Promise<void> {
    const requests = 1 + this.#random.int(30);
    this.#log(`controllers crash at their request ${requests} from now`);
    const crashed = this.#cluster.crashAtRequest(requests);
    await this.#cluster.advance(this.#random.int(10_000));
    await crashed();
    this.#cluster.startControllers();
  }

  async #toggleNode(): Promise<void> {
    const name = this.#pick(this.#cluster.nodes.names)!;
    this.#invariants.disturbed();
    if (this.#cluster.nodes.isUp(name)) {
      this.#log(`${name} falls silent`);
      this.#cluster.nodes.stop(name);
    } else {
      this.#log(`${name} comes back`);
      await this.#cluster.nodes.restart(name);
    }
  }

  async #setClock(): Promise<void> {
    const seconds = this.#random.int(240) - 120;
    this.#log(`the clock is set by ${seconds} s`);
    this.#cluster.clock.set(this.#cluster.clock.now() + seconds * 1000);
    await Promise.resolve();
  }

  async #meddle(): Promise<void> {
    const edit = this.#pick(editsByHand(this.#cluster, this.#namespace));
    if (edit === undefined) return;
    this.#invariants.disturbed();
    this.#log(`by hand: ${edit.text}`);
    await edit.run();
  }
}
