/** Judges a pod before the node takes it: what the scheduler may not have known, or was never asked. Pure. */
import { fitsNode } from "#pkg/api/rules/index.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { podSums } from "./cgroups/resources.ts";
import type { KubeletConfig } from "./config.ts";
import { containersOf, isCriticalPod, qosClass } from "./pod/spec.ts";
import type { Verdict } from "./pod/worker-deps.ts";

/** Sysctls that concern nothing outside the pod. Source: the sysctl documentation. */
const SAFE_SYSCTLS = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.ping_group_range",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_wmem",
]);

/** A pod that is new to this node, and what it has to fit in with. */
export interface AdmissionInput {
  readonly pod: Pod;
  readonly others: readonly Pod[];
  readonly node: Node | undefined;
  readonly allocatable: Readonly<Record<string, string | number>>;
  readonly config: KubeletConfig;
  /** Whether the kernel enforces AppArmor profiles. */
  readonly appArmor: boolean;
  /** Whether the runtime can keep a container's groups to those that the pod names. */
  readonly supplementalGroupsPolicy: boolean;
  readonly pressure?: { readonly memory: boolean; readonly disk: boolean; readonly pid: boolean };
  /** The pod with the resources it was granted, for pods being resized. */
  readonly allocated: (pod: Pod) => Pod;
}

/** Why the node does not take the pod; undefined when it does. The first reason counts. */
export function admitPod(input: AdmissionInput): Verdict | undefined {
  return (
    admitPressure(input) ??
    admitSysctls(input) ??
    admitAppArmor(input) ??
    admitSupplementalGroups(input) ??
    admitNodeAffinity(input) ??
    admitPorts(input) ??
    admitResources(input)
  );
}

/** Under pressure only critical pods come in; under mere memory pressure also those that said what they need. */
function admitPressure({ pod, pressure }: AdmissionInput): Verdict | undefined {
  if (pressure === undefined || isCriticalPod(pod)) return undefined;
  const names = [
    ...(pressure.memory ? ["MemoryPressure"] : []),
    ...(pressure.disk ? ["DiskPressure"] : []),
    ...(pressure.pid ? ["PIDPressure"] : []),
  ];
  if (names.length === 0) return undefined;
  const tolerated = (pod.spec.tolerations ?? []).some(
    ({ key, operator, effect }) =>
      (key === "node.kubernetes.io/memory-pressure" || (key === undefined && operator === "Exists")) &&
      effect !== "NoExecute",
  );
  if (names.length === 1 && pressure.memory && (qosClass(pod) !== "BestEffort" || tolerated)) return undefined;
  return { reason: "Evicted", message: `The node had condition: [${names.join(" ")}]. ` };
}

function admitSysctls({ pod, config }: AdmissionInput): Verdict | undefined {
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    const allowed = config.allowedUnsafeSysctls.some((pattern) =>
      pattern.endsWith("*") ? dotted.startsWith(pattern.slice(0, -1)) : dotted === pattern,
    );
    const hostShared =
      (dotted.startsWith("net.") && pod.spec.hostNetwork === true) ||
      (/^(kernel\.(shm|msg|sem)|fs\.mqueue\.)/.test(dotted) && pod.spec.hostIPC === true);
    if (hostShared || (!SAFE_SYSCTLS.has(dotted) && !allowed)) {
      return { reason: "SysctlForbidden", message: `forbidden sysctl: "${name}" not allowlisted` };
    }
  }
  return undefined;
}

/** A profile that the kernel cannot enforce must not be taken for one that it does. */
function admitAppArmor({ pod, appArmor }: AdmissionInput): Verdict | undefined {
  if (appArmor) return undefined;
  const contexts = [pod.spec, ...containersOf(pod).map(({ spec }) => spec)].map(
    ({ securityContext }) => securityContext,
  );
  const wanted = contexts.some(
    (context) => context?.appArmorProfile !== undefined && context.appArmorProfile.type !== "Unconfined",
  );
  return wanted
    ? { reason: "AppArmor", message: "Cannot enforce AppArmor: AppArmor is not enabled on the host" }
    : undefined;
}

