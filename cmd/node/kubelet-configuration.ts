import { deepEqual } from "#pkg/apimachinery/index.ts";
import { UsageError } from "#pkg/config/index.ts";
import { DEFAULT_CONFIG, kubeletConfiguration } from "#pkg/kubelet/index.ts";

/** Fields of KubeletConfiguration and the flags of kubits-node that mean the same. */
const FLAG_OF_FIELD: Readonly<Record<string, string>> = {
  staticPodPath: "pod-manifest-path",
  podLogsDir: "pod-logs-dir",
  syncFrequency: "sync-frequency",
  fileCheckFrequency: "file-check-frequency",
  address: "address",
  port: "port",
  tlsCertFile: "tls-cert-file",
  tlsPrivateKeyFile: "tls-private-key-file",
  serverTLSBootstrap: "rotate-server-certificates",
  "authentication.x509.clientCAFile": "client-ca-file",
  "authentication.anonymous.enabled": "kubelet-anonymous-auth",
  "authorization.mode": "kubelet-authorization-mode",
  healthzPort: "healthz-port",
  healthzBindAddress: "healthz-address",
  clusterDomain: "cluster-domain",
  clusterDNS: "cluster-dns",
  nodeStatusUpdateFrequency: "node-status-update-frequency",
  nodeStatusReportFrequency: "node-status-report-frequency",
  nodeLeaseDurationSeconds: "node-lease-duration-seconds",
  imageMinimumGCAge: "minimum-image-ttl-duration",
  imageGCHighThresholdPercent: "image-gc-high-threshold",
  imageGCLowThresholdPercent: "image-gc-low-threshold",
  cgroupRoot: "cgroup-root",
  cgroupsPerQOS: "cgroups-per-qos",
  cgroupDriver: "cgroup-driver",
  maxPods: "max-pods",
  podPidsLimit: "pod-max-pids",
  resolvConf: "resolv-conf",
  cpuCFSQuota: "cpu-cfs-quota",
  singleProcessOOMKill: "single-process-oom-kill",
  nodeStatusMaxImages: "node-status-max-images",
  serializeImagePulls: "serialize-image-pulls",
  maxParallelImagePulls: "max-parallel-image-pulls",
  evictionHard: "eviction-hard",
  evictionSoft: "eviction-soft",
  evictionSoftGracePeriod: "eviction-soft-grace-period",
  evictionMinimumReclaim: "eviction-minimum-reclaim",
  evictionPressureTransitionPeriod: "eviction-pressure-transition-period",
  evictionMaxPodGracePeriod: "eviction-max-pod-grace-period",
  "crashLoopBackOff.maxContainerRestartPeriod": "crash-loop-max-period",
  containerLogMaxSize: "container-log-max-size",
  containerLogMaxFiles: "container-log-max-files",
  systemReserved: "system-reserved",
  kubeReserved: "kube-reserved",
  allowedUnsafeSysctls: "allowed-unsafe-sysctls",
  seccompDefault: "seccomp-default",
  failSwapOn: "fail-swap-on",
  enableSystemLogHandler: "enable-system-log-handler",
  registerNode: "register-node",
  registerWithTaints: "register-with-taints",
  providerID: "provider-id",
  containerRuntimeEndpoint: "container-runtime-endpoint",
};

/** Fields in which nothing, or zero, is a value. In all others it stands for the default, and kubeadm writes it a lot. */
const ZERO_COUNTS: ReadonlySet<string> = new Set([
  "containerLogMaxFiles",
  "healthzPort",
  "imageGCHighThresholdPercent",
  "imageGCLowThresholdPercent",
  "nodeStatusMaxImages",
  "podPidsLimit",
  "resolvConf",
]);

/** Go's zero value of anything but a truth value, and whatever is made of nothing else. */
function isZero(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).every(isZero);
  return value === undefined || value === null || value === "" || value === 0 || value === "0" || value === "0s";
}

/** What holds here in any case. */
const FIXED = kubeletConfiguration(DEFAULT_CONFIG);

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Taints are objects in the file and key=value:effect on the command line. */
function taintsOf(value: unknown): string[] {
  return (Array.isArray(value) ? value : []).map((taint: Record<string, unknown>) => {
    const { key, value: text = "", effect } = taint;
    return `${String(key)}${text === "" ? "" : `=${String(text)}`}:${String(effect)}`;
  });
}

function visit(
  prefix: string,
  fields: Record<string, unknown>,
  fixed: unknown,
  flags: Record<string, unknown>,
  unused: string[],
): void {
  for (const [name, value] of Object.entries(fields)) {
    const path = prefix + name;
    const flag = Object.hasOwn(FLAG_OF_FIELD, path) ? FLAG_OF_FIELD[path]! : undefined;
    if (isZero(value) && !ZERO_COUNTS.has(path)) continue;
    const usual = isMap(fixed) ? fixed[name] : undefined;
    if (flag !== undefined) flags[flag] = name === "registerWithTaints" ? taintsOf(value) : value;
    else if (isMap(value) && isMap(usual)) visit(`${path}.`, value, usual, flags, unused);
    else if (!deepEqual(value, usual)) unused.push(path);
  }
}

/**
 * A kubelet's configuration file (kubelet.config.k8s.io/v1beta1) as values of our flags, so that a machine can keep the one
 * it has; any other file is flags already. `warn` hears of fields that nothing here answers to. @throws UsageError
 */
export function fileAsFlags(
  file: Readonly<Record<string, unknown>>,
  warn: (text: string) => void,
): Readonly<Record<string, unknown>> {
  const { apiVersion, kind, ...fields } = file;
  if (apiVersion === undefined && kind === undefined) return file;
  if (apiVersion !== "kubelet.config.k8s.io/v1beta1" || kind !== "KubeletConfiguration") {
    throw new UsageError(
      `the configuration file is a ${String(kind)} of ${String(apiVersion)}; known are flag names as keys, and ` +
        "KubeletConfiguration of kubelet.config.k8s.io/v1beta1",
    );
  }
  const flags: Record<string, unknown> = {};
  const unused: string[] = [];
  visit("", fields, FIXED, flags, unused);
  if (unused.length > 0) warn(`the configuration file has fields without effect here: ${unused.join(", ")}`);
  return flags;
}
