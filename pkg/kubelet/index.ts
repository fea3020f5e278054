/**
 * The node agent: runs the pods that the API assigns to this node in a container runtime and reports on them.
 *
 * `createKubelet({ client, runtime, nodeName, clock, log, config })` → `{ run(signal) }`. The client authenticates as
 * system:node:<name>; the runtime is a `GrpcRuntime` (containerd, CRI-O) or another implementation of `Runtime`.
 * When `run` ends, containers go on; the next run takes them over without a restart.
 */
export { createKubelet, type Kubelet, type KubeletDeps } from "./kubelet.ts";
export { DEFAULT_CONFIG, type KubeletConfig } from "./config.ts";
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
