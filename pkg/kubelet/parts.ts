/** Constructs the kubelet's parts and joins them. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Node, NodeStatus, Pod } from "#pkg/api/types/core-v1.ts";
import { runtimeClasses, services } from "#pkg/api/refs.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { createEventRecorder, createInformerFactory } from "#pkg/client/index.ts";
import type { Client, EventRecorder, InformerFactory } from "#pkg/client/index.ts";
import type { Clock, CommandRunner, Logger, Random } from "#pkg/util/index.ts";
import { admitPod } from "./admission.ts";
import { CgroupManager, parseHierarchies } from "./cgroups/manager.ts";
import { podSums } from "./cgroups/resources.ts";
import { pullsAtOnce } from "./config.ts";
import type { KubeletConfig } from "./config.ts";
import type { Runtime, RuntimeHandlerInfo } from "./cri/runtime.ts";
import type { Pressure } from "./eviction/manager.ts";
import { ImageAccess } from "./images/access.ts";
import { ImageGc } from "./images/gc.ts";
import { loadProviders } from "./images/providers.ts";
import { ImagePuller } from "./images/puller.ts";
import { LogRotation } from "./logs/rotation.ts";
import type { KubeletMetrics } from "./metrics.ts";
import { HostMounts } from "./mounts.ts";
import { NodeAgent } from "./node/agent.ts";
import { KernelLog } from "./node/kernel-log.ts";
import { minimumOomScoreAdj, outOfMemoryKills } from "./node/machine.ts";
import type { MachineFacts } from "./node/machine.ts";
import { USER_NAMESPACES_SUPPORTED } from "./node/status.ts";
import { ReferencedObjects } from "./objects.ts";
import { OutOfMemory } from "./oom.ts";
import { PodLifecycleEvents } from "./pleg.ts";
import { BackoffTable } from "./pod/backoff.ts";
import { Lifecycle } from "./pod/lifecycle.ts";
import { PodManager } from "./pod/manager.ts";
import type { DnsSettings } from "./pod/network.ts";
import { qosClass } from "./pod/spec.ts";
import { Starter } from "./pod/starter.ts";
import type { NodeFacts } from "./pod/starter.ts";
import type { WorkerDeps } from "./pod/worker-deps.ts";
import { ProbeManager } from "./probes/manager.ts";
import { Resizer } from "./resize.ts";
import { PodFilesCache } from "./stats/pod-files.ts";
import { StatsProvider } from "./stats/stats.ts";
import { StatusManager } from "./status-manager.ts";
import { TokenCache } from "./tokens.ts";
import { volumeContextFactory } from "./volumes/context.ts";
import { VolumeManager } from "./volumes/manager.ts";

/** Reasons of events that every pod has, if nothing goes wrong with it. */
const STEPS_OF_A_START: ReadonlySet<string> = new Set(["Pulled", "Created", "Started"]);

/** The node as the parts see it; what is a function may change while the kubelet runs. */
export interface Host {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly nodeName: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: Random;
  readonly commands: CommandRunner;
  readonly config: KubeletConfig;
  readonly signal: AbortSignal;
  readonly machine: MachineFacts;
  readonly metrics: KubeletMetrics;
  readonly hostname: string;
  readonly addresses: () => readonly string[];
  readonly dns: () => DnsSettings;
  readonly hosts: () => string;
  readonly node: () => Node | undefined;
  readonly setNode: (node: Node) => void;
  readonly runtimeName: () => string;
  readonly runtimeHandlers: () => readonly RuntimeHandlerInfo[];
  readonly supplementalGroupsPolicy: () => boolean;
  /** Why the pod network cannot be used, if so. */
  readonly networkProblem: () => string | undefined;
  readonly pressure: () => Pressure | undefined;
  readonly computeStatus: (node: Node | undefined, signal: AbortSignal) => Promise<NodeStatus>;
}
export type Parts = Awaited<ReturnType<typeof buildParts>>;
/** The pod manager is made of parts that report to it: they reach it through this. */
interface ManagerLink {
  manager?: PodManager;
  starter?: Starter;
}

/** Makes the parts of a kubelet and introduces them to each other; none of them runs yet. */
export async function buildParts(host: Host) {
  const { client, nodeName, clock, log, signal } = host;
  const link: ManagerLink = {};
  // Pods that are being started come before what is told of their starts.
  const busy = (reason: string) => STEPS_OF_A_START.has(reason) && link.starter?.atWork === true;
  const recorder = createEventRecorder({
    client,
    component: "kubelet",
    host: nodeName,
    clock,
    log,
    signal,
    routine: STEPS_OF_A_START,
    busy,
  });
  const event: WorkerDeps["event"] = (pod, container, type, reason, message) => {
    const field = container === undefined ? undefined : containerField(pod, container);
    recorder.event(pod, type, reason, message, field);
  };
  const factory = createInformerFactory({ client, clock, log });
  const observers = await buildObservers(host, link, event);
  const manager = await buildPodManager(host, link, observers, factory, event);
  link.manager = manager;
  const podsWithStatus = (): Pod[] =>
    manager.workers().map((worker) => ({ ...worker.pod, status: worker.currentStatus() }));
  const upkeep = buildUpkeep(host, recorder, observers, podsWithStatus);
  const { pleg, cgroups, volumes, probes, objects } = observers;
  return { factory, manager, event, podsWithStatus, pleg, cgroups, volumes, probes, objects, ...upkeep };
}

