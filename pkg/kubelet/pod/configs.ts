/** Builds the runtime's sandbox and container configurations from a pod. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Container, EphemeralContainer, Pod, SeccompProfile } from "#pkg/api/types/core-v1.ts";
import type {
  ContainerConfig,
  Image,
  ImageSpec,
  LinuxResources,
  Mount,
  NamespaceMode,
  NamespaceOptions,
  PortMapping,
  SandboxConfig,
  SecurityProfile,
} from "../cri/runtime.ts";
import { ANNOTATIONS, LABELS } from "./annotations.ts";
import { ContainerConfigError } from "./env-error.ts";
import { expand } from "./expansion.ts";
import type { DnsSettings } from "./network.ts";
import { containerHash, podFullName } from "./spec.ts";

/** What a container must not see or change unless it is privileged or asks for procMount Unmasked. */
const MASKED_PATHS = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function seccompOf(profile: SeccompProfile | undefined, seccompRoot: string, byDefault: boolean): SecurityProfile {
  if (profile === undefined) return { type: byDefault ? "RuntimeDefault" : "Unconfined" };
  if (profile.type === "Localhost")
    return { type: "Localhost", localhostRef: join(seccompRoot, profile.localhostProfile ?? "") };
  return { type: profile.type === "RuntimeDefault" ? "RuntimeDefault" : "Unconfined" };
}

function apparmorOf(pod: Pod, container: Container | EphemeralContainer | undefined): SecurityProfile | undefined {
  const profile = container?.securityContext?.appArmorProfile ?? pod.spec.securityContext?.appArmorProfile;
  if (profile === undefined) return undefined;
  if (profile.type === "Localhost") return { type: "Localhost", localhostRef: profile.localhostProfile ?? "" };
  return { type: profile.type === "Unconfined" ? "Unconfined" : "RuntimeDefault" };
}

function namespacesOf(pod: Pod, targetId?: string): NamespaceOptions {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  let pid: NamespaceMode = hostPID === true ? "Node" : shareProcessNamespace === true ? "Pod" : "Container";
  if (targetId !== undefined && pid === "Container") pid = "Target";
  return {
    network: hostNetwork === true ? "Node" : "Pod",
    ipc: hostIPC === true ? "Node" : "Pod",
    pid,
    ...(pid === "Target" ? { targetId } : {}),
  };
}

function groupsOf(pod: Pod): number[] {
  const { fsGroup, supplementalGroups = [] } = pod.spec.securityContext ?? {};
  return fsGroup === undefined ? [...supplementalGroups] : [fsGroup, ...supplementalGroups];
}

function portMappings(pod: Pod): PortMapping[] {
  if (pod.spec.hostNetwork === true) return [];
  return [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always"),
  ].flatMap(({ ports = [] }) =>
    ports
      .filter(({ hostPort }) => hostPort !== undefined && hostPort > 0)
      .map(({ protocol = "TCP", containerPort, hostPort, hostIP = "" }) => ({
        protocol: protocol as PortMapping["protocol"],
        containerPort,
        hostPort: hostPort!,
        hostIp: hostIP,
      })),
  );
}

/** What a sandbox is made of. */
export interface SandboxInput {
  readonly pod: Pod;
  readonly attempt: number;
  readonly hostname: string;
  readonly dns: DnsSettings;
  readonly podLogsDir: string;
  readonly cgroupParent: string;
  readonly seccompRoot: string;
  readonly seccompDefault: boolean;
  readonly resources?: LinuxResources;
  readonly overhead?: LinuxResources;
}

/** Where the runtime writes the logs of the pod's containers. */
export function podLogDirectory(root: string, pod: Pod): string {
  return join(root, `${pod.metadata.namespace ?? ""}_${pod.metadata.name}_${pod.metadata.uid}`);
}

