import { deepEqual } from "#pkg/apimachinery/index.ts";
import type { ContainerStatus, Pod, PodSpec, PodStatus } from "../../types/core-v1.ts";
import {
  dnsSubdomain,
  duplicate,
  each,
  type FieldError,
  forbidden,
  immutable,
  invalid,
  ipFamily,
  isEmpty,
  qualifiedName,
  validIp,
} from "../../validation/rules.ts";
import { validatePodAnnotationUpdates } from "./pod-annotations.ts";

/** The one address of old kubelets outranks the list; either stands for the other. */
export function normalizePodIps(status: PodStatus): void {
  const { podIP, podIPs = [] } = status;
  if (!isEmpty(podIP)) {
    if (podIPs[0]?.ip !== podIP) status.podIPs = [{ ip: podIP! }];
  } else if (podIPs[0]?.ip !== undefined) {
    status.podIP = podIPs[0].ip;
  }
}

/** The kubelet reports what happened; it cannot say that a finished container runs again. */
function validateTransitions(
  statuses: readonly ContainerStatus[] | undefined,
  old: readonly ContainerStatus[] | undefined,
  { restartPolicy, containers, initContainers = [] }: PodSpec,
  path: string,
): FieldError[] {
  if (restartPolicy === "Always") return [];
  // Sidecars, and containers with a policy of their own, restart whatever the pod's policy is.
  const restarting = new Set(
    [...initContainers, ...(containers ?? [])]
      .filter(({ restartPolicy: own }) => own !== undefined && own !== "Never")
      .map(({ name }) => name),
  );
  return each(old, path, ({ name, state }, at) => {
    const terminated = state?.terminated;
    if (terminated === undefined || restarting.has(name)) return [];
    if (terminated.exitCode !== 0 && restartPolicy === "OnFailure") return [];
    const after = statuses?.find((status) => status.name === name);
    if (after === undefined || after.state?.terminated !== undefined) return [];
    return [forbidden(`${at}.state`, "may not be transitioned to non-terminated state")];
  });
}

interface Address {
  readonly ip?: string;
}

/** At most one address of each family; those that were there before may be wrong. */
function validateAddresses(
  addresses: readonly Address[] = [],
  old: readonly Address[] = [],
  path: string,
): FieldError[] {
  if (addresses.length === 0 || deepEqual(addresses, old)) return [];
  const known = new Set(old.map(({ ip }) => ip));
  const errors = each(addresses, path, ({ ip = "" }, at) => (known.has(ip) ? [] : validIp(ip, at)));
  if (addresses.length < 2) return errors;
  const families = new Set(addresses.map(({ ip = "" }) => ipFamily(ip)));
  if (addresses.length > 2 || families.size < 2) {
    errors.push(invalid(path, addresses, "may specify no more than one IP for each IP family"));
  }
  const seen = new Set<string>();
  return [
    ...errors,
    ...each(addresses, path, ({ ip = "" }, at) => {
      if (seen.has(ip)) return [duplicate(at, { IP: ip })];
      seen.add(ip);
      return [];
    }),
  ];
}

function validateHostIps({ hostIP, hostIPs = [] }: PodStatus, old: PodStatus): FieldError[] {
  const path = "status.hostIPs";
  const [first] = hostIPs;
  if (first === undefined) return [];
  const errors = validateAddresses(hostIPs, old.hostIPs, path);
  if ((hostIP ?? "") === (first.ip ?? "")) return errors;
  return [invalid(`${path}[0].ip`, first.ip ?? "", "must be equal to `hostIP`"), ...errors];
}

const SYSTEM_CONDITIONS: ReadonlySet<string> = new Set(["PodScheduled", "Ready", "Initialized"]);

export function validatePodStatusUpdate(pod: Pod, old: Readonly<Pod>): FieldError[] {
  const { spec, status = {} } = pod;
  const before = old.status ?? {};
  const errors = validatePodAnnotationUpdates(
    pod.metadata.annotations,
    old.metadata.annotations,
    "metadata.annotations",
  );
  // Upstream takes conditions for a part of the metadata, and names the Go field.
  errors.push(
    ...each(status.conditions, "metadata.conditions", ({ type }, at) =>
      SYSTEM_CONDITIONS.has(type) ? [] : qualifiedName(type, `${at}.Type`),
    ),
  );
  if (spec?.nodeName !== old.spec?.nodeName) {
    errors.push(forbidden("status.nodeName", "may not be changed directly"));
  }
  const nominated = status.nominatedNodeName;
  if (!isEmpty(nominated) && nominated !== before.nominatedNodeName) {
    errors.push(...dnsSubdomain(nominated!, "status.nominatedNodeName"));
  }
  errors.push(...immutable(status.qosClass, before.qosClass, "status.qosClass"));
  if (spec?.containers?.every(({ restartPolicyRules }) => restartPolicyRules === undefined)) {
    for (const list of ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] as const) {
      const rules: PodSpec = list.startsWith("ephemeral") ? { containers: [], restartPolicy: "Never" } : spec;
      errors.push(...validateTransitions(status[list], before[list], rules, `status.${list}`));
    }
  }
  errors.push(...validateAddresses(status.podIPs, before.podIPs, "status.podIPs"), ...validateHostIps(status, before));
  if ((status.observedGeneration ?? 0) < 0) {
    errors.push(invalid("status.observedGeneration", status.observedGeneration, "must be greater than or equal to 0"));
  }
  return errors;
}
