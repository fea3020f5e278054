/** Wires the kubelet's parts together and runs them. */
import { mkdir, readFile, statfs } from "node:fs/promises";
import { hostname as osHostname } from "node:os";
import type { Node, NodeStatus, Pod } from "#pkg/api/types/core-v1.ts";
import {
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  runtimeClasses,
  serviceAccounts,
  services,
} from "#pkg/api/refs.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { createEventRecorder, createInformerFactory } from "#pkg/client/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { SecureRandom, SpawnRunner, sleep } from "#pkg/util/index.ts";
import type { Clock, CommandRunner, Logger, Random } from "#pkg/util/index.ts";
import { admitPod } from "./admission.ts";
import { CgroupManager, parseHierarchies } from "./cgroups/manager.ts";
import { milliCpu } from "./cgroups/resources.ts";
import { DEFAULT_CONFIG } from "./config.ts";
import type { KubeletConfig } from "./config.ts";
import type { Runtime, RuntimeStatus } from "./cri/runtime.ts";
import { ImagePuller } from "./images/puller.ts";
import { brokenLimit, hasStorageLimits } from "./eviction/limits.ts";
import { EvictionManager } from "./eviction/manager.ts";
import type { PodUsage } from "./eviction/rank.ts";
import { observe, parseThresholds } from "./eviction/signals.ts";
import { ImageGc } from "./images/gc.ts";
import { LogRotation } from "./logs/rotation.ts";
import { HostMounts } from "./mounts.ts";
import { NodeAgent } from "./node/agent.ts";
import { defaultAddresses, minimumOomScoreAdj, readMachine } from "./node/machine.ts";
import type { MachineFacts } from "./node/machine.ts";
import { nodeStatus } from "./node/status.ts";
import { ReferencedObjects } from "./objects.ts";
import { PodLifecycleEvents } from "./pleg.ts";
import { BackoffTable } from "./pod/backoff.ts";
import { Lifecycle } from "./pod/lifecycle.ts";
import { PodManager } from "./pod/manager.ts";
import { parseResolvConf } from "./pod/network.ts";
import { podSums } from "./cgroups/resources.ts";
import { qosClass } from "./pod/spec.ts";
import { Starter } from "./pod/starter.ts";
import type { NodeFacts } from "./pod/starter.ts";
import type { PodEventFunction, WorkerDeps } from "./pod/worker.ts";
import { ProbeManager } from "./probes/manager.ts";
import { Resizer } from "./resize.ts";
import { KubeletAuth } from "./server/auth.ts";
import { KubeletServer } from "./server/server.ts";
import { servingCertificate } from "./server/serving-cert.ts";
import { StatsProvider } from "./stats/stats.ts";
import { reconcileMirrors } from "./static/mirror.ts";
import { StaticPodSource } from "./static/source.ts";
import { StatusManager } from "./status-manager.ts";
import { TokenCache } from "./tokens.ts";
import { VolumeManager } from "./volumes/manager.ts";
import type { VolumeContext } from "./volumes/volume.ts";

const RUNTIME_STATUS_PERIOD_MS = 5000;
const HOUSEKEEPING_PERIOD_MS = 60_000;
const IMAGE_GC_PERIOD_MS = 300_000;
const LOG_PERIOD_MS = 10_000;
const MIRROR_PERIOD_MS = 2000;

export interface KubeletDeps {
  /** Authenticates as system:node:<nodeName>. */
  readonly client: Client;
  readonly runtime: Runtime;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly config?: Partial<KubeletConfig>;
  readonly random?: Random;
  readonly commands?: CommandRunner;
}

export interface Kubelet {
  /** Resolves when the signal has aborted and everything has stopped. Containers go on running. */
  run(signal: AbortSignal): Promise<void>;
}

export function createKubelet(deps: KubeletDeps): Kubelet {
  return { run: async (signal) => new KubeletProcess(deps, signal).run() };
}

type Parts = Awaited<ReturnType<KubeletProcess["build"]>>;