/** The sandbox as the runtime is asked for it. */
export function sandboxConfig(input: SandboxInput): SandboxConfig {
  const { pod } = input;
  const { name, namespace = "", uid, labels = {}, annotations = {} } = pod.metadata;
  const context = pod.spec.securityContext ?? {};
  const anyPrivileged = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []),
    ...(pod.spec.ephemeralContainers ?? []),
  ].some((c) => c.securityContext?.privileged === true);
  return {
    metadata: { name, namespace, uid, attempt: input.attempt },
    hostname: pod.spec.hostNetwork === true ? "" : input.hostname,
    logDirectory: podLogDirectory(input.podLogsDir, pod),
    dns: input.dns,
    portMappings: portMappings(pod),
    labels: { ...labels, [LABELS.podName]: name, [LABELS.podNamespace]: namespace, [LABELS.podUid]: uid },
    annotations: { "kubernetes.io/config.source": "api", ...annotations },
    cgroupParent: input.cgroupParent,
    sysctls: Object.fromEntries(
      (context.sysctls ?? []).map((sysctl) => [sysctl.name.replaceAll("/", "."), sysctl.value]),
    ),
    ...(input.resources === undefined ? {} : { resources: input.resources }),
    ...(input.overhead === undefined ? {} : { overhead: input.overhead }),
    securityContext: {
      namespaces: namespacesOf(pod),
      ...(context.seLinuxOptions === undefined ? {} : { selinux: context.seLinuxOptions }),
      ...(context.runAsUser === undefined ? {} : { runAsUser: context.runAsUser }),
      // The runtime refuses a group without a user.
      ...(context.runAsGroup === undefined || context.runAsUser === undefined
        ? {}
        : { runAsGroup: context.runAsGroup }),
      supplementalGroups: groupsOf(pod),
      supplementalGroupsPolicy: context.supplementalGroupsPolicy === "Strict" ? "Strict" : "Merge",
      privileged: anyPrivileged,
      // The pause container needs nothing that a runtime's default profile forbids.
      seccomp:
        context.seccompProfile === undefined
          ? { type: "RuntimeDefault" }
          : seccompOf(context.seccompProfile, input.seccompRoot, input.seccompDefault),
      apparmor: apparmorOf(pod, undefined),
    },
  };
}

/** What a container is made of. */
export interface ContainerInput {
  readonly pod: Pod;
  readonly container: Container | EphemeralContainer;
  readonly restartCount: number;
  readonly image: ImageSpec;
  readonly imageUser: Pick<Image, "uid" | "username">;
  readonly env: ReadonlyMap<string, string>;
  readonly mounts: readonly Mount[];
  readonly resources: LinuxResources;
  readonly seccompRoot: string;
  readonly seccompDefault: boolean;
  /** Container id of an ephemeral container's target. */
  readonly targetId?: string;
  /** Id of the container after whose end all were restarted. */
  readonly restartedAfter?: string;
}