/** What looks at and prepares the node: nothing here knows pods' workers, except to wake them. */
async function buildObservers(host: Host, link: ManagerLink, event: WorkerDeps["event"]) {
  const { client, runtime, clock, log, config, signal, random, commands, metrics } = host;
  const mounts = new HostMounts(commands);
  const driver = (await runtime.cgroupDriver({ signal })) ?? config.cgroupDriver;
  if (driver !== config.cgroupDriver)
    log.info({ driver, configured: config.cgroupDriver }, "Pods get cgroups by the driver that the runtime uses");
  const cgroups = new CgroupManager({
    hierarchies: parseHierarchies(await readFile("/proc/self/mountinfo", "utf8")),
    driver,
    cgroupRoot: config.cgroupRoot,
    perQos: config.cgroupsPerQOS,
    podPidsLimit: config.podPidsLimit,
    commands,
    log,
  });
  const access = new ImageAccess(join(config.rootDirectory, "image_manager"));
  const binDir = config.imageCredentialProviderBinDir;
  const providers = await loadProviders(config.imageCredentialProviderConfig, { commands, clock, log, binDir });
  const kernelLog = KernelLog.open();
  return {
    mounts,
    cgroups,
    pleg: new PodLifecycleEvents({
      runtime,
      clock,
      log,
      nodeAddresses: host.addresses,
      onChange: (uid) => link.manager?.onRuntimeChange(uid),
      onRelist: (seconds, sinceLast) => metrics.relisted(clock.now(), seconds, sinceLast),
      outOfMemory: await OutOfMemory.watch(clock, { count: outOfMemoryKills, log: () => kernelLog?.read() ?? [] }),
    }),
    objects: new ReferencedObjects({ client, clock, log, onChange: (uid) => link.manager?.get(uid)?.volumesChanged() }),
    probes: new ProbeManager({
      runtime,
      clock,
      random,
      log,
      event,
      onChange: (uid) => link.manager?.get(uid)?.wake(),
      observer: metrics,
    }),
    volumes: new VolumeManager({ rootDirectory: config.rootDirectory, mounts }),
    access,
    puller: new ImagePuller({
      runtime,
      clock,
      log,
      maxParallelPulls: pullsAtOnce(config),
      access,
      providers,
      onPulled: (seconds, bytes) => metrics.pulled(seconds, bytes),
    }),
    lifecycle: new Lifecycle({ runtime, clock, log }),
    status: new StatusManager({
      client,
      clock,
      log,
      signal,
      onWritten: (seconds) => metrics.statusSeconds.observe(seconds),
    }),
  };
}

async function nodeFacts(host: Host, cgroups: CgroupManager): Promise<NodeFacts> {
  return {
    hostIPs: () => host.addresses(),
    allocatable: () => host.node()?.status?.allocatable ?? {},
    memoryBytes: host.machine.memoryBytes,
    cpuCount: host.machine.cpuCount,
    minOomScoreAdj: await minimumOomScoreAdj(),
    cgroupVersion: cgroups.version,
    countsSwap: await cgroups.countsSwap(),
    selinux: host.machine.selinux,
    hostDns: () => host.dns(),
    hostHosts: () => host.hosts(),
    userNamespacesSupported: () => USER_NAMESPACES_SUPPORTED,
    recursiveReadOnlySupported: () =>
      host.runtimeHandlers().some((handler) => handler.name === "" && handler.recursiveReadOnlyMounts),
  };
}

type Observers = Awaited<ReturnType<typeof buildObservers>>;