/** Everything of dead containers but the newest instance of each. */
async function removeDeadContainers(
  runtime: Runtime,
  manager: PodManager,
  pleg: PodLifecycleEvents,
  signal: AbortSignal,
): Promise<void> {
  for (const uid of pleg.uids()) {
    if (manager.get(uid)?.state === "syncing") continue;
    for (const { id, state } of pleg.get(uid).containers)
      if (state === "Exited") await runtime.removeContainer(id, { signal });
  }
}

class KubeletProcess {
  readonly #deps: KubeletDeps;
  readonly #signal: AbortSignal;
  readonly #config: KubeletConfig;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #random: Random;
  readonly #commands: CommandRunner;
  #machine!: MachineFacts;
  #addresses: readonly string[] = [];
  #hostname = "";
  #runtimeInfo = { name: "containerd", version: "" };
  #runtimeStatus: RuntimeStatus | undefined;
  #runtimeError: string | undefined = "container runtime status check may not have completed yet";
  #node: Node | undefined;
  #diskCapacity = 0;
  #hostDns = parseResolvConf("");
  #hostHosts = "";
  #port: number;
  #eviction: EvictionManager | undefined;

  constructor(deps: KubeletDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
    this.#config = { ...DEFAULT_CONFIG, ...deps.config };
    this.#clock = deps.clock;
    this.#log = deps.log.child({ component: "kubelet" });
    this.#random = deps.random ?? new SecureRandom();
    this.#commands = deps.commands ?? new SpawnRunner();
    this.#port = this.#config.port;
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
    const disk = await statfs(rootDirectory);
    this.#diskCapacity = disk.blocks * disk.bsize;
  }

  async #run(): Promise<void> {
    const signal = this.#signal;
    const config = this.#config;
    this.#hostname = (config.hostname === "" ? osHostname() : config.hostname).toLowerCase();
    this.#machine = await readMachine(this.#hostname);
    this.#addresses = config.nodeIP === "" ? await defaultAddresses() : config.nodeIP.split(",");
    await this.#readHost();
    await this.#waitForRuntime();

    const parts = await this.build();
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
    await this.#setUpCgroups(parts.cgroups);
    await this.#serve(parts);
    await pleg.relist(signal);
    manager.start(podInformer, signal);
    factory.start(signal);
    const running = [pleg.run(signal), agent.run(signal), this.#followRuntime(agent, manager)];
    if (config.staticPodPath !== "") running.push(this.#runStaticPods(manager));
    await factory.synced(signal);
    manager.sourcesReady();
    await manager.cleanDirectories(parts.volumes);
    running.push(this.#startEviction(parts), this.#collectGarbage(parts), this.#rotateLogs(parts));
    this.#log.info({ node: this.#deps.nodeName, port: this.#port }, "The kubelet is running");
    running.push(this.#housekeeping(parts));
    await Promise.allSettled(running);
    parts.probes.stop();
    parts.objects.stop();
  }

  /** The server comes before registration: the node's status names its port. */
  async #serve({ manager, pleg, stats, podsWithStatus: withStatus }: Parts): Promise<void> {
    const { client, runtime, nodeName } = this.#deps;
    const config = this.#config;
    const clock = this.#clock;
    const startupMs = clock.now();
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
      runningPods: () =>
        withStatus().filter(({ metadata }) => pleg.get(metadata.uid).sandboxes.some(({ state }) => state === "Ready")),
      health: () => (pleg.healthy() ? undefined : "the runtime has not been listed for too long"),
      summary: (only, signal) => stats.summary(only, signal),
      metrics: async (which, signal) => {
        if (which === "resource" || which === "cadvisor") return stats.resourceMetrics(signal);
        if (which === "probes") return "";
        const containers: Record<string, number> = {};
        for (const uid of pleg.uids()) {
          for (const { state } of pleg.get(uid).containers)
            containers[state.toLowerCase()] = (containers[state.toLowerCase()] ?? 0) + 1;
        }
        return stats.kubeletMetrics({ pods: manager.activePods().length, containers, startupMs });
      },
    });
    this.#port = await server.listen(this.#signal);
    await server.listenHealth(this.#signal);
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
        this.#runtimeError = `container runtime is down: ${err instanceof Error ? err.message : String(err)}`;
      }
      if (before !== `${this.#runtimeError ?? ""}${this.#networkProblem() ?? ""}`) {
        agent.wake();
        manager.wakeAll();
      }
      await sleep(this.#clock, RUNTIME_STATUS_PERIOD_MS, this.#signal).catch(() => undefined); // aborted: the loop's condition ends it
    }
  }