/** Enforces runAsNonRoot before anything runs; an image's user name cannot be judged from outside it. */
function verifyNonRoot(
  pod: Pod,
  container: Container | EphemeralContainer,
  user: Pick<Image, "uid" | "username">,
): void {
  const own = container.securityContext;
  const common = pod.spec.securityContext;
  if ((own?.runAsNonRoot ?? common?.runAsNonRoot) !== true) return;
  const where = `(pod: "${podFullName(pod)}", container: ${container.name})`;
  const uid = own?.runAsUser ?? common?.runAsUser;
  if (uid !== undefined) {
    if (uid === 0) throw new ContainerConfigError(`container's runAsUser breaks non-root policy ${where}`);
    return;
  }
  if (user.uid === 0) throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${where}`);
  if (user.uid === undefined && user.username !== "") {
    throw new ContainerConfigError(
      `container has runAsNonRoot and image has non-numeric user (${user.username}), cannot verify user is non-root ${where}`,
    );
  }
  if (user.uid === undefined)
    throw new ContainerConfigError(`container has runAsNonRoot and image will run as root ${where}`);
}

/** `unsigned`: an image without USER reports neither uid nor name, and then runs as root. */
export function containerConfig(input: ContainerInput): ContainerConfig {
  const { pod, container, env } = input;
  verifyNonRoot(pod, container, input.imageUser);
  const own = container.securityContext ?? {};
  const common = pod.spec.securityContext ?? {};
  const privileged = own.privileged === true;
  const unmasked = privileged || own.procMount === "Unmasked";
  const lookUp = (name: string) => env.get(name);
  const runAsUser = own.runAsUser ?? common.runAsUser;
  const runAsGroup = own.runAsGroup ?? common.runAsGroup;
  const { namespace = "", name, uid } = pod.metadata;
  const command = (container.command ?? []).map((text) => expand(text, lookUp));
  return {
    metadata: { name: container.name, attempt: input.restartCount },
    image: input.image,
    command,
    args: (container.args ?? []).map((text) => expand(text, lookUp)),
    workingDir: container.workingDir ?? "",
    envs: [...env].map(([key, value]) => ({ key, value })),
    mounts: input.mounts,
    devices: [],
    labels: {
      [LABELS.podName]: name,
      [LABELS.podNamespace]: namespace,
      [LABELS.podUid]: uid,
      [LABELS.containerName]: container.name,
    },
    annotations: {
      [ANNOTATIONS.hash]: containerHash(container),
      [ANNOTATIONS.restartCount]: String(input.restartCount),
      [ANNOTATIONS.terminationMessagePath]: container.terminationMessagePath ?? "/dev/termination-log",
      [ANNOTATIONS.terminationMessagePolicy]: container.terminationMessagePolicy ?? "File",
      [ANNOTATIONS.podTerminationGracePeriod]: String(pod.spec.terminationGracePeriodSeconds ?? 30),
      ...(container.lifecycle?.preStop === undefined
        ? {}
        : { [ANNOTATIONS.preStopHandler]: JSON.stringify(container.lifecycle.preStop) }),
      ...(input.restartedAfter === undefined ? {} : { [ANNOTATIONS.restartedAfter]: input.restartedAfter }),
    },
    logPath: `${container.name}/${input.restartCount}.log`,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    ...(container.lifecycle?.stopSignal === undefined ? {} : { stopSignal: container.lifecycle.stopSignal }),
    resources: input.resources,
    securityContext: {
      capabilities: { add: own.capabilities?.add ?? [], drop: own.capabilities?.drop ?? [] },
      privileged,
      namespaces: namespacesOf(pod, input.targetId),
      ...((own.seLinuxOptions ?? common.seLinuxOptions) === undefined
        ? {}
        : { selinux: own.seLinuxOptions ?? common.seLinuxOptions }),
      ...(runAsUser === undefined
        ? input.imageUser.uid === undefined && input.imageUser.username !== "" && runAsGroup !== undefined
          ? { runAsUsername: input.imageUser.username }
          : imageUserFor(runAsGroup, input.imageUser)
        : { runAsUser }),
      ...(runAsGroup === undefined ? {} : { runAsGroup }),
      readonlyRootfs: own.readOnlyRootFilesystem ?? false,
      supplementalGroups: groupsOf(pod),
      supplementalGroupsPolicy: common.supplementalGroupsPolicy === "Strict" ? "Strict" : "Merge",
      noNewPrivs: own.allowPrivilegeEscalation === false,
      maskedPaths: unmasked ? [] : MASKED_PATHS,
      readonlyPaths: unmasked ? [] : READONLY_PATHS,
      seccomp: privileged
        ? { type: "Unconfined" }
        : seccompOf(own.seccompProfile ?? common.seccompProfile, input.seccompRoot, input.seccompDefault),
      apparmor: apparmorOf(pod, container),
    },
  };
}

/** runAsGroup alone needs a user beside it, and the image's own is the only honest choice. */
function imageUserFor(runAsGroup: number | undefined, user: Pick<Image, "uid" | "username">): { runAsUser?: number } {
  return runAsGroup === undefined ? {} : { runAsUser: user.uid ?? 0 };
}

/** A name no container can guess, so that a host path is never reused between restarts. */
export function terminationLogName(): string {
  return randomBytes(4).toString("hex");
}
