/** Translates between CRI's terms and the Docker API's. Pure. */
import type {
  ContainerCreateOptions,
  ContainerInfo,
  ContainerInspectInfo,
  HostConfig,
  MountPropagation,
} from "dockerode";
import type {
  ContainerConfig,
  ContainerRuntimeState,
  Labels,
  LinuxResources,
  Mount,
  NamespaceOptions,
  RuntimeContainerStatus,
  Sandbox,
  SandboxConfig,
} from "../cri/runtime.ts";

/** Docker has labels only; annotations and our own marks live among them. */
const TYPE = "io.kubernetes.docker.type";
const SANDBOX_ID = "io.kubernetes.sandbox.id";
const METADATA = "io.kubernetes.docker.metadata";
const LOG_PATH = "io.kubernetes.container.logpath";
const ANNOTATION = "annotation.";
const OURS = new Set([TYPE, SANDBOX_ID, METADATA, LOG_PATH]);

/** Label that every container of a pod carries. */
export const POD_UID_LABEL = "io.kubernetes.pod.uid";
export const SANDBOX_TYPE = "podsandbox";
export const CONTAINER_TYPE = "container";

/** The filter that lists one type of our containers. */
export function typeFilter(type: string): string {
  return `${TYPE}=${type}`;
}

function toLabels(
  type: string,
  labels: Labels,
  annotations: Labels,
  more: Record<string, string>,
): Record<string, string> {
  const marked = Object.entries(annotations).map(([key, value]) => [ANNOTATION + key, value]);
  return { ...labels, ...Object.fromEntries(marked), [TYPE]: type, ...more };
}

/** Takes apart what labels and annotations were folded into Docker's labels. */
export function fromLabels(all: Labels): { labels: Record<string, string>; annotations: Record<string, string> } {
  const labels: Record<string, string> = {};
  const annotations: Record<string, string> = {};
  for (const [key, value] of Object.entries(all)) {
    if (key.startsWith(ANNOTATION)) annotations[key.slice(ANNOTATION.length)] = value;
    else if (!OURS.has(key)) labels[key] = value;
  }
  return { labels, annotations };
}

/** The sandbox that a container belongs to. */
export function sandboxIdOf(labels: Labels): string {
  return labels[SANDBOX_ID] ?? "";
}
/** Where the kubelet expects the container's log; there it becomes a link to Docker's own file. */
export function logPathOf(labels: Labels): string {
  return labels[LOG_PATH] ?? "";
}

/** The CRI metadata that a container was made with. */
export function metadataOf<T>(labels: Labels): T {
  return JSON.parse(labels[METADATA] ?? "{}") as T;
}

/** Names cannot be reused while the old container exists: the attempt keeps them apart. */
function nameOf(container: string, pod: SandboxConfig["metadata"], attempt: number): string {
  return ["k8s", container, pod.name, pod.namespace, pod.uid, attempt].join("_");
}

type Confinement = Pick<SandboxConfig["securityContext"], "seccomp" | "apparmor" | "selinux">;

function securityOptions(
  { seccomp, apparmor, selinux }: Confinement,
  noNewPrivileges: boolean,
  seccompText: string | undefined,
): string[] {
  return [
    // Without SELinux dockerd ignores labels.
    ...(["user", "role", "type", "level"] as const).flatMap((part) => {
      const value = selinux?.[part] ?? "";
      return value === "" ? [] : [`label=${part}:${value}`];
    }),
    ...(seccomp === undefined || seccomp.type === "Unconfined"
      ? ["seccomp=unconfined"]
      : seccomp.type === "Localhost" && seccompText !== undefined
        ? [`seccomp=${seccompText}`]
        : []),
    ...(apparmor === undefined || apparmor.type === "RuntimeDefault"
      ? []
      : [`apparmor=${apparmor.type === "Unconfined" ? "unconfined" : (apparmor.localhostRef ?? "")}`]),
    ...(noNewPrivileges ? ["no-new-privileges"] : []),
  ];
}

