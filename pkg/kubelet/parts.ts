/** Constructs the kubelet's parts and joins them. */
import { readFile } from "node:fs/promises";
import type { Node, NodeStatus, Pod } from "#pkg/api/types/core-v1.ts";
import { runtimeClasses, services } from "#pkg/api/refs.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { createEventRecorder, createInformerFactory } from "#pkg/client/index.ts";
import type { Client } from "#pkg/client/index.ts";
import type { Clock, CommandRunner, Logger, Random } from "#pkg/util/index.ts";
import { admitPod } from "./admission.ts";
import { CgroupManager, parseHierarchies } from "./cgroups/manager.ts";
import { podSums } from "./cgroups/resources.ts";
import type { KubeletConfig } from "./config.ts";
import type { Runtime, RuntimeHandlerInfo } from "./cri/runtime.ts";
import type { Pressure } from "./eviction/manager.ts";
import { ImageGc } from "./images/gc.ts";
import { ImagePuller } from "./images/puller.ts";
import { LogRotation } from "./logs/rotation.ts";
import { HostMounts } from "./mounts.ts";
import { NodeAgent } from "./node/agent.ts";
import { minimumOomScoreAdj } from "./node/machine.ts";
import type { MachineFacts } from "./node/machine.ts";
import { ReferencedObjects } from "./objects.ts";
import { PodLifecycleEvents } from "./pleg.ts";
import { BackoffTable } from "./pod/backoff.ts";
import { Lifecycle } from "./pod/lifecycle.ts";
import { PodManager } from "./pod/manager.ts";
import type { DnsSettings } from "./pod/network.ts";
import { qosClass } from "./pod/spec.ts";
import { Starter } from "./pod/starter.ts";
import type { NodeFacts } from "./pod/starter.ts";
import type { WorkerDeps } from "./pod/worker.ts";
import { ProbeManager } from "./probes/manager.ts";
import { Resizer } from "./resize.ts";
import { StatsProvider } from "./stats/stats.ts";
import { StatusManager } from "./status-manager.ts";
import { TokenCache } from "./tokens.ts";
import { volumeContextFactory } from "./volumes/context.ts";
import { VolumeManager } from "./volumes/manager.ts";

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
  readonly hostname: string;
  readonly addresses: () => readonly string[];
  readonly dns: () => DnsSettings;
  readonly hosts: () => string;
  readonly node: () => Node | undefined;
  readonly setNode: (node: Node) => void;
  readonly runtimeName: () => string;
  readonly runtimeHandlers: () => readonly RuntimeHandlerInfo[];
  /** Why the pod network cannot be used, if so. */
  readonly networkProblem: () => string | undefined;
  readonly pressure: () => Pressure | undefined;
  readonly computeStatus: (node: Node | undefined, signal: AbortSignal) => Promise<NodeStatus>;
}
export type Parts = Awaited<ReturnType<typeof buildParts>>;

export async function buildParts(host: Host) {
  const { client, runtime, nodeName, clock, log, config, signal } = host;
  const recorder = createEventRecorder({ client, component: "kubelet", host: nodeName, clock, log, signal });
  const event: WorkerDeps["event"] = (pod, container, type, reason, message) => {
    const field = container === undefined ? undefined : containerField(pod, container);
    recorder.event(pod, type, reason, message, field);
  };
  const factory = createInformerFactory({ client, clock, log });
  const serviceLister = factory.informer(services).lister;
  const classLister = factory.informer(runtimeClasses).lister;
  const mounts = new HostMounts(host.commands);
  const cgroups = new CgroupManager({
    hierarchies: parseHierarchies(await readFile("/proc/self/mountinfo", "utf8")),
    driver: (await runtime.cgroupDriver({ signal })) ?? config.cgroupDriver,
    cgroupRoot: config.cgroupRoot,
    perQos: config.cgroupsPerQOS,
    podPidsLimit: config.podPidsLimit,
    commands: host.commands,
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
  const probes = new ProbeManager({ runtime, clock, random: host.random, log, event, onChange: wake });
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
    hostIPs: () => host.addresses(),
    allocatable: () => host.node()?.status?.allocatable ?? {},
    memoryBytes: host.machine.memoryBytes,
    minOomScoreAdj: await minimumOomScoreAdj(),
    hostDns: () => host.dns(),
    hostHosts: () => host.hosts(),
    // Pods get no user id range of their own here yet, whatever the runtime could do.
    userNamespacesSupported: () => false,
    recursiveReadOnlySupported: () =>
      host.runtimeHandlers().some((handler) => handler.name === "" && handler.recursiveReadOnlyMounts),
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
  const volumeContext = volumeContextFactory({
    client,
    clock,
    random: host.random,
    mounts,
    commands: host.commands,
    objects,
    starter,
    resources,
    tokens: new TokenCache({ clock }),
  });
  const workerDeps: WorkerDeps = {
    client,
    runtime,
    runtimeName: () => host.runtimeName(),
    config,
    clock,
    random: host.random,
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
    networkReady: () => host.networkProblem(),
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
        node: host.node(),
        allocatable: node.allocatable(),
        config,
        pressure: host.pressure(),
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
    hostname: host.hostname,
    architecture: host.machine.architecture,
    node: host.node,
    computeStatus: (known, inner) => host.computeStatus(known, inner),
    onRegistered: (registered) => host.setNode(registered),
    onReadyChange: (ready) => {
      const subject = host.node();
      if (subject !== undefined)
        recorder.event(
          subject,
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
      const subject = host.node();
      if (subject !== undefined) recorder.event(subject, "Warning", reason, message);
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
