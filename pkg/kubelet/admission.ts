/** Judges a pod before the node takes it: what the scheduler may not have known, or was never asked. Pure. */
import { fitsNode } from "#pkg/api/rules/index.ts";
import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import type { KubeletConfig } from "./config.ts";
import { containersOf, isCriticalPod, qosClass } from "./pod/spec.ts";
import type { Verdict } from "./pod/worker-deps.ts";
import { podsToPreempt, shortages } from "./room.ts";

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

/** What becomes of a pod that is new: undefined lets it in, and so does room that others are ended for. */
export type Admission =
  | { readonly refused: Verdict }
  | { readonly preempt: readonly Pod[]; readonly lacking: string }
  | undefined;

/** Whether the node takes the pod. The first reason not to counts. */
export function admitPod(input: AdmissionInput): Admission {
  const refused =
    admitPressure(input) ??
    admitSysctls(input) ??
    admitAppArmor(input) ??
    admitSupplementalGroups(input) ??
    admitNodeAffinity(input) ??
    admitPorts(input);
  return refused === undefined ? admitResources(input) : { refused };
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

/** What the node has too little of; for a critical pod others make room, if they can. */
function admitResources({ pod, others, allocatable, allocated }: AdmissionInput): Admission {
  const granted = others.map(allocated);
  const short = shortages(pod, granted, allocatable);
  const [first] = short;
  if (first === undefined) return undefined;
  if (isCriticalPod(pod)) {
    const preempt = podsToPreempt(pod, granted, short);
    if (preempt !== undefined) return { preempt, lacking: first.name };
    const names = short.map(({ name }) => name).join(", ");
    const why = `preemption: error finding a set of pods to preempt: no set of running pods found to reclaim resources: ${names}`;
    return {
      refused: {
        reason: "UnexpectedAdmissionError",
        message: `Unexpected error while attempting to recover from admission failure: ${why}`,
      },
    };
  }
  const { name, requested, used, capacity } = first;
  const message = `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { refused: { reason: `OutOf${name}`, message } };
}
