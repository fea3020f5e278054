/** Wires the kubelet's parts together and runs them. */
import { mkdir, readFile } from "node:fs/promises";
import { hostname as osHostname } from "node:os";
import { join } from "node:path";
import type { Node, NodeStatus } from "#pkg/api/types/core-v1.ts";
import { nodes, pods } from "#pkg/api/refs.ts";
import type { Client } from "#pkg/client/index.ts";
import { errorMessage, SecureRandom, SpawnRunner, sleep, pause } from "#pkg/util/index.ts";
import type { Clock, CommandRunner, Logger, Random } from "#pkg/util/index.ts";
import { CertificateManager, servingPurpose } from "./certificates/manager.ts";
import type { IssuedCertificate } from "./certificates/manager.ts";
import type { CgroupManager } from "./cgroups/manager.ts";
import { milliCpu } from "./cgroups/resources.ts";
import { DEFAULT_CONFIG } from "./config.ts";
import type { KubeletConfig } from "./config.ts";
import type { ConnectionMetrics } from "./connection-metrics.ts";
import type { Image, Runtime, RuntimeStatus } from "./cri/runtime.ts";
import { Maintenance } from "./maintenance.ts";
import { KubeletMetrics } from "./metrics.ts";
import type { NodeAgent } from "./node/agent.ts";
import { defaultAddresses, readMachine } from "./node/machine.ts";
import type { MachineFacts } from "./node/machine.ts";
import { memoryForPods, nodeStatus } from "./node/status.ts";
import { buildParts } from "./parts.ts";
import type { Host, Parts } from "./parts.ts";
import type { PodManager } from "./pod/manager.ts";
import { countPods } from "./pod/counts.ts";
import { readySandbox, runningPod } from "./pod/observed.ts";
import { parseResolvConf } from "./pod/network.ts";
import { KubeletAuth } from "./server/auth.ts";
import { KubeletServer } from "./server/server.ts";
import { servingCertificate } from "./server/serving-cert.ts";
import { fileSystemStats } from "./stats/file-system.ts";
import { cadvisorMetrics } from "./stats/cadvisor.ts";
import { resourceMetrics, volumeMetrics } from "./stats/resource-metrics.ts";
import { summary } from "./stats/summary.ts";

const RUNTIME_STATUS_PERIOD_MS = 5000;

/** What a kubelet works with. */
export interface KubeletDeps {
  /** Authenticates as system:node:<nodeName>. */
  readonly client: Client;
  /** What is known of the client's connection, for those who ask for metrics. */
  readonly connection?: ConnectionMetrics;
  readonly runtime: Runtime;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config?: Partial<KubeletConfig>;
  readonly random?: Random;
  readonly commands?: CommandRunner;
}

/** The node agent. */
export interface Kubelet {
  /** Resolves when the signal has aborted and everything has stopped. Containers go on running. */
  run(signal: AbortSignal): Promise<void>;
}

/** Makes a kubelet; nothing happens before it is run. */
export function createKubelet(deps: KubeletDeps): Kubelet {
  return { run: async (signal) => new KubeletProcess(deps, signal).run() };
}

class KubeletProcess {
  readonly #deps: KubeletDeps;
  readonly #signal: AbortSignal;
  readonly #config: KubeletConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: Random;
  readonly #commands: CommandRunner;
  readonly #metrics = new KubeletMetrics();
  #machine!: MachineFacts;
  #addresses: readonly string[] = [];
  #hostname = "";
  #runtimeInfo = { name: "containerd", version: "" };
  #runtimeStatus: RuntimeStatus | undefined;
  #runtimeError: string | undefined = "container runtime status check may not have completed yet";
  /** Monotonic time at which the runtime last said how it is. */
  #runtimeSeen = -Infinity;
  #node: Node | undefined;
  #diskCapacity = 0;
  #hostDns = parseResolvConf("");
  #hostHosts = "";
  readonly #startedAt: number;
  #port: number;
  #maintenance: Maintenance | undefined;
  #server: KubeletServer | undefined;
  #images: readonly Image[] = [];