  async #setUpCgroups(cgroups: CgroupManager): Promise<void> {
    const { allocatable = {}, capacity = {} } = await this.#computeStatus(undefined);
    await cgroups.setUpNode({
      milliCpu: milliCpu(allocatable) ?? this.#machine.cpuCount * 1000,
      // Pods together may use what the node can give, less only what is reserved; eviction acts before that.
      memoryBytes: parseQuantity(capacity["memory"] ?? "0").toNumber(),
    });
  }

  async #computeStatus(node: Node | undefined, signal: AbortSignal = this.#signal): Promise<NodeStatus> {
    const problems = [this.#runtimeError, this.#networkProblem()].filter((problem) => problem !== undefined);
    const images = await this.#deps.runtime.listImages({ signal, timeoutMs: 10_000 }).catch(() => []);
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
      images,
      problems,
      pressure: this.#eviction?.pressure() ?? { memory: false, disk: false, pid: false },
      diskCapacityBytes: this.#diskCapacity,
      volumesInUse: [],
      port: this.#port,
    });
  }

  async build() {
    const { client, runtime, nodeName } = this.#deps;
    const clock = this.#clock;
    const log = this.#log;
    const config = this.#config;
    const signal = this.#signal;
    const recorder = createEventRecorder({ client, component: "kubelet", host: nodeName, clock, log, signal });
    const event: WorkerDeps["event"] = (pod, container, type, reason, message) => {
      const field = container === undefined ? undefined : containerField(pod, container);
      recorder.event(pod, type, reason, message, field);
    };
    const factory = createInformerFactory({ client, clock, log });
    const serviceLister = factory.informer(services).lister;
    const classLister = factory.informer(runtimeClasses).lister;
    const mounts = new HostMounts(this.#commands);
    const cgroups = new CgroupManager({
      hierarchies: parseHierarchies(await readFile("/proc/self/mountinfo", "utf8")),
      driver: (await runtime.cgroupDriver({ signal })) ?? config.cgroupDriver,
      cgroupRoot: config.cgroupRoot,
      perQos: config.cgroupsPerQOS,
      podPidsLimit: config.podPidsLimit,
      commands: this.#commands,
      log,
    });
    let manager: PodManager | undefined = undefined;
    const wake = (uid: string) => manager?.get(uid)?.wake();
    const pleg = new PodLifecycleEvents({ runtime, clock, log, onChange: (uid) => manager?.onRuntimeChange(uid) });
    const objects = new ReferencedObjects({
      client,
      clock,
      log,
      onChange: (uid) => manager?.get(uid)?.volumesChanged(),
    });
    const probes = new ProbeManager({ runtime, clock, random: this.#random, log, event, onChange: wake });
    const volumes = new VolumeManager({ rootDirectory: config.rootDirectory, mounts });
    const puller = new ImagePuller({
      runtime,
      clock,
      log,
      maxParallelPulls: config.serializeImagePulls ? 1 : config.maxParallelImagePulls,
    });
    const lifecycle = new Lifecycle({ runtime, clock, log });
    const status = new StatusManager({ client, clock, log, signal });
    const node: NodeFacts = {
      hostIPs: () => this.#addresses,
      allocatable: () => this.#node?.status?.allocatable ?? {},
      memoryBytes: this.#machine.memoryBytes,
      minOomScoreAdj: await minimumOomScoreAdj(),
      hostDns: () => this.#hostDns,
      hostHosts: () => this.#hostHosts,
      // Pods get no user id range of their own here yet, whatever the runtime could do.
      userNamespacesSupported: () => false,
      recursiveReadOnlySupported: () =>
        this.#runtimeStatus?.handlers.some((handler) => handler.name === "" && handler.recursiveReadOnlyMounts) ??
        false,
    };
    const starter = new Starter({
      runtime,
      config,
      objects,
      puller,
      lifecycle,
      mounts,
      node,
      services: () => serviceLister.list(),
      runtimeClass: (name) => classLister.get({ namespace: "", name }),
      ensureCgroup: async (pod) => {
        await cgroups.setBurstableShares(burstableRequest([...(manager?.activePods() ?? []), pod]));
        return cgroups.ensurePod(pod);
      },
    });
    const resources = new Resizer({
      runtime,
      cgroups,
      starter,
      pleg,
      clock,
      event,
      activePods: () => manager?.activePods() ?? [],
      allocatable: node.allocatable,
    });
    const tokens = new TokenCache({ clock });
    const volumeContext = (
      pod: Pod,
      podIPs: readonly string[],
      podEvent: PodEventFunction,
      inner: AbortSignal,
    ): VolumeContext => ({
      pod,
      clock,
      random: this.#random,
      mounts,
      commands: this.#commands,
      objects,
      downward: starter.downward(resources.allocated(pod), podIPs),
      requestToken: (audience, expirationSeconds) =>
        tokens.get(pod.metadata.uid, audience, expirationSeconds, async () => {
          const body = {
            apiVersion: "authentication.k8s.io/v1",
            kind: "TokenRequest",
            metadata: {},
            spec: {
              audiences: audience === undefined || audience === "" ? [] : [audience],
              expirationSeconds,
              boundObjectRef: { apiVersion: "v1", kind: "Pod", name: pod.metadata.name, uid: pod.metadata.uid },
            },
          };
          const key = { namespace: pod.metadata.namespace ?? "", name: pod.spec.serviceAccountName ?? "default" };
          const answer = await client.createSubresource<
            never,
            typeof body,
            { status: { token: string; expirationTimestamp: string } }
          >(serviceAccounts as never, key, "token", body, { signal: inner });
          return { token: answer.status.token, expiresAt: Date.parse(answer.status.expirationTimestamp) };
        }),
      trustBundle: async (name) => {
        const answer = await client.raw<{ spec?: { trustBundle?: string } }>(
          "GET",
          `/apis/certificates.k8s.io/v1beta1/clustertrustbundles/${encodeURIComponent(name)}`,
          undefined,
          { signal: inner },
        );
        return answer.spec?.trustBundle;
      },
      claim: async (name) => {
        const claim = await client.get(
          persistentVolumeClaims,
          { namespace: pod.metadata.namespace ?? "", name },
          { signal: inner },
        );
        if (claim.status?.phase !== "Bound" || claim.spec?.volumeName === undefined)
          throw new Error(`PVC ${name} is not bound`);
        return {
          claim,
          volume: await client.get(
            persistentVolumes,
            { namespace: "", name: claim.spec.volumeName },
            { signal: inner },
          ),
        };
      },
      ensureImage: async (image, imagePullPolicy) => {
        const { spec, image: found } = await starter.ensureImage(
          { pod, event: podEvent, signal: inner },
          { image, imagePullPolicy },
        );
        return { ...spec, image: found.id };
      },
      signal: inner,
    });
    const workerDeps: WorkerDeps = {
      client,
      runtime,
      runtimeName: () => this.#runtimeInfo.name,
      config,
      clock,
      random: this.#random,
      log,
      pleg,
      status,
      probes,
      volumes,
      volumeContext,
      objects,
      puller,
      lifecycle,
      starter,
      resources,
      node,
      crashBackoff: new BackoffTable(10_000, config.crashLoopMaxSeconds * 1000),
      networkReady: () => this.#networkProblem(),
      removeCgroup: (pod) => cgroups.removePod(pod),
      event,
      apiPod: (pod) => (manager?.isStatic(pod.metadata.uid) === true ? manager.mirrorOf(pod) : pod),
    };
    manager = new PodManager({
      worker: workerDeps,
      log,
      admit: (pod, others) =>
        admitPod({
          pod,
          others,
          node: this.#node,
          allocatable: node.allocatable(),
          config,
          pressure: this.#eviction?.pressure(),
          allocated: (p) => resources.allocated(p),
        }),
    });
    const podManager = manager;
    const agent = new NodeAgent({
      client,
      clock,
      log,
      config,
      nodeName,
      hostname: this.#hostname,
      architecture: this.#machine.architecture,
      node: () => this.#node,
      computeStatus: (known, inner) => this.#computeStatus(known, inner),
      onRegistered: (registered) => this.#setNode(registered),
      onReadyChange: (ready) => {
        if (this.#node !== undefined)
          recorder.event(
            this.#node,
            ready ? "Normal" : "Warning",
            ready ? "NodeReady" : "NodeNotReady",
            `Node ${nodeName} status is now: ${ready ? "NodeReady" : "NodeNotReady"}`,
          );
      },
    });
    const podsWithStatus = (): Pod[] =>
      podManager.workers().map((worker) => ({ ...worker.pod, status: worker.currentStatus() }));
    const stats = new StatsProvider({
      runtime,
      clock,
      nodeName,
      rootDirectory: config.rootDirectory,
      pods: podsWithStatus,
    });
    const imageGc = new ImageGc({
      runtime,
      clock,
      log,
      lastUsed: puller.lastUsed,
      highPercent: config.imageGCHighThresholdPercent,
      lowPercent: config.imageGCLowThresholdPercent,
      minimumAgeMs: config.imageMinimumGCAgeSeconds * 1000,
      onFailure: (reason, message) => {
        if (this.#node !== undefined) recorder.event(this.#node, "Warning", reason, message);
      },
    });
    const rotation = new LogRotation({
      runtime,
      clock,
      log,
      maxBytes: parseQuantity(config.containerLogMaxSize).toNumber(),
      maxFiles: config.containerLogMaxFiles,
      linkDirectory: config.containerLogsDir,
    });
    return {
      factory,
      pleg,
      manager: podManager,
      agent,
      cgroups,
      volumes,
      probes,
      objects,
      stats,
      imageGc,
      rotation,
      event,
      podsWithStatus,
    };
  }

  async #every(periodMs: number, message: string, work: () => Promise<void>): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        await work();
      } catch (err) {
        if (!this.#signal.aborted) this.#log.warn({ err }, message);
      }
      await sleep(this.#clock, periodMs, this.#signal).catch(() => undefined); // aborted: the loop's condition ends it
    }
  }

  async #runStaticPods(manager: PodManager): Promise<void> {
    const { client, nodeName } = this.#deps;
    const { staticPodPath, fileCheckFrequencySeconds } = this.#config;
    const source = new StaticPodSource({
      directory: staticPodPath,
      nodeName,
      clock: this.#clock,
      log: this.#log,
      periodMs: fileCheckFrequencySeconds * 1000,
      onPods: (found) => manager.setStatic(found),
    });
    const mirrors = () => reconcileMirrors(client, this.#node, manager.staticPods(), manager.mirrors(), this.#signal);
    await Promise.all([
      source.run(this.#signal),
      this.#every(MIRROR_PERIOD_MS, "Updating mirror pods failed", mirrors),
    ]);
  }

  async #startEviction({ manager, imageGc, stats, volumes, agent, pleg, event }: Parts): Promise<void> {
    const config = this.#config;
    const { runtime } = this.#deps;
    const writable = async (signal: AbortSignal) => {
      const usages = await stats.containers(signal);
      return (uid: string, name: string) =>
        usages.find((usage) => usage.podUid === uid && usage.name === name)?.rootfsUsedBytes ?? 0;
    };
    this.#eviction = new EvictionManager({
      clock: this.#clock,
      log: this.#log,
      thresholds: parseThresholds(config.evictionHard, config.evictionSoft, config.evictionSoftGracePeriodSeconds),
      transitionMs: config.evictionPressureTransitionSeconds * 1000,
      maxGraceSeconds: config.evictionMaxPodGracePeriodSeconds,
      observe: async () => {
        const { images } = await runtime.imageFsInfo({ signal: this.#signal });
        return observe(config.rootDirectory, images[0]?.mountpoint, this.#machine.pidMax);
      },
      pods: () =>
        manager
          .workers()
          .filter(({ state }) => state === "syncing")
          .map(({ pod }) => pod),
      usages: async (signal) => {
        const result = new Map<string, PodUsage>();
        for (const usage of await stats.containers(signal)) {
          const sum = result.get(usage.podUid) ?? { memoryBytes: 0, diskBytes: 0, inodes: 0, processes: 0 };
          result.set(usage.podUid, {
            memoryBytes: sum.memoryBytes + (usage.memory.workingSetBytes ?? 0),
            diskBytes: sum.diskBytes + usage.rootfsUsedBytes,
            inodes: sum.inodes + usage.rootfsInodesUsed,
            processes: 0,
          });
        }
        return result;
      },
      freeDisk: async (signal) => {
        await removeDeadContainers(runtime, manager, pleg, signal);
        await imageGc.collect(signal, true);
      },
      overLimit: async (signal) => {
        const limited = manager.activePods().filter(hasStorageLimits);
        const broken = new Map<string, string>();
        if (limited.length === 0) return broken;
        const written = await writable(signal);
        for (const pod of limited) {
          const why = await brokenLimit(pod, volumes.podDirectory(pod.metadata.uid), (name) =>
            written(pod.metadata.uid, name),
          );
          if (why !== undefined) broken.set(pod.metadata.uid, why);
        }
        return broken;
      },
      evict: (pod, verdict) => {
        const worker = manager.get(pod.metadata.uid);
        if (worker === undefined) return;
        event(pod, undefined, "Warning", "Evicted", verdict.message);
        worker.fail(verdict);
      },
      onPressureChange: () => agent.wake(),
    });
    await this.#eviction.run(this.#signal);
  }

  #collectGarbage({ imageGc }: Parts): Promise<void> {
    return this.#every(IMAGE_GC_PERIOD_MS, "Collecting unused images failed", async () => {
      await imageGc.collect(this.#signal);
    });
  }

  #rotateLogs({ rotation, pleg }: Parts): Promise<void> {
    return this.#every(LOG_PERIOD_MS, "Rotating logs failed", async () => {
      const containers = pleg.uids().flatMap((uid) => [...pleg.get(uid).containers]);
      await rotation.link(containers);
      await rotation.rotate(containers, this.#signal);
    });
  }

  async #housekeeping(parts: {
    manager: PodManager;
    volumes: VolumeManager;
    cgroups: CgroupManager;
    pleg: PodLifecycleEvents;
  }): Promise<void> {
    const { manager, volumes, cgroups, pleg } = parts;
    while (!this.#signal.aborted) {
      try {
        await manager.cleanDirectories(volumes);
        await cgroups.removeOrphans(new Set([...manager.workers().map(({ uid }) => uid), ...pleg.uids()]));
      } catch (err) {
        if (!this.#signal.aborted) this.#log.warn({ err }, "Housekeeping failed");
      }
      await sleep(this.#clock, HOUSEKEEPING_PERIOD_MS, this.#signal).catch(() => undefined); // aborted: the loop's condition ends it
    }
  }
}

function burstableRequest(active: readonly Pod[]): number {
  const seen = new Map(active.map((pod) => [pod.metadata.uid, pod]));
  let sum = 0;
  for (const pod of seen.values()) if (qosClass(pod) === "Burstable") sum += podSums(pod).milliCpuRequest;
  return sum;
}

/** The field path events about a container carry. */
export function containerField(pod: Pod, name: string): string {
  if (pod.spec.initContainers?.some((container) => container.name === name) === true)
    return `spec.initContainers{${name}}`;
  if (pod.spec.ephemeralContainers?.some((container) => container.name === name) === true)
    return `spec.ephemeralContainers{${name}}`;
  return `spec.containers{${name}}`;
}