/** Resources as Docker wants them, for making and for updating containers. */
export function toHostResources(resources: LinuxResources): Partial<HostConfig> {
  const memory = resources.memoryLimitInBytes ?? 0;
  return {
    CpuShares: resources.cpuShares ?? 0,
    CpuQuota: resources.cpuQuota ?? 0,
    CpuPeriod: resources.cpuPeriod ?? 0,
    Memory: memory,
    // Equal to Memory: no swap beyond it.
    MemorySwap: memory,
    ...(resources.cpusetCpus === undefined || resources.cpusetCpus === "" ? {} : { CpusetCpus: resources.cpusetCpus }),
    ...(resources.cpusetMems === undefined || resources.cpusetMems === "" ? {} : { CpusetMems: resources.cpusetMems }),
  };
}

/** The pause container that holds a pod's namespaces. */
export function toSandbox(config: SandboxConfig, image: string, minOomScoreAdj: number): ContainerCreateOptions {
  const { namespaces, runAsUser, runAsGroup, supplementalGroups } = config.securityContext;
  return {
    name: nameOf("POD", config.metadata, config.metadata.attempt),
    Image: image,
    ...(namespaces.network === "Node" || config.hostname === "" ? {} : { Hostname: config.hostname }),
    ...(runAsUser === undefined
      ? {}
      : { User: runAsGroup === undefined ? String(runAsUser) : `${runAsUser}:${runAsGroup}` }),
    Labels: toLabels(SANDBOX_TYPE, config.labels, config.annotations, { [METADATA]: JSON.stringify(config.metadata) }),
    HostConfig: {
      NetworkMode: namespaces.network === "Node" ? "host" : "none",
      IpcMode: namespaces.ipc === "Node" ? "host" : "shareable",
      ...(namespaces.pid === "Node" ? { PidMode: "host" } : {}),
      ...(config.cgroupParent === "" ? {} : { CgroupParent: config.cgroupParent }),
      Sysctls: { ...config.sysctls },
      SecurityOpt: securityOptions(config.securityContext, true, undefined),
      GroupAdd: supplementalGroups.map(String),
      OomScoreAdj: Math.max(-998, minOomScoreAdj),
      CpuShares: 2,
    },
  };
}

function pidMode(namespaces: NamespaceOptions, sandboxId: string): string | undefined {
  if (namespaces.pid === "Node") return "host";
  if (namespaces.pid === "Pod") return `container:${sandboxId}`;
  return namespaces.pid === "Target" ? `container:${namespaces.targetId ?? sandboxId}` : undefined;
}

const PROPAGATION: Record<string, MountPropagation> = {
  Private: "rprivate",
  HostToContainer: "rslave",
  Bidirectional: "rshared",
};

/** Of the two ways to ask for a mount only the older one, a text without colons in its paths, relabels files for SELinux. */
function toMounts(mounts: ContainerConfig["mounts"]): Pick<HostConfig, "Binds" | "Mounts"> {
  const propagationOf = ({ propagation = "Private" }: Mount) => PROPAGATION[propagation] ?? "rprivate";
  const { texts = [], others = [] } = Object.groupBy(mounts, ({ selinuxRelabel }) =>
    selinuxRelabel === true ? "texts" : "others",
  );
  return {
    Binds: texts.map((mount) => {
      const { hostPath, containerPath, readonly } = mount;
      return [hostPath, containerPath, [readonly ? "ro" : "rw", "Z", propagationOf(mount)].join(",")].join(":");
    }),
    Mounts: others.map((mount) => ({
      Type: "bind",
      Source: mount.hostPath,
      Target: mount.containerPath,
      ReadOnly: mount.readonly,
      BindOptions: { Propagation: propagationOf(mount) },
    })),
  };
}

