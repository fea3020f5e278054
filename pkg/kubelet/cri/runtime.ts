/**
 * The container runtime as the kubelet sees it: CRI v1's verbs and messages in plain TypeScript.
 * Implementations: GrpcRuntime (any CRI v1 runtime over a unix socket) and the Docker runtime.
 *
 * Ownership: the runtime owns sandboxes, containers and images; the kubelet names them by labels and ids.
 * Idempotency: stop and remove succeed when the object is already stopped or gone; create never does.
 * Errors: every method rejects with RuntimeError, whose `code` says what callers branch on.
 * Times are milliseconds since the epoch with a fraction (from nanoseconds); 0 means "not yet".
 */
import { errorMessage } from "#pkg/util/index.ts";

/** PodSandboxState of CRI. */
export type SandboxState = "Ready" | "NotReady";

/** ContainerState of CRI. */
export type ContainerRuntimeState = "Created" | "Running" | "Exited" | "Unknown";

/** NamespaceMode of CRI: whose namespace is used. */
export type NamespaceMode = "Pod" | "Container" | "Node" | "Target";

/** Labels or annotations. */
export type Labels = Readonly<Record<string, string>>;

/** A seccomp or AppArmor profile; `localhostRef` names it for Localhost. */
export interface SecurityProfile {
  readonly type: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostRef?: string;
}

/** A range of user or group ids of a user namespace. */
export interface IdMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

/** Which namespaces are the pod's own. */
export interface NamespaceOptions {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
  readonly targetId?: string;
  /** Present when the pod has a user namespace of its own. */
  readonly userns?: { readonly uids: readonly IdMapping[]; readonly gids: readonly IdMapping[] };
}

/** Parts of an SELinux label. */
export interface SelinuxOptions {
  readonly user?: string;
  readonly role?: string;
  readonly type?: string;
  readonly level?: string;
}

/** LinuxContainerResources of CRI; periods and quotas in microseconds. What is absent stays as it is. */
export interface LinuxResources {
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpuShares?: number;
  readonly memoryLimitInBytes?: number;
  readonly oomScoreAdj?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[];
  readonly unified?: Readonly<Record<string, string>>;
  readonly memorySwapLimitInBytes?: number;
}

/** A port of the machine that leads to the pod. */
export interface PortMapping {
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

/** What names a sandbox; `attempt` counts those made for the pod before. */
export interface SandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

/** How a sandbox is made. */
export interface SandboxConfig {
  readonly metadata: SandboxMetadata;
  readonly hostname: string;
  readonly logDirectory: string;
  readonly dns: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly portMappings: readonly PortMapping[];
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly cgroupParent: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly overhead?: LinuxResources;
  readonly resources?: LinuxResources;
  readonly securityContext: {
    readonly namespaces: NamespaceOptions;
    readonly selinux?: SelinuxOptions;
    readonly runAsUser?: number;
    readonly runAsGroup?: number;
    readonly supplementalGroups: readonly number[];
    readonly supplementalGroupsPolicy?: "Merge" | "Strict";
    readonly privileged: boolean;
    readonly seccomp?: SecurityProfile;
    readonly apparmor?: SecurityProfile;
  };
}

/** A sandbox; times in epoch milliseconds. */
export interface Sandbox {
  readonly id: string;
  readonly metadata: SandboxMetadata;
  readonly state: SandboxState;
  readonly createdAt: number;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly runtimeHandler: string;
}

/** A sandbox with what is found out by asking for it alone. */
export interface SandboxStatus extends Sandbox {
  /** Empty until the network is set up, and for host-network pods. */
  readonly ips: readonly string[];
  readonly networkNamespace?: NamespaceMode;
}

/** How an image is asked for. */
export interface ImageSpec {
  readonly image: string;
  /** What the pod's author wrote. */
  readonly userSpecifiedImage?: string;
  readonly runtimeHandler?: string;
  readonly annotations?: Labels;
}

/** A directory or file of the machine inside a container. */
export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  readonly propagation?: "Private" | "HostToContainer" | "Bidirectional";
  readonly selinuxRelabel?: boolean;
  readonly recursiveReadOnly?: boolean;
  /** An image volume: the runtime mounts this image's root file system instead of hostPath. */
  readonly image?: ImageSpec;
  readonly imageSubPath?: string;
}

