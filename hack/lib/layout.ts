import { join } from "node:path";

/** Where everything that hack/up creates lives. One data directory moves all of it. */
export interface Layout {
  /** Store, containerd, registry: what is big. */
  readonly dataDir: string;
  readonly pkiDir: string;
  readonly confDir: string;
  readonly adminConf: string;
  readonly bootstrapConf: string;
  readonly kubeletConf: string;
  readonly proxyConf: string;
  readonly kubeletDir: string;
  readonly podLogsDir: string;
  readonly containerLogsDir: string;
  readonly runDir: string;
  readonly logDir: string;
  readonly containerdDir: string;
  readonly cniConfDir: string;
  readonly cniStateDir: string;
  readonly registryDir: string;
  readonly cacheDir: string;
}

export const DEFAULT_DATA_DIR = "/var/lib/kubits";

export function layoutOf(dataDir: string): Layout {
  const standard = dataDir === DEFAULT_DATA_DIR;
  const place = (usual: string, below: string) => (standard ? usual : join(dataDir, below));
  const confDir = place("/etc/kubernetes", "kubernetes");
  return {
    dataDir,
    confDir,
    pkiDir: join(confDir, "pki"),
    adminConf: join(confDir, "admin.conf"),
    bootstrapConf: join(confDir, "bootstrap-kubelet.conf"),
    kubeletConf: join(confDir, "kubelet.conf"),
    proxyConf: join(confDir, "kube-proxy.conf"),
    kubeletDir: place("/var/lib/kubelet", "kubelet"),
    podLogsDir: place("/var/log/pods", "log/pods"),
    containerLogsDir: place("/var/log/containers", "log/containers"),
    runDir: place("/run/kubits", "run"),
    logDir: place("/var/log/kubits", "log"),
    containerdDir: join(dataDir, "containerd"),
    cniConfDir: place("/etc/cni/net.d", "cni/net.d"),
    cniStateDir: join(dataDir, "cni-state"),
    registryDir: join(dataDir, "registry"),
    cacheDir: place("/var/cache/kubits", "cache"),
  };
}