/** A container in the namespaces of its pause container. */
export function toContainer(
  config: ContainerConfig,
  sandboxId: string,
  sandbox: SandboxConfig,
  minOomScoreAdj: number,
  seccompText: string | undefined,
  logs: Readonly<Record<string, string>> = {},
): ContainerCreateOptions {
  const context = config.securityContext;
  const pid = pidMode(context.namespaces, sandboxId);
  const user = context.runAsUser === undefined ? context.runAsUsername : String(context.runAsUser);
  return {
    name: nameOf(config.metadata.name, sandbox.metadata, config.metadata.attempt),
    Image: config.image.image,
    ...(config.command.length === 0 ? {} : { Entrypoint: [...config.command] }),
    ...(config.args.length === 0 ? {} : { Cmd: [...config.args] }),
    ...(config.workingDir === "" ? {} : { WorkingDir: config.workingDir }),
    ...(user === undefined ? {} : { User: context.runAsGroup === undefined ? user : `${user}:${context.runAsGroup}` }),
    ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
    Env: config.envs.map(({ key, value }) => `${key}=${value}`),
    OpenStdin: config.stdin,
    StdinOnce: config.stdinOnce,
    Tty: config.tty,
    // Probes are the kubelet's business.
    Healthcheck: { Test: ["NONE"] },
    Labels: toLabels(CONTAINER_TYPE, config.labels, config.annotations, {
      [SANDBOX_ID]: sandboxId,
      [METADATA]: JSON.stringify(config.metadata),
      [LOG_PATH]: `${sandbox.logDirectory}/${config.logPath}`,
    }),
    HostConfig: {
      NetworkMode: `container:${sandboxId}`,
      IpcMode: context.namespaces.ipc === "Node" ? "host" : `container:${sandboxId}`,
      ...(context.namespaces.network === "Node" ? { UTSMode: "host" } : {}),
      ...(pid === undefined ? {} : { PidMode: pid }),
      ...(sandbox.cgroupParent === "" ? {} : { CgroupParent: sandbox.cgroupParent }),
      LogConfig: { Type: "json-file", Config: { ...logs } },
      ...toMounts(config.mounts),
      Privileged: context.privileged,
      CapAdd: [...context.capabilities.add],
      CapDrop: [...context.capabilities.drop],
      ReadonlyRootfs: context.readonlyRootfs,
      GroupAdd: context.supplementalGroups.map(String),
      SecurityOpt: securityOptions(context, context.noNewPrivs, seccompText),
      ...(context.privileged
        ? {}
        : { MaskedPaths: [...context.maskedPaths], ReadonlyPaths: [...context.readonlyPaths] }),
      OomScoreAdj: Math.max(config.resources.oomScoreAdj ?? 0, minOomScoreAdj),
      ...toHostResources(config.resources),
    },
  };
}

/** Docker's state of a container in CRI's words. */
export function stateOf(status: string): ContainerRuntimeState {
  if (status === "running" || status === "paused" || status === "restarting") return "Running";
  if (status === "created") return "Created";
  return status === "exited" || status === "dead" || status === "removing" ? "Exited" : "Unknown";
}

/** Docker writes the year 1 for "never". */
function timeOf(text: string): number {
  const time = Date.parse(text);
  return Number.isNaN(time) || time < 0 ? 0 : time;
}

/** A pause container of a listing, as a sandbox. */
export function toSandboxInfo(info: ContainerInfo): Sandbox {
  return {
    id: info.Id,
    metadata: metadataOf(info.Labels),
    state: stateOf(info.State) === "Running" ? "Ready" : "NotReady",
    createdAt: info.Created * 1000,
    ...fromLabels(info.Labels),
    runtimeHandler: "",
  };
}

/** An inspected container in CRI's words. */
export function toContainerStatus(info: ContainerInspectInfo): RuntimeContainerStatus {
  const { State: state, Config: config } = info;
  const status = stateOf(state.Status);
  // A container that could not be started stays "created" with its error.
  const failed = status === "Created" && state.Error !== "";
  const reason = state.OOMKilled
    ? "OOMKilled"
    : failed
      ? "ContainerCannotRun"
      : state.ExitCode === 0
        ? "Completed"
        : "Error";
  return {
    id: info.Id,
    metadata: metadataOf(config.Labels),
    image: config.Image.startsWith("sha256:") ? "" : config.Image,
    imageRef: info.Image,
    imageId: info.Image,
    state: failed ? "Exited" : status,
    createdAt: timeOf(info.Created),
    startedAt: timeOf(state.StartedAt),
    finishedAt: failed ? timeOf(info.Created) : timeOf(state.FinishedAt),
    exitCode: state.ExitCode,
    reason: status === "Running" ? "" : reason,
    message: state.Error ?? "",
    ...fromLabels(config.Labels),
    // Where Docker really writes: below the pods' logs there is a link to it, for collectors.
    logPath: info.LogPath ?? "",
    mounts: info.Mounts.map(({ Source, Destination, RW }) => ({
      hostPath: Source,
      containerPath: Destination,
      readonly: !RW,
    })),
    resources: {
      cpuShares: info.HostConfig.CpuShares,
      cpuQuota: info.HostConfig.CpuQuota,
      cpuPeriod: info.HostConfig.CpuPeriod,
      memoryLimitInBytes: info.HostConfig.Memory,
    },
  };
}