/** How a container is made. */
export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: ImageSpec;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly envs: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly Mount[];
  readonly devices: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly permissions: string;
  }[];
  readonly labels: Labels;
  readonly annotations: Labels;
  /** Relative to the sandbox's logDirectory. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  /** Signal name, e.g. "SIGUSR1"; absent for the image's own. */
  readonly stopSignal?: string;
  readonly resources: LinuxResources;
  readonly securityContext: {
    readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
    readonly privileged: boolean;
    readonly namespaces: NamespaceOptions;
    readonly selinux?: SelinuxOptions;
    readonly runAsUser?: number;
    readonly runAsGroup?: number;
    readonly runAsUsername?: string;
    readonly readonlyRootfs: boolean;
    readonly supplementalGroups: readonly number[];
    readonly supplementalGroupsPolicy?: "Merge" | "Strict";
    readonly noNewPrivs: boolean;
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
    readonly seccomp?: SecurityProfile;
    readonly apparmor?: SecurityProfile;
  };
}

/** A container of a listing; times in epoch milliseconds. */
export interface RuntimeContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly image: string;
  readonly imageRef: string;
  readonly state: ContainerRuntimeState;
  readonly createdAt: number;
  readonly labels: Labels;
  readonly annotations: Labels;
}

/** A container with what is found out by asking for it alone; times in epoch milliseconds, 0 for not yet. */
export interface RuntimeContainerStatus extends Omit<RuntimeContainer, "sandboxId"> {
  readonly startedAt: number;
  readonly finishedAt: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly imageId: string;
  /** Absolute path of the log file on the node. */
  readonly logPath: string;
  readonly mounts: readonly Mount[];
  readonly resources?: LinuxResources;
  readonly user?: { readonly uid: number; readonly gid: number; readonly supplementalGroups: readonly number[] };
  readonly stopSignal?: string;
}

/** An image that the runtime has. */
export interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly sizeBytes: number;
  /** The user an image asks for: numeric, or a name to be looked up inside it. */
  readonly uid?: number;
  readonly username: string;
  readonly pinned: boolean;
}

/** What a registry is shown at a pull. */
export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

/** Whether the runtime, or its network, is ready. */
export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

/** What a runtime class's handler can do. */
export interface RuntimeHandlerInfo {
  readonly name: string;
  readonly recursiveReadOnlyMounts: boolean;
  readonly userNamespaces: boolean;
}

/** What the runtime says of itself. */
export interface RuntimeStatus {
  readonly conditions: readonly RuntimeCondition[];
  readonly handlers: readonly RuntimeHandlerInfo[];
  readonly supplementalGroupsPolicy: boolean;
}

/** What images take on a file system; time in epoch milliseconds. */
export interface FilesystemUsage {
  readonly timestamp: number;
  readonly mountpoint: string;
  readonly usedBytes: number;
  readonly inodesUsed: number;
}

/** What a container uses; times in epoch milliseconds. */
export interface ContainerStats {
  readonly id: string;
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly labels: Labels;
  readonly cpu?: {
    readonly timestamp: number;
    readonly usageCoreNanoSeconds: number;
    readonly usageNanoCores?: number;
  };
  readonly memory?: {
    readonly timestamp: number;
    readonly workingSetBytes: number;
    readonly availableBytes?: number;
    readonly usageBytes?: number;
    readonly rssBytes?: number;
    readonly pageFaults?: number;
    readonly majorPageFaults?: number;
  };
  readonly writableLayer?: FilesystemUsage;
}

/** Something has become of a container. */
export type ContainerEvent = {
  readonly type: "Created" | "Started" | "Stopped" | "Deleted";
  readonly containerId: string;
  readonly podUid: string | undefined;
};

/** Which ones to list; what is absent does not narrow. */
export interface ListFilter {
  readonly podUid?: string;
  readonly id?: string;
}

/** A command in a container, and its streams. */
export interface ExecOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Streams of a container's own process. */
export type AttachOptions = Omit<ExecOptions, "command">;

