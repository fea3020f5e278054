/** Translates between the plain types of runtime.ts and CRI's generated messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import * as pb from "./generated/cri_pb.ts";
import type {
  ContainerConfig,
  ContainerRuntimeState,
  ContainerStats,
  FilesystemUsage,
  Image,
  ImageSpec,
  LinuxResources,
  Mount,
  NamespaceMode,
  NamespaceOptions,
  RuntimeContainer,
  RuntimeContainerStatus,
  Sandbox,
  SandboxConfig,
  SandboxStatus,
  SecurityProfile,
} from "./runtime.ts";

const NAMESPACE_MODES = {
  Pod: pb.NamespaceMode.POD,
  Container: pb.NamespaceMode.CONTAINER,
  Node: pb.NamespaceMode.NODE,
  Target: pb.NamespaceMode.TARGET,
} as const;
const MODE_NAMES: readonly NamespaceMode[] = ["Pod", "Container", "Node", "Target"];
const PROFILE_TYPES = {
  RuntimeDefault: pb.SecurityProfile_ProfileType.RuntimeDefault,
  Unconfined: pb.SecurityProfile_ProfileType.Unconfined,
  Localhost: pb.SecurityProfile_ProfileType.Localhost,
} as const;
const PROPAGATIONS = {
  Private: pb.MountPropagation.PROPAGATION_PRIVATE,
  HostToContainer: pb.MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: pb.MountPropagation.PROPAGATION_BIDIRECTIONAL,
} as const;
const CONTAINER_STATES: readonly ContainerRuntimeState[] = ["Created", "Running", "Exited", "Unknown"];

const fromNanos = (nanos: bigint): number => Number(nanos) / 1e6;
const int64 = (value: number): bigint => BigInt(Math.trunc(value));
const optionalInt64 = (value: number | undefined) => (value === undefined ? undefined : { value: int64(value) });
const fromUint64 = (value: pb.UInt64Value | undefined): number | undefined =>
  value === undefined ? undefined : Number(value.value);

/** Resources of a container as a message. */
export function toResources(resources: LinuxResources): MessageInitShape<typeof pb.LinuxContainerResourcesSchema> {
  return {
    cpuPeriod: int64(resources.cpuPeriod ?? 0),
    cpuQuota: int64(resources.cpuQuota ?? 0),
    cpuShares: int64(resources.cpuShares ?? 0),
    memoryLimitInBytes: int64(resources.memoryLimitInBytes ?? 0),
    oomScoreAdj: int64(resources.oomScoreAdj ?? 0),
    cpusetCpus: resources.cpusetCpus ?? "",
    cpusetMems: resources.cpusetMems ?? "",
    hugepageLimits: (resources.hugepageLimits ?? []).map(({ pageSize, limit }) => ({ pageSize, limit: int64(limit) })),
    unified: { ...resources.unified },
    memorySwapLimitInBytes: int64(resources.memorySwapLimitInBytes ?? 0),
  };
}

function fromResources(resources: pb.LinuxContainerResources): LinuxResources {
  return {
    cpuPeriod: Number(resources.cpuPeriod),
    cpuQuota: Number(resources.cpuQuota),
    cpuShares: Number(resources.cpuShares),
    memoryLimitInBytes: Number(resources.memoryLimitInBytes),
    oomScoreAdj: Number(resources.oomScoreAdj),
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
  };
}

function toNamespaces(options: NamespaceOptions): MessageInitShape<typeof pb.NamespaceOptionSchema> {
  return {
    network: NAMESPACE_MODES[options.network],
    pid: NAMESPACE_MODES[options.pid],
    ipc: NAMESPACE_MODES[options.ipc],
    targetId: options.targetId ?? "",
    ...(options.userns === undefined
      ? {}
      : {
          usernsOptions: {
            mode: pb.NamespaceMode.POD,
            uids: options.userns.uids.map((m) => ({ ...m })),
            gids: options.userns.gids.map((m) => ({ ...m })),
          },
        }),
  };
}

function toProfile(
  profile: SecurityProfile | undefined,
): MessageInitShape<typeof pb.SecurityProfileSchema> | undefined {
  if (profile === undefined) return undefined;
  return { profileType: PROFILE_TYPES[profile.type], localhostRef: profile.localhostRef ?? "" };
}

/** An image specification as a message. */
export function toImageSpec(spec: ImageSpec): MessageInitShape<typeof pb.ImageSpecSchema> {
  return {
    image: spec.image,
    annotations: { ...spec.annotations },
    userSpecifiedImage: spec.userSpecifiedImage ?? "",
    runtimeHandler: spec.runtimeHandler ?? "",
  };
}