async function buildPodManager(
  host: Host,
  link: ManagerLink,
  observers: Observers,
  factory: InformerFactory,
  event: WorkerDeps["event"],
): Promise<PodManager> {
  const { client, runtime, metrics, clock, log, config, random, commands } = host;
  const { mounts, cgroups, pleg, objects } = observers;
  const node = await nodeFacts(host, cgroups);
  const serviceLister = factory.informer(services).lister;
  const classLister = factory.informer(runtimeClasses).lister;
  const activePods = () => link.manager?.activePods() ?? [];
  const starter = new Starter({
    runtime,
    config,
    clock,
    log,
    ...observers,
    node,
    services: () => serviceLister.list(),
    runtimeClass: (name) => classLister.get({ namespace: "", name }),
    ensureCgroup: async (pod) => {
      await cgroups.setBurstableShares(burstableRequest([...activePods(), pod]));
      return metrics.cgroup("create", clock, () => cgroups.ensurePod(pod));
    },
    cgroupParent: (pod) => cgroups.podParent(pod),
  });
  link.starter = starter;
  const resources = new Resizer({
    runtime,
    cgroups,
    starter,
    pleg,
    clock,
    event,
    activePods,
    allocatable: node.allocatable,
  });
  const tokens = new TokenCache({ clock });
  const worker: WorkerDeps = {
    ...observers,
    client,
    runtime,
    metrics,
    runtimeName: () => host.runtimeName(),
    config,
    clock,
    random,
    log,
    volumeContext: volumeContextFactory({
      client,
      clock,
      random,
      mounts,
      commands,
      objects,
      starter,
      resources,
      tokens,
    }),
    starter,
    resources,
    node,
    crashBackoff: new BackoffTable(10_000, config.crashLoopMaxSeconds * 1000),
    networkReady: () => host.networkProblem(),
    removeCgroup: (pod, stragglers) => metrics.cgroup("destroy", clock, () => cgroups.removePod(pod, stragglers)),
    removeOrphanedCgroup: (uid) => cgroups.removePodOf(uid),
    event,
    apiPod: (pod) => (link.manager?.isStatic(pod.metadata.uid) === true ? link.manager.mirrorOf(pod) : pod),
  };
  const allocated = (pod: Pod) => resources.allocated(pod);
  return new PodManager({
    worker,
    log,
    admit: (pod, others) =>
      admitPod({
        pod,
        others,
        node: host.node(),
        allocatable: node.allocatable(),
        config,
        appArmor: host.machine.appArmor,
        supplementalGroupsPolicy: host.supplementalGroupsPolicy(),
        pressure: host.pressure(),
        allocated,
      }),
  });
}

/** Reasons of the events that tell of a node's conditions: true, and not. */
const CONDITION_REASONS: Readonly<Record<string, readonly [string, string]>> = {
  Ready: ["NodeReady", "NodeNotReady"],
  MemoryPressure: ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
  DiskPressure: ["NodeHasDiskPressure", "NodeHasNoDiskPressure"],
  PIDPressure: ["NodeHasInsufficientPID", "NodeHasSufficientPID"],
};

/** The node's own object, and what keeps the node tidy. */
function buildUpkeep(
  host: Host,
  recorder: EventRecorder,
  { puller, access, cgroups, volumes }: Pick<Observers, "puller" | "access" | "cgroups" | "volumes">,
  pods: () => Pod[],
) {
  const { runtime, nodeName, clock, log, config } = host;
  const nodeEvent = (type: "Normal" | "Warning", reason: string, message: string) => {
    const subject = host.node();
    if (subject !== undefined) recorder.event(subject, type, reason, message);
  };
  const agent = new NodeAgent({
    client: host.client,
    clock,
    log,
    config,
    nodeName,
    hostname: host.hostname,
    architecture: host.machine.architecture,
    node: host.node,
    computeStatus: (known, signal) => host.computeStatus(known, signal),
    onRegistered: (registered) => host.setNode(registered),
    onStart() {
      nodeEvent("Normal", "Starting", "Starting kubelet.");
      // The cgroup of all pods was bounded before the node registered.
      if (config.cgroupsPerQOS)
        nodeEvent("Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
    },
    onCondition: (type, status) => {
      const reason = CONDITION_REASONS[type]?.[status === "True" ? 0 : 1];
      if (reason !== undefined) nodeEvent("Normal", reason, `Node ${nodeName} status is now: ${reason}`);
    },
    onReboot: (bootID) => nodeEvent("Warning", "Rebooted", `Node ${nodeName} has been rebooted, boot id: ${bootID}`),
  });
  const stats = new StatsProvider({ runtime, clock, cgroups, pods });
  const files = new PodFilesCache({ volumes, podLogsDir: config.podLogsDir, clock });
  const imageGc = new ImageGc({
    runtime,
    clock,
    log,
    lastUsed: puller.lastUsed,
    access,
    highPercent: config.imageGCHighThresholdPercent,
    lowPercent: config.imageGCLowThresholdPercent,
    minimumAgeMs: config.imageMinimumGCAgeSeconds * 1000,
    onFailure: (reason, message) => nodeEvent("Warning", reason, message),
  });
  const rotation = new LogRotation({
    runtime,
    clock,
    log,
    maxBytes: parseQuantity(config.containerLogMaxSize).toNumber(),
    maxFiles: config.containerLogMaxFiles,
    linkDirectory: config.containerLogsDir,
  });
  return { agent, stats, files, imageGc, rotation, nodeEvent };
}

function burstableRequest(active: readonly Pod[]): number {
  const seen = new Map(active.map((pod) => [pod.metadata.uid, pod]));
  let sum = 0;
  for (const pod of seen.values()) if (qosClass(pod) === "Burstable") sum += podSums(pod).milliCpuRequest;
  return sum;
}

/** The field path events about a container carry. */
function containerField(pod: Pod, name: string): string {
  if (pod.spec.initContainers?.some((container) => container.name === name) === true)
    return `spec.initContainers{${name}}`;
  if (pod.spec.ephemeralContainers?.some((container) => container.name === name) === true)
    return `spec.ephemeralContainers{${name}}`;
  return `spec.containers{${name}}`;
}