/** A call's own deadline comes on top of the implementation's default. */
export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface Runtime {
  version(options?: CallOptions): Promise<{ name: string; version: string; apiVersion: string }>;
  status(options?: CallOptions): Promise<RuntimeStatus>;
  /** True where containers' logs are none of the kubelet's business but to read. */
  readonly rotatesLogs: boolean;
  /** What the runtime itself uses, or undefined when it cannot tell. */
  cgroupDriver(options?: CallOptions): Promise<"systemd" | "cgroupfs" | undefined>;

  runSandbox(config: SandboxConfig, runtimeHandler: string, options?: CallOptions): Promise<string>;
  stopSandbox(id: string, options?: CallOptions): Promise<void>;
  removeSandbox(id: string, options?: CallOptions): Promise<void>;
  sandboxStatus(id: string, options?: CallOptions): Promise<SandboxStatus>;
  listSandboxes(filter?: ListFilter, options?: CallOptions): Promise<Sandbox[]>;
  /** Tells the runtime about the pod's new sum of resources; runtimes that do not care accept it silently. */
  updateSandboxResources(
    id: string,
    overhead: LinuxResources,
    resources: LinuxResources,
    options?: CallOptions,
  ): Promise<void>;

  createContainer(
    sandboxId: string,
    config: ContainerConfig,
    sandbox: SandboxConfig,
    options?: CallOptions,
  ): Promise<string>;
  startContainer(id: string, options?: CallOptions): Promise<void>;
  /** Sends the stop signal, waits `graceSeconds`, then kills. Resolves when the container has ended. */
  stopContainer(id: string, graceSeconds: number, options?: CallOptions): Promise<void>;
  removeContainer(id: string, options?: CallOptions): Promise<void>;
  listContainers(filter?: ListFilter, options?: CallOptions): Promise<RuntimeContainer[]>;
  containerStatus(id: string, options?: CallOptions): Promise<RuntimeContainerStatus>;
  updateContainerResources(id: string, resources: LinuxResources, options?: CallOptions): Promise<void>;
  reopenContainerLog(id: string, options?: CallOptions): Promise<void>;
  execSync(
    id: string,
    command: readonly string[],
    timeoutSeconds: number,
    options?: CallOptions,
  ): Promise<{ exitCode: number; stdout: Uint8Array; stderr: Uint8Array }>;
  listContainerStats(filter?: ListFilter, options?: CallOptions): Promise<ContainerStats[]>;

  /** URLs of the runtime's streaming server: SPDY/3.1 or WebSocket upgrades, one use each. */
  exec(id: string, exec: ExecOptions, options?: CallOptions): Promise<string>;
  attach(id: string, attach: AttachOptions, options?: CallOptions): Promise<string>;
  portForward(sandboxId: string, ports: readonly number[], options?: CallOptions): Promise<string>;

  listImages(options?: CallOptions): Promise<Image[]>;
  /** undefined when the image is not on the node. */
  imageStatus(image: ImageSpec, options?: CallOptions): Promise<Image | undefined>;
  /** Resolves to the reference (id or digest) to start containers with. */
  pullImage(
    image: ImageSpec,
    auth: AuthConfig | undefined,
    sandbox: SandboxConfig | undefined,
    options?: CallOptions,
  ): Promise<string>;
  removeImage(image: ImageSpec, options?: CallOptions): Promise<void>;
  imageFsInfo(options?: CallOptions): Promise<{ images: FilesystemUsage[]; containers: FilesystemUsage[] }>;

  /** Container events until aborted; rejects with "Unimplemented" where the runtime has no event stream. */
  events(signal: AbortSignal): AsyncIterable<ContainerEvent>;
  close(): void;
}

export type RuntimeErrorCode =
  | "NotFound"
  | "AlreadyExists"
  | "DeadlineExceeded"
  | "Unavailable"
  | "Unimplemented"
  | "InvalidArgument"
  | "Cancelled"
  | "Unknown";

/** The one error of the runtime seam. `message` is the runtime's own text; it ends up in events and statuses. */
export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;
  constructor(code: RuntimeErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "RuntimeError";
    this.code = code;
  }
}

/** Linux executes no single argument of this length (MAX_ARG_STRLEN). */
const MAX_ARGUMENT_BYTES = 128 * 1024;

/** Refuses a command that no kernel would execute: runc 1.1 hangs on such an exec, and the container with it. */
export function assertExecutable(command: readonly string[]): void {
  if (command.some((word) => Buffer.byteLength(word) >= MAX_ARGUMENT_BYTES))
    throw new RuntimeError("InvalidArgument", "argument list too long");
}

/** As clients of gRPC print an error: what was called failed with this code. */
export function rpcText(error: unknown): string {
  if (error instanceof RuntimeError) return `rpc error: code = ${error.code} desc = ${error.message}`;
  return errorMessage(error);
}

export function isRuntimeError(error: unknown, ...codes: RuntimeErrorCode[]): error is RuntimeError {
  return error instanceof RuntimeError && (codes.length === 0 || codes.includes(error.code));
}