/** A sandbox's configuration as a message. */
export function toSandboxConfig(config: SandboxConfig): MessageInitShape<typeof pb.PodSandboxConfigSchema> {
  const context = config.securityContext;
  return {
    metadata: { ...config.metadata },
    hostname: config.hostname,
    logDirectory: config.logDirectory,
    dnsConfig: {
      servers: [...config.dns.servers],
      searches: [...config.dns.searches],
      options: [...config.dns.options],
    },
    portMappings: config.portMappings.map((port) => ({ ...port, protocol: pb.Protocol[port.protocol] })),
    labels: { ...config.labels },
    annotations: { ...config.annotations },
    linux: {
      cgroupParent: config.cgroupParent,
      sysctls: { ...config.sysctls },
      ...(config.overhead === undefined ? {} : { overhead: toResources(config.overhead) }),
      ...(config.resources === undefined ? {} : { resources: toResources(config.resources) }),
      securityContext: {
        namespaceOptions: toNamespaces(context.namespaces),
        selinuxOptions: context.selinux,
        runAsUser: optionalInt64(context.runAsUser),
        runAsGroup: optionalInt64(context.runAsGroup),
        supplementalGroups: context.supplementalGroups.map(int64),
        supplementalGroupsPolicy: pb.SupplementalGroupsPolicy[context.supplementalGroupsPolicy ?? "Merge"],
        privileged: context.privileged,
        seccomp: toProfile(context.seccomp),
        apparmor: toProfile(context.apparmor),
      },
    },
  };
}

/** Before CRI had structured profiles it had these strings; containerd 1.6 still reads them for AppArmor. */
function legacyProfile(profile: SecurityProfile | undefined): string {
  if (profile === undefined) return "";
  if (profile.type === "RuntimeDefault") return "runtime/default";
  return profile.type === "Unconfined" ? "unconfined" : `localhost/${profile.localhostRef ?? ""}`;
}

function toMount(mount: Mount): MessageInitShape<typeof pb.MountSchema> {
  return {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readonly,
    selinuxRelabel: mount.selinuxRelabel ?? false,
    propagation: PROPAGATIONS[mount.propagation ?? "Private"],
    recursiveReadOnly: mount.recursiveReadOnly ?? false,
    ...(mount.image === undefined ? {} : { image: toImageSpec(mount.image) }),
    imageSubPath: mount.imageSubPath ?? "",
  };
}

/** A container's configuration as a message. */
export function toContainerConfig(config: ContainerConfig): MessageInitShape<typeof pb.ContainerConfigSchema> {
  const context = config.securityContext;
  const encoder = new TextEncoder();
  return {
    metadata: { ...config.metadata },
    image: toImageSpec(config.image),
    command: [...config.command],
    args: [...config.args],
    workingDir: config.workingDir,
    envs: config.envs.map(({ key, value }) => ({ key, value: encoder.encode(value) })),
    mounts: config.mounts.map(toMount),
    devices: config.devices.map((device) => ({ ...device })),
    labels: { ...config.labels },
    annotations: { ...config.annotations },
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    stopSignal: config.stopSignal === undefined ? 0 : (pb.Signal[config.stopSignal as keyof typeof pb.Signal] ?? 0),
    linux: {
      resources: toResources(config.resources),
      securityContext: {
        capabilities: {
          addCapabilities: [...context.capabilities.add],
          dropCapabilities: [...context.capabilities.drop],
        },
        privileged: context.privileged,
        namespaceOptions: toNamespaces(context.namespaces),
        selinuxOptions: context.selinux,
        runAsUser: optionalInt64(context.runAsUser),
        runAsGroup: optionalInt64(context.runAsGroup),
        runAsUsername: context.runAsUsername ?? "",
        readonlyRootfs: context.readonlyRootfs,
        supplementalGroups: context.supplementalGroups.map(int64),
        supplementalGroupsPolicy: pb.SupplementalGroupsPolicy[context.supplementalGroupsPolicy ?? "Merge"],
        noNewPrivs: context.noNewPrivs,
        maskedPaths: [...context.maskedPaths],
        readonlyPaths: [...context.readonlyPaths],
        seccomp: toProfile(context.seccomp),
        apparmor: toProfile(context.apparmor),
        apparmorProfile: legacyProfile(context.apparmor),
      },
    },
  };
}

/** A sandbox of a listing. */
export function fromSandbox(sandbox: pb.PodSandbox | pb.PodSandboxStatus): Sandbox {
  const { name = "", uid = "", namespace = "", attempt = 0 } = sandbox.metadata ?? {};
  return {
    id: sandbox.id,
    metadata: { name, uid, namespace, attempt },
    state: sandbox.state === pb.PodSandboxState.SANDBOX_READY ? "Ready" : "NotReady",
    createdAt: fromNanos(sandbox.createdAt),
    labels: sandbox.labels,
    annotations: sandbox.annotations,
    runtimeHandler: sandbox.runtimeHandler,
  };
}

/** A sandbox's status. */
export function fromSandboxStatus(status: pb.PodSandboxStatus): SandboxStatus {
  const first = status.network?.ip ?? "";
  const others = status.network?.additionalIps.map(({ ip }) => ip) ?? [];
  const network = status.linux?.namespaces?.options?.network;
  return {
    ...fromSandbox(status),
    ips: first === "" ? [] : [first, ...others],
    ...(network === undefined ? {} : { networkNamespace: MODE_NAMES[network] ?? "Pod" }),
  };
}

