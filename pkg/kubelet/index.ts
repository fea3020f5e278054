/**
 * The node agent: runs the pods that the API assigns to this node in a container runtime and reports on them.
 *
 * `createKubelet({ client, runtime, nodeName, clock, log, config })` → `{ run(signal) }`. The client authenticates as
 * system:node:<name>; the runtime is a `GrpcRuntime` (containerd, CRI-O) or another implementation of `Runtime`.
 * When `run` ends, containers go on; the next run takes them over without a restart.
 *
 * `kubelet.ts` starts everything, `parts.ts` joins it together. `pod/` is the heart: a worker per pod, its pure plan, the
 * steps, the status; `pleg.ts` tells the workers what the runtime holds, `status-manager.ts` tells the API. What a pod
 * needs: `images/`, `volumes/`, `objects.ts` (ConfigMaps and Secrets), `tokens.ts`, `cgroups/`, `resize.ts`, `probes/`, `logs/`.
 * What the node needs: `node/` (registration, status, lease), `certificates/`, `static/` (pods from files), `eviction/`,
 * `stats/`, `maintenance.ts`. `server/` answers on port 10250, with `streaming/` for exec, attach and port-forward.
 * The runtime's interface is `cri/runtime.ts`; `cri/` speaks gRPC, `docker/` the Docker API.
 */
export { createKubelet, type Kubelet, type KubeletDeps } from "./kubelet.ts";
export { DEFAULT_CONFIG, type KubeletConfig } from "./config.ts";
export { ConnectionMetrics } from "./connection-metrics.ts";
export { kubeletConfiguration } from "./server/configz.ts";
export { parseHierarchies } from "./cgroups/manager.ts";
export { CgroupTree } from "./cgroups/tree.ts";
export { GrpcRuntime } from "./cri/grpc-runtime.ts";
export { createDockerRuntime, type DockerRuntimeOptions } from "./docker/index.ts";
export type { ContainerConfig, Runtime, SandboxConfig } from "./cri/runtime.ts";
export { HostMounts } from "./mounts.ts";
export { resetNode, type ResetDeps } from "./reset.ts";
export {
  CertificateManager,
  type CertificateManagerDeps,
  type CertificatePurpose,
  clientPurpose,
  type IssuedCertificate,
} from "./certificates/manager.ts";
