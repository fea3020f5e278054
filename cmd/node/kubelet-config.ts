import { type FlagValues, UsageError, parseDuration } from "#pkg/config/index.ts";
import { DNS_NODE_LABEL } from "#pkg/dns/index.ts";
import type { KubeletConfig } from "#pkg/kubelet/index.ts";
import type { nodeFlags } from "./flags.ts";
import { kubeletComplaints } from "./kubelet-validation.ts";

/** "key=value:Effect" or "key:Effect". */
function parseTaint(text: string): { key: string; value?: string; effect: string } {
  const match = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text);
  if (match === null) throw new UsageError(`--register-with-taints: ${text} is not key=value:effect`);
  return { key: match[1]!, effect: match[3]!, ...(match[2] === undefined ? {} : { value: match[2] }) };
}

function gracePeriods(entries: Readonly<Record<string, string>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(entries).map(([signal, text]) => {
      const milliseconds = parseDuration(text);
      if (milliseconds === undefined)
        throw new UsageError(`--eviction-soft-grace-period: ${text} is not a duration such as 1m30s`);
      return [signal, milliseconds / 1000];
    }),
  );
}

/** What the flags say to the kubelet. @throws UsageError */
export function kubeletConfig(flags: FlagValues<typeof nodeFlags>, nodeIP: string): Partial<KubeletConfig> {
  const complaints = kubeletComplaints(flags);
  if (complaints.length > 0) throw new UsageError(complaints.join("\n"));
  const evictionHard = flags["eviction-hard"];
  return {
    rootDirectory: flags["root-dir"],
    podLogsDir: flags["pod-logs-dir"],
    containerLogsDir: flags["container-logs-dir"],
    staticPodPath: flags["pod-manifest-path"],
    clusterDNS: flags["cluster-dns"],
    clusterDomain: flags["cluster-domain"],
    resolvConf: flags["resolv-conf"],
    nodeIP,
    hostname: flags["hostname-override"],
    nodeLabels: { [DNS_NODE_LABEL]: String(flags.dns), ...flags["node-labels"] },
    registerWithTaints: flags["register-with-taints"].map(parseTaint),
    registerNode: flags["register-node"],
    providerID: flags["provider-id"],
    maxPods: flags["max-pods"],
    podPidsLimit: flags["pod-max-pids"],
    address: flags.address,
    port: flags.port,
    healthzBindAddress: flags["healthz-address"],
    healthzPort: flags["healthz-port"],
    tlsCertFile: flags["tls-cert-file"],
    tlsPrivateKeyFile: flags["tls-private-key-file"],
    rotateServerCertificates: flags["rotate-server-certificates"],
    clientCAFile: flags["client-ca-file"],
    anonymousAuth: flags["kubelet-anonymous-auth"],
    authorizationMode: flags["kubelet-authorization-mode"] as KubeletConfig["authorizationMode"],
    nodeStatusUpdateFrequencySeconds: flags["node-status-update-frequency"] / 1000,
    nodeStatusReportFrequencySeconds: flags["node-status-report-frequency"] / 1000,
    nodeLeaseDurationSeconds: flags["node-lease-duration-seconds"],
    syncFrequencySeconds: flags["sync-frequency"] / 1000,
    fileCheckFrequencySeconds: flags["file-check-frequency"] / 1000,
    cgroupDriver: flags["cgroup-driver"] as KubeletConfig["cgroupDriver"],
    cgroupRoot: flags["cgroup-root"] === "/" ? "" : flags["cgroup-root"],
    cgroupsPerQOS: flags["cgroups-per-qos"],
    runtimeCgroups: flags["runtime-cgroups"],
    crashLoopMaxSeconds: flags["crash-loop-max-period"] / 1000,
    cpuCFSQuota: flags["cpu-cfs-quota"],
    singleProcessOOMKill: flags["single-process-oom-kill"],
    containerRuntimeEndpoint: flags["container-runtime-endpoint"],
    imageCredentialProviderConfig: flags["image-credential-provider-config"],
    imageCredentialProviderBinDir: flags["image-credential-provider-bin-dir"],
    systemReserved: flags["system-reserved"],
    kubeReserved: flags["kube-reserved"],
    ...(Object.keys(evictionHard).length === 0 ? {} : { evictionHard }),
    evictionSoft: flags["eviction-soft"],
    evictionSoftGracePeriodSeconds: gracePeriods(flags["eviction-soft-grace-period"]),
    evictionMinimumReclaim: flags["eviction-minimum-reclaim"],
    evictionMaxPodGracePeriodSeconds: flags["eviction-max-pod-grace-period"],
    evictionPressureTransitionSeconds: flags["eviction-pressure-transition-period"] / 1000,
    imageGCHighThresholdPercent: flags["image-gc-high-threshold"],
    imageGCLowThresholdPercent: flags["image-gc-low-threshold"],
    imageMinimumGCAgeSeconds: flags["minimum-image-ttl-duration"] / 1000,
    serializeImagePulls: flags["serialize-image-pulls"],
    maxParallelImagePulls: flags["max-parallel-image-pulls"],
    nodeStatusMaxImages: flags["node-status-max-images"],
    containerLogMaxSize: flags["container-log-max-size"],
    containerLogMaxFiles: flags["container-log-max-files"],
    allowedUnsafeSysctls: flags["allowed-unsafe-sysctls"],
    enableSystemLogHandler: flags["enable-system-log-handler"],
    seccompDefault: flags["seccomp-default"],
    failSwapOn: flags["fail-swap-on"],
    deadContainers: {
      maxPerContainer: flags["maximum-dead-containers-per-container"],
      maxOnNode: flags["maximum-dead-containers"],
      minAgeMs: flags["minimum-container-ttl-duration"],
    },
  };
}
