/** /configz: the kubelet's configuration under the names of kubelet.config.k8s.io/v1beta1. Pure. */
import type { KubeletConfig } from "../config.ts";

/** As Go prints durations: 1m0s, 20s, 4h0m0s. */
export function goDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const rest = `${Math.round((seconds - hours * 3600 - minutes * 60) * 1000) / 1000}s`;
  if (hours > 0) return `${hours}h${minutes}m${rest}`;
  return minutes > 0 ? `${minutes}m${rest}` : rest;
}

/** What can be set here, and of the rest what holds here in any case. */
export function kubeletConfiguration(config: KubeletConfig): Record<string, unknown> {
  const soft = Object.entries(config.evictionSoftGracePeriodSeconds);
  return {
    enableServer: true,
    ...(config.staticPodPath === "" ? {} : { staticPodPath: config.staticPodPath }),
    podLogsDir: config.podLogsDir,
    syncFrequency: goDuration(config.syncFrequencySeconds),
    fileCheckFrequency: goDuration(config.fileCheckFrequencySeconds),
    address: config.address,
    port: config.port,
    ...(config.tlsCertFile === "" ? {} : { tlsCertFile: config.tlsCertFile }),
    ...(config.tlsPrivateKeyFile === "" ? {} : { tlsPrivateKeyFile: config.tlsPrivateKeyFile }),
    rotateCertificates: true,
    serverTLSBootstrap: config.rotateServerCertificates,
    authentication: {
      x509: config.clientCAFile === "" ? {} : { clientCAFile: config.clientCAFile },
      webhook: { enabled: true, cacheTTL: "2m0s" },
      anonymous: { enabled: config.anonymousAuth },
    },
    authorization: {
      mode: config.authorizationMode,
      webhook: { cacheAuthorizedTTL: "5m0s", cacheUnauthorizedTTL: "30s" },
    },
    imagePullCredentialsVerificationPolicy: "NeverVerifyPreloadedImages",
    enableDebuggingHandlers: true,
    healthzPort: config.healthzPort,
    healthzBindAddress: config.healthzBindAddress,
    clusterDomain: config.clusterDomain,
    clusterDNS: [...config.clusterDNS],
    nodeStatusUpdateFrequency: goDuration(config.nodeStatusUpdateFrequencySeconds),
    nodeStatusReportFrequency: goDuration(config.nodeStatusReportFrequencySeconds),
    nodeLeaseDurationSeconds: config.nodeLeaseDurationSeconds,
    imageMinimumGCAge: goDuration(config.imageMinimumGCAgeSeconds),
    imageMaximumGCAge: "0s",
    imageGCHighThresholdPercent: config.imageGCHighThresholdPercent,
    imageGCLowThresholdPercent: config.imageGCLowThresholdPercent,
    volumeStatsAggPeriod: "1m0s",
    ...(config.cgroupRoot === "" ? {} : { cgroupRoot: config.cgroupRoot }),
    cgroupsPerQOS: config.cgroupsPerQOS,
    cgroupDriver: config.cgroupDriver,
    cpuManagerPolicy: "none",
    memoryManagerPolicy: "None",
    topologyManagerPolicy: "none",
    topologyManagerScope: "container",
    maxPods: config.maxPods,
    podPidsLimit: config.podPidsLimit,
    resolvConf: config.resolvConf,
    cpuCFSQuota: config.cpuCFSQuota,
    cpuCFSQuotaPeriod: "100ms",
    nodeStatusMaxImages: config.nodeStatusMaxImages,
    serializeImagePulls: config.serializeImagePulls,
    maxParallelImagePulls: config.serializeImagePulls ? 1 : config.maxParallelImagePulls,
    evictionHard: { ...config.evictionHard },
    evictionSoft: { ...config.evictionSoft },
    evictionSoftGracePeriod: Object.fromEntries(soft.map(([signal, seconds]) => [signal, goDuration(seconds)])),
    evictionPressureTransitionPeriod: goDuration(config.evictionPressureTransitionSeconds),
    evictionMaxPodGracePeriod: config.evictionMaxPodGracePeriodSeconds,
    evictionMinimumReclaim: { ...config.evictionMinimumReclaim },
    failSwapOn: config.failSwapOn,
    crashLoopBackOff: { maxContainerRestartPeriod: goDuration(config.crashLoopMaxSeconds) },
    containerLogMaxSize: config.containerLogMaxSize,
    containerLogMaxFiles: config.containerLogMaxFiles,
    configMapAndSecretChangeDetectionStrategy: "Watch",
    systemReserved: { ...config.systemReserved },
    kubeReserved: { ...config.kubeReserved },
    enforceNodeAllocatable: ["pods"],
    allowedUnsafeSysctls: [...config.allowedUnsafeSysctls],
    seccompDefault: config.seccompDefault,
    registerNode: config.registerNode,
    registerWithTaints: config.registerWithTaints.map((taint) => ({ ...taint })),
    ...(config.providerID === "" ? {} : { providerID: config.providerID }),
    localStorageCapacityIsolation: true,
    containerRuntimeEndpoint: config.containerRuntimeEndpoint,
    failCgroupV1: false,
  };
}