  constructor(deps: KubeletDeps, signal: AbortSignal) {
    this.#deps = { ...deps, runtime: this.#metrics.measured(deps.runtime, deps.clock) };
    this.#signal = signal;
    this.#config = { ...DEFAULT_CONFIG, ...deps.config };
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: "kubelet" });
    this.#random = deps.random ?? new SecureRandom();
    this.#commands = deps.commands ?? new SpawnRunner();
    this.#port = this.#config.port;
    this.#startedAt = deps.clock.now();
  }

  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    }
  }

  async #readHost(): Promise<void> {
    const { resolvConf, rootDirectory } = this.#config;
    const optional = async (path: string) => {
      try {
        return path === "" ? "" : await readFile(path, "utf8");
      } catch (err) {
        this.#log.warn({ err, path }, "A file of the host could not be read");
        return "";
      }
    };
    this.#hostDns = parseResolvConf(await optional(resolvConf));
    this.#hostHosts = await optional("/etc/hosts");
    await mkdir(rootDirectory, { recursive: true, mode: 0o750 });
    this.#diskCapacity = (await fileSystemStats(rootDirectory))?.capacityBytes ?? 0;
  }

  async #run(): Promise<void> {
    const signal = this.#signal;
    const config = this.#config;
    this.#hostname = (config.hostname === "" ? osHostname() : config.hostname).toLowerCase();
    this.#machine = await readMachine(this.#hostname);
    this.#addresses = config.nodeIP === "" ? await defaultAddresses() : config.nodeIP.split(",");
    await this.#readHost();
    await this.#waitForRuntime();

    const host = this.#host();
    const parts = await buildParts(host);
    const maintenance = new Maintenance(host, parts);
    this.#maintenance = maintenance;
    const { factory, pleg, manager, agent } = parts;
    const podInformer = factory.informer(pods, { fieldSelector: `spec.nodeName=${this.#deps.nodeName}` });
    const nodeInformer = factory.informer(nodes, { fieldSelector: `metadata.name=${this.#deps.nodeName}` });
    nodeInformer.addHandler({
      onAdd: (node) => this.#setNode(node),
      onUpdate: (node) => this.#setNode(node),
      onDelete: () => {
        this.#node = undefined;
        agent.wake();
      },
    });
    await parts.volumes.keepOthersOut();
    await this.#setUpCgroups(parts.cgroups);
    await this.#serve(parts);
    await pleg.relist(signal);
    manager.start(podInformer, signal);
    factory.start(signal);
    const running: Promise<unknown>[] = [pleg.run(signal), agent.run(signal), this.#followRuntime(agent, manager)];
    running.push((await maintenance.followStaticPods()).following);
    await factory.synced(signal);
    // Only now is a pod that the runtime has and nobody names an orphan.
    manager.sourcesReady();
    await manager.cleanDirectories(parts.volumes);
    this.#log.info({ node: this.#deps.nodeName, port: this.#port }, "The kubelet is running");
    running.push(maintenance.evict(), maintenance.collectImages(), maintenance.rotateLogs(), maintenance.cleanUp());
    await Promise.allSettled(running);
    await manager.settled();
    parts.probes.stop();
    parts.objects.stop();
  }

  #host(): Host {
    const { client, runtime, nodeName } = this.#deps;
    return {
      client,
      runtime,
      nodeName,
      clock: this.#clock,
      log: this.#log,
      random: this.#random,
      commands: this.#commands,
      config: this.#config,
      signal: this.#signal,
      machine: this.#machine,
      metrics: this.#metrics,
      hostname: this.#hostname,
      addresses: () => this.#addresses,
      dns: () => this.#hostDns,
      hosts: () => this.#hostHosts,
      node: () => this.#node,
      setNode: (node) => this.#setNode(node),
      runtimeName: () => this.#runtimeInfo.name,
      runtimeHandlers: () => this.#runtimeStatus?.handlers ?? [],
      supplementalGroupsPolicy: () => this.#runtimeStatus?.supplementalGroupsPolicy ?? false,
      networkProblem: () => this.#networkProblem(),
      pressure: () => this.#maintenance?.pressure(),
      computeStatus: (node, signal) => this.#computeStatus(node, signal),
    };
  }

  /** The server comes before registration: the node's status names its port. */
  async #serve(parts: Parts): Promise<void> {
    const { manager, pleg, stats, files, podsWithStatus: withStatus } = parts;
    const { client, runtime, nodeName } = this.#deps;
    const config = this.#config;
    const clock = this.#clock;
    const { rootDirectory, runtimeCgroups } = config;
    const server = new KubeletServer({
      config,
      runtime,
      clock,
      log: this.#log,
      auth: new KubeletAuth({
        client,
        clock,
        nodeName,
        anonymousAuth: config.anonymousAuth,
        authorizationMode: config.authorizationMode,
      }),
      certificate: await servingCertificate(config, this.#hostname, this.#addresses, clock),
      clientCA: config.clientCAFile === "" ? "" : await readFile(config.clientCAFile, "utf8"),
      findPod: (namespace, name) => manager.find(namespace, name),
      pods: withStatus,
      observed: (uid) => pleg.get(uid),
      runningPods: () => pleg.uids().flatMap((uid) => runningPod(pleg.get(uid))),
      health: () => (pleg.healthy() ? undefined : "the runtime has not been listed for too long"),
      summary: (only, signal) =>
        summary(
          { runtime, clock, nodeName, rootDirectory, runtimeCgroups, stats, files, pods: withStatus },
          only,
          signal,
        ),
      metrics: (which, signal) => this.#metricsText(parts, which, signal),
      onRequest: (method, path, longRunning) => this.#metrics.request(method, path, longRunning, clock),
    });
    this.#server = server;
    this.#port = await server.listen(this.#signal);
    await server.listenHealth(this.#signal);
    if (config.rotateServerCertificates) this.#keepServingCertificate(server);
  }

  async #metricsText(
    { manager, pleg, stats, files, cgroups }: Parts,
    which: "kubelet" | "cadvisor" | "resource" | "probes",
    signal: AbortSignal,
  ): Promise<string> {
    const pods = manager.activePods();
    if (which === "probes") return this.#metrics.probeText();
    if (which === "resource") return resourceMetrics(stats, pods, signal);
    if (which === "cadvisor") {
      const { rootDirectory } = this.#config;
      const seen = { pods, observed: (uid: string) => pleg.get(uid) };
      return cadvisorMetrics({ stats, cgroups, machine: this.#machine, rootDirectory, ...seen }, signal);
    }
    const observed = pleg.uids().map((uid) => pleg.get(uid));
    const containers: Record<string, number> = {};
    for (const { state } of observed.flatMap((pod) => pod.containers))
      containers[state.toLowerCase()] = (containers[state.toLowerCase()] ?? 0) + 1;
    const own = await this.#metrics.text({
      nodeName: this.#deps.nodeName,
      architecture: this.#machine.architecture,
      runningPods: observed.filter((pod) => readySandbox(pod) !== undefined).length,
      containers,
      pods: countPods(manager.workers(), (uid) => manager.isStatic(uid)),
      servingCertificateSeconds: ((this.#server?.certificateEnds ?? Infinity) - this.#clock.now()) / 1000,
      startedAt: this.#startedAt,
    });
    const volumes = [...(await files.of(pods)).values()].flatMap((found) => found.volumes);
    const connection = (await this.#deps.connection?.text(this.#clock.now())) ?? "";
    return own + volumeMetrics(volumes) + connection;
  }

  /** Until an administrator has approved the request, the server goes on with the certificate that it made itself. */
  #keepServingCertificate(server: KubeletServer): void {
    const { client, nodeName, log } = this.#deps;
    const manager = new CertificateManager({
      purpose: servingPurpose(nodeName, [this.#hostname], this.#addresses),
      directory: join(this.#config.rootDirectory, "pki"),
      clock: this.#clock,
      random: this.#random,
      log,
    });
    const renewal = {
      issued: (certificate: IssuedCertificate) => server.useCertificate(certificate),
      failed: () => this.#metrics.servingRenewalErrors.inc(),
    };
    void manager
      .current()
      .then((issued) => (issued === undefined ? undefined : server.useCertificate(issued)))
      .then(() => manager.run(client, renewal, this.#signal))
      .catch((err: unknown) => log.error({ err }, "The serving certificate is not renewed any more"));
  }

  #setNode(node: Node): void {
    this.#node = node;
  }

  async #waitForRuntime(): Promise<void> {
    for (;;) {
      try {
        this.#runtimeInfo = await this.#deps.runtime.version({ signal: this.#signal, timeoutMs: 5000 });
        await this.#checkRuntime();
        return;
      } catch (err) {
        if (this.#signal.aborted) throw err;
        this.#log.warn({ err }, "The container runtime does not answer yet");
        await sleep(this.#clock, 1000, this.#signal);
      }
    }
  }

  async #checkRuntime(): Promise<void> {
    this.#runtimeStatus = await this.#deps.runtime.status({ signal: this.#signal, timeoutMs: 10_000 });
    this.#runtimeSeen = this.#clock.monotonic();
    const ready = this.#runtimeStatus.conditions.find(({ type }) => type === "RuntimeReady");
    this.#runtimeError =
      ready?.status === true
        ? undefined
        : `container runtime not ready: RuntimeReady=${ready?.status ?? false} reason:${ready?.reason ?? ""} message:${ready?.message ?? ""}`;
  }

  #networkProblem(): string | undefined {
    const network = this.#runtimeStatus?.conditions.find(({ type }) => type === "NetworkReady");
    if (network === undefined || network.status) return undefined;
    return `container runtime network not ready: NetworkReady=false reason:${network.reason} message:${network.message}`;
  }

  async #followRuntime(agent: NodeAgent, manager: PodManager): Promise<void> {
    while (!this.#signal.aborted) {
      const before = `${this.#runtimeError ?? ""}${this.#networkProblem() ?? ""}`;
      try {
        await this.#checkRuntime();
      } catch (err) {
        if (this.#signal.aborted) return;
        const silentMs = this.#clock.monotonic() - this.#runtimeSeen;
        if (silentMs >= this.#config.runtimeDownAfterSeconds * 1000)
          this.#runtimeError = `container runtime is down: ${errorMessage(err)}`;
        else this.#log.warn({ err }, "The runtime does not say how it is");
      }
      if (before !== `${this.#runtimeError ?? ""}${this.#networkProblem() ?? ""}`) {
        agent.wake();
        manager.wakeAll();
      }
      await pause(this.#clock, RUNTIME_STATUS_PERIOD_MS, this.#signal);
    }
  }

  async #setUpCgroups(cgroups: CgroupManager): Promise<void> {
    const { allocatable = {} } = await this.#computeStatus(undefined);
    await cgroups.setUpNode({
      milliCpu: milliCpu(allocatable) ?? this.#machine.cpuCount * 1000,
      memoryBytes: memoryForPods(this.#machine, this.#config),
    });
  }

  async #computeStatus(node: Node | undefined, signal: AbortSignal = this.#signal): Promise<NodeStatus> {
    const problems = [this.#runtimeError, this.#networkProblem()].filter((problem) => problem !== undefined);
    try {
      this.#images = await this.#deps.runtime.listImages({ signal, timeoutMs: 10_000 });
    } catch (err) {
      // A runtime that is down makes the node not ready by itself; its images are still there.
      this.#log.debug({ err }, "The runtime's images could not be listed");
    }
    return nodeStatus({
      node,
      now: this.#clock.now(),
      machine: this.#machine,
      config: this.#config,
      addresses: this.#addresses,
      hostname: this.#hostname,
      runtime: this.#runtimeInfo,
      handlers: this.#runtimeStatus?.handlers ?? [],
      supplementalGroupsPolicy: this.#runtimeStatus?.supplementalGroupsPolicy ?? false,
      images: this.#images,
      problems,
      pressure: this.#maintenance?.pressure() ?? { memory: false, disk: false, pid: false },
      diskCapacityBytes: this.#diskCapacity,
      volumesInUse: [],
      port: this.#port,
    });
  }
}
