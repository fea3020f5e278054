/** Tuning values, named as upstream's flags and with its defaults (v1.36). Durations end in their unit. */
export interface ControllerOptions {
  readonly nodeMonitorPeriodMs: number;
  readonly nodeMonitorGracePeriodMs: number;
  readonly nodeStartupGracePeriodMs: number;
  /** Nodes per second that may be tainted NoExecute in a healthy zone. */
  readonly nodeEvictionRate: number;
  /** The same in a zone that is partly disrupted, when the zone is larger than largeClusterSizeThreshold. */
  readonly secondaryNodeEvictionRate: number;
  readonly largeClusterSizeThreshold: number;
  readonly unhealthyZoneThreshold: number;
  readonly terminatedPodGcThreshold: number;
  /** Pod networks, one per IP family at most; empty switches node IPAM off. */
  readonly clusterCidrs: readonly string[];
  /** Service networks, which pod networks must avoid. */
  readonly serviceCidrs: readonly string[];
  readonly nodeCidrMaskSizeIpv4: number;
  readonly nodeCidrMaskSizeIpv6: number;
  /** PEM published as kube-root-ca.crt in every namespace; "" switches the publisher off. */
  readonly rootCa: string;
  /** CA that the signing controller signs with, PEM; absent: no signing. */
  readonly signingCa?: { readonly cert: string; readonly key: string };
  readonly clusterSigningDurationMs: number;
  /** Private key (PEM) that signs the tokens of legacy service account token secrets; "": no token controller. */
  readonly serviceAccountPrivateKey: string;
  readonly legacyServiceAccountTokenCleanUpPeriodMs: number;
  readonly maxEndpointsPerSlice: number;
  /** Directory on nodes under which the local-path provisioner makes volumes. */
  readonly localPathRoot: string;
  /** Image with an `rm` that removes their directories. */
  readonly localPathHelperImage: string;
  readonly resourceQuotaSyncPeriodMs: number;
  readonly horizontalPodAutoscalerSyncPeriodMs: number;
  readonly horizontalPodAutoscalerDownscaleStabilizationWindowMs: number;
  readonly horizontalPodAutoscalerTolerance: number;
  readonly horizontalPodAutoscalerCpuInitializationPeriodMs: number;
  readonly horizontalPodAutoscalerInitialReadinessDelayMs: number;
}

export const DEFAULT_OPTIONS: ControllerOptions = Object.freeze({
  nodeMonitorPeriodMs: 5_000,
  nodeMonitorGracePeriodMs: 50_000,
  nodeStartupGracePeriodMs: 60_000,
  nodeEvictionRate: 0.1,
  secondaryNodeEvictionRate: 0.01,
  largeClusterSizeThreshold: 50,
  unhealthyZoneThreshold: 0.55,
  terminatedPodGcThreshold: 12_500,
  clusterCidrs: [],
  serviceCidrs: [],
  nodeCidrMaskSizeIpv4: 24,
  nodeCidrMaskSizeIpv6: 64,
  rootCa: "",
  serviceAccountPrivateKey: "",
  clusterSigningDurationMs: 365 * 24 * 3600 * 1000,
  legacyServiceAccountTokenCleanUpPeriodMs: 8760 * 3600 * 1000,
  maxEndpointsPerSlice: 100,
  localPathRoot: "/var/lib/kubits/local-path",
  localPathHelperImage: "busybox",
  resourceQuotaSyncPeriodMs: 300_000,
  horizontalPodAutoscalerSyncPeriodMs: 15_000,
  horizontalPodAutoscalerDownscaleStabilizationWindowMs: 300_000,
  horizontalPodAutoscalerTolerance: 0.1,
  horizontalPodAutoscalerCpuInitializationPeriodMs: 300_000,
  horizontalPodAutoscalerInitialReadinessDelayMs: 30_000,
});