/** A container of a listing. */
export function fromContainer(container: pb.Container): RuntimeContainer {
  return {
    id: container.id,
    sandboxId: container.podSandboxId,
    metadata: { name: container.metadata?.name ?? "", attempt: container.metadata?.attempt ?? 0 },
    image: container.image?.image ?? "",
    imageRef: container.imageRef,
    state: CONTAINER_STATES[container.state] ?? "Unknown",
    createdAt: fromNanos(container.createdAt),
    labels: container.labels,
    annotations: container.annotations,
  };
}

/** A container's status. */
export function fromContainerStatus(status: pb.ContainerStatus): RuntimeContainerStatus {
  const user = status.user?.linux;
  return {
    id: status.id,
    metadata: { name: status.metadata?.name ?? "", attempt: status.metadata?.attempt ?? 0 },
    image: status.image?.image ?? "",
    imageRef: status.imageRef,
    imageId: status.imageId,
    state: CONTAINER_STATES[status.state] ?? "Unknown",
    createdAt: fromNanos(status.createdAt),
    startedAt: fromNanos(status.startedAt),
    finishedAt: fromNanos(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    labels: status.labels,
    annotations: status.annotations,
    logPath: status.logPath,
    mounts: status.mounts.map((mount) => ({
      containerPath: mount.containerPath,
      hostPath: mount.hostPath,
      readonly: mount.readonly,
      recursiveReadOnly: mount.recursiveReadOnly,
      ...(mount.image === undefined ? {} : { image: { image: mount.image.image } }),
    })),
    ...(status.resources?.linux === undefined ? {} : { resources: fromResources(status.resources.linux) }),
    ...(user === undefined
      ? {}
      : {
          user: {
            uid: Number(user.uid),
            gid: Number(user.gid),
            supplementalGroups: user.supplementalGroups.map(Number),
          },
        }),
    ...(status.stopSignal === 0 ? {} : { stopSignal: pb.SignalSchema.value[status.stopSignal]?.name }),
  };
}

/** An image of a listing, or its status. */
export function fromImage(image: pb.Image): Image {
  return {
    id: image.id,
    repoTags: image.repoTags,
    repoDigests: image.repoDigests,
    sizeBytes: Number(image.size),
    ...(image.uid === undefined ? {} : { uid: Number(image.uid.value) }),
    username: image.username,
    pinned: image.pinned,
  };
}

/** What images take on a file system. */
export function fromFilesystem(usage: pb.FilesystemUsage): FilesystemUsage {
  return {
    timestamp: fromNanos(usage.timestamp),
    mountpoint: usage.fsId?.mountpoint ?? "",
    usedBytes: fromUint64(usage.usedBytes) ?? 0,
    inodesUsed: fromUint64(usage.inodesUsed) ?? 0,
  };
}

/** What a container uses. */
export function fromStats(stats: pb.ContainerStats): ContainerStats {
  const { cpu, memory, attributes } = stats;
  return {
    id: attributes?.id ?? "",
    metadata: { name: attributes?.metadata?.name ?? "", attempt: attributes?.metadata?.attempt ?? 0 },
    labels: attributes?.labels ?? {},
    ...(cpu === undefined
      ? {}
      : {
          cpu: {
            timestamp: fromNanos(cpu.timestamp),
            usageCoreNanoSeconds: fromUint64(cpu.usageCoreNanoSeconds) ?? 0,
            usageNanoCores: fromUint64(cpu.usageNanoCores),
          },
        }),
    ...(memory === undefined
      ? {}
      : {
          memory: {
            timestamp: fromNanos(memory.timestamp),
            workingSetBytes: fromUint64(memory.workingSetBytes) ?? 0,
            availableBytes: fromUint64(memory.availableBytes),
            usageBytes: fromUint64(memory.usageBytes),
            rssBytes: fromUint64(memory.rssBytes),
            pageFaults: fromUint64(memory.pageFaults),
            majorPageFaults: fromUint64(memory.majorPageFaults),
          },
        }),
    ...(stats.writableLayer === undefined ? {} : { writableLayer: fromFilesystem(stats.writableLayer) }),
  };
}

/** Which cgroup driver a containerd that does not tell (before 2.0) is configured for, by the configuration it shows. Pure. */
export function driverOfContainerd(config: string | undefined): "systemd" | "cgroupfs" | undefined {
  if (config === undefined) return undefined;
  const { containerd } = JSON.parse(config) as {
    containerd?: { defaultRuntimeName?: string; runtimes?: Record<string, { options?: { SystemdCgroup?: boolean } }> };
  };
  const handler = containerd?.runtimes?.[containerd.defaultRuntimeName ?? ""];
  if (handler === undefined) return undefined;
  return handler.options?.SystemdCgroup === true ? "systemd" : "cgroupfs";
}