/** Merged groups would give the pod's processes more than it asked for. */
function admitSupplementalGroups({ pod, supplementalGroupsPolicy }: AdmissionInput): Verdict | undefined {
  if (supplementalGroupsPolicy || pod.spec.securityContext?.supplementalGroupsPolicy !== "Strict") return undefined;
  return {
    reason: "SupplementalGroupsPolicyNotSupported",
    message: "SupplementalGroupsPolicy=Strict is not supported in this node",
  };
}

function admitNodeAffinity({ pod, node }: AdmissionInput): Verdict | undefined {
  if (node === undefined || fitsNode(pod.spec, node)) return undefined;
  return {
    reason: "NodeAffinity",
    message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
  };
}

function hostPorts(pod: Pod): { ip: string; protocol: string; port: number }[] {
  const sidecars = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  return [...pod.spec.containers, ...sidecars].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP = "", protocol = "TCP" }) =>
      hostPort === undefined || hostPort === 0
        ? []
        : [{ ip: hostIP === "" ? "0.0.0.0" : hostIP, protocol, port: hostPort }],
    ),
  );
}

function admitPorts({ pod, others }: AdmissionInput): Verdict | undefined {
  const taken = others.flatMap(hostPorts);
  const conflict = hostPorts(pod).some((own) =>
    taken.some(
      (other) =>
        other.port === own.port &&
        other.protocol === own.protocol &&
        (other.ip === own.ip || other.ip === "0.0.0.0" || own.ip === "0.0.0.0"),
    ),
  );
  return conflict
    ? {
        reason: "NodePorts",
        message: "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
      }
    : undefined;
}

interface Demand {
  readonly name: string;
  readonly of: (pod: Pod) => number;
}

function extendedRequest(pod: Pod, name: string): number {
  const of = (list: Readonly<Record<string, string | number>> | undefined) =>
    list?.[name] === undefined ? 0 : parseQuantity(list[name]).toNumber();
  const init = Math.max(0, ...(pod.spec.initContainers ?? []).map(({ resources }) => of(resources?.requests)));
  return Math.max(
    init,
    pod.spec.containers.reduce((sum, { resources }) => sum + of(resources?.requests), 0),
  );
}

function admitResources({ pod, others, allocatable, allocated }: AdmissionInput): Verdict | undefined {
  // Before the node has registered nothing is known that could be judged.
  if (Object.keys(allocatable).length === 0) return undefined;
  const limit = (name: string) => (allocatable[name] === undefined ? 0 : parseQuantity(allocatable[name]).toNumber());
  const granted = others.map(allocated);
  if (granted.length + 1 > limit("pods")) {
    return {
      reason: "OutOfpods",
      message: `Node didn't have enough resource: pods, requested: 1, used: ${granted.length}, capacity: ${limit("pods")}`,
    };
  }
  if (isCriticalPod(pod)) return undefined;
  // Resources that the node knows nothing of are the cluster's own: the scheduler has judged them.
  const extended = new Set(
    pod.spec.containers
      .flatMap(({ resources }) => Object.keys(resources?.requests ?? {}))
      .filter((name) => name.includes("/") && allocatable[name] !== undefined),
  );
  const demands: Demand[] = [
    { name: "cpu", of: (p) => podSums(p).milliCpuRequest },
    { name: "memory", of: (p) => podSums(p).memoryRequest },
    { name: "ephemeral-storage", of: (p) => extendedRequest(p, "ephemeral-storage") },
    ...[...extended].map((name) => ({ name, of: (p: Pod) => extendedRequest(p, name) })),
  ];
  for (const { name, of } of demands) {
    const requested = of(pod);
    if (requested === 0) continue;
    const used = granted.reduce((sum, other) => sum + of(other), 0);
    const capacity = name === "cpu" ? limit(name) * 1000 : limit(name);
    if (used + requested > capacity) {
      return {
        reason: `OutOf${name}`,
        message: `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`,
      };
    }
  }
  return undefined;
}
