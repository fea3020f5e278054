import type { DeadContainerPolicy } from "./pod/dead-containers.ts";

/** What the kubelet can be told: names and defaults are those of KubeletConfiguration (kubelet.config.k8s.io/v1beta1). */
export interface KubeletConfig {
  /** <root>/pods, plugins, pki … */
  readonly rootDirectory: string;
  readonly podLogsDir: string;
  readonly containerLogsDir: string;
  /** Manifests of static pods; "" for none. */
  readonly staticPodPath: string;
  readonly clusterDNS: readonly string[];
  readonly clusterDomain: string;
  readonly resolvConf: string;
  /** "" finds the address of the default route. Several, comma separated, for dual stack. */
  readonly nodeIP: string;
  readonly hostname: string;
  readonly nodeLabels: Readonly<Record<string, string>>;
  readonly registerWithTaints: readonly { key: string; value?: string; effect: string }[];
  readonly registerNode: boolean;
  readonly providerID: string;
  readonly maxPods: number;
  readonly podPidsLimit: number;
  /** Whether the server shows the node's log files. */
  readonly enableSystemLogHandler: boolean;
  readonly systemLogsDir: string;
  readonly address: string;
  readonly port: number;
  readonly healthzBindAddress: string;
  /** 0 switches the plain health port off. */
  readonly healthzPort: number;
  readonly tlsCertFile: string;
  readonly tlsPrivateKeyFile: string;
  /** Has the serving certificate signed by the cluster, and renews it. */
  readonly rotateServerCertificates: boolean;
  readonly clientCAFile: string;
  readonly anonymousAuth: boolean;
  readonly authorizationMode: "Webhook" | "AlwaysAllow";
  readonly nodeStatusUpdateFrequencySeconds: number;
  readonly nodeStatusReportFrequencySeconds: number;
  readonly nodeLeaseDurationSeconds: number;
  readonly syncFrequencySeconds: number;
  /** How long the runtime may not answer before the node is not ready: one that is restarted is no trouble. */
  readonly runtimeDownAfterSeconds: number;
  readonly fileCheckFrequencySeconds: number;
  readonly cgroupDriver: "cgroupfs" | "systemd";
  /** Parent of kubepods; "" is the root of the hierarchy. */
  readonly cgroupRoot: string;
  readonly cgroupsPerQOS: boolean;
  /** Where the runtime runs, for statistics; "" where that is not told. */
  readonly runtimeCgroups: string;
  readonly cpuCFSQuota: boolean;
  /** Where the kernel can kill all of a container that is out of memory, only one of its processes is. */
  readonly singleProcessOOMKill: boolean;
  readonly systemReserved: Readonly<Record<string, string>>;
  readonly kubeReserved: Readonly<Record<string, string>>;
  readonly evictionHard: Readonly<Record<string, string>>;
  readonly evictionSoft: Readonly<Record<string, string>>;
  readonly evictionSoftGracePeriodSeconds: Readonly<Record<string, number>>;
  readonly evictionMinimumReclaim: Readonly<Record<string, string>>;
  readonly evictionPressureTransitionSeconds: number;
  readonly evictionMaxPodGracePeriodSeconds: number;
  readonly imageGCHighThresholdPercent: number;
  readonly imageGCLowThresholdPercent: number;
  readonly imageMinimumGCAgeSeconds: number;
  readonly containerLogMaxSize: string;
  readonly containerLogMaxFiles: number;
  readonly serializeImagePulls: boolean;
  /** Where pulls are not serialized; zero: no limit. */
  readonly maxParallelImagePulls: number;
  readonly allowedUnsafeSysctls: readonly string[];
  readonly seccompDefault: boolean;
  readonly crashLoopMaxSeconds: number;
  readonly nodeStatusMaxImages: number;
  readonly containerRuntimeEndpoint: string;
  /** A CredentialProviderConfig, and where its programs lie; "" for none. */
  readonly imageCredentialProviderConfig: string;
  readonly imageCredentialProviderBinDir: string;
  /** Whether the kubelet refuses to start on a machine that swaps. */
  readonly failSwapOn: boolean;
  /** Flags of upstream's without a field in KubeletConfiguration. */
  readonly deadContainers: DeadContainerPolicy;
}

export const DEFAULT_CONFIG: KubeletConfig = Object.freeze({
  rootDirectory: "/var/lib/kubelet",
  podLogsDir: "/var/log/pods",
  containerLogsDir: "/var/log/containers",
  staticPodPath: "",
  clusterDNS: [],
  clusterDomain: "cluster.local",
  resolvConf: "/etc/resolv.conf",
  nodeIP: "",
  hostname: "",
  nodeLabels: {},
  registerWithTaints: [],
  registerNode: true,
  providerID: "",
  maxPods: 110,
  podPidsLimit: -1,
  enableSystemLogHandler: true,
  systemLogsDir: "/var/log",
  address: "0.0.0.0",
  port: 10250,
  healthzBindAddress: "127.0.0.1",
  healthzPort: 10248,
  tlsCertFile: "",
  tlsPrivateKeyFile: "",
  rotateServerCertificates: false,
  clientCAFile: "",
  anonymousAuth: false,
  authorizationMode: "Webhook",
  nodeStatusUpdateFrequencySeconds: 10,
  nodeStatusReportFrequencySeconds: 300,
  nodeLeaseDurationSeconds: 40,
  syncFrequencySeconds: 60,
  runtimeDownAfterSeconds: 30,
  fileCheckFrequencySeconds: 20,
  cgroupDriver: "cgroupfs",
  cgroupRoot: "",
  cgroupsPerQOS: true,
  runtimeCgroups: "",
  cpuCFSQuota: true,
  singleProcessOOMKill: false,
  systemReserved: {},
  kubeReserved: {},
  evictionHard: {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
  },
  evictionSoft: {},
  evictionSoftGracePeriodSeconds: {},
  evictionMinimumReclaim: {},
  evictionPressureTransitionSeconds: 300,
  evictionMaxPodGracePeriodSeconds: 0,
  imageGCHighThresholdPercent: 85,
  imageGCLowThresholdPercent: 80,
  imageMinimumGCAgeSeconds: 120,
  containerLogMaxSize: "10Mi",
  containerLogMaxFiles: 5,
  serializeImagePulls: true,
  maxParallelImagePulls: 0,
  allowedUnsafeSysctls: [],
  seccompDefault: false,
  crashLoopMaxSeconds: 300,
  nodeStatusMaxImages: 50,
  containerRuntimeEndpoint: "unix:///run/containerd/containerd.sock",
  imageCredentialProviderConfig: "",
  imageCredentialProviderBinDir: "",
  failSwapOn: true,
  deadContainers: { maxPerContainer: 1, maxOnNode: -1, minAgeMs: 0 },
});

/** How many images are pulled at a time. */
export function pullsAtOnce({
  serializeImagePulls,
  maxParallelImagePulls,
}: Pick<KubeletConfig, "serializeImagePulls" | "maxParallelImagePulls">): number {
  if (serializeImagePulls) return 1;
  return maxParallelImagePulls > 0 ? maxParallelImagePulls : Infinity;
}
