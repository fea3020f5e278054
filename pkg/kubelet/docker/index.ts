/**
 * The kubelet's Runtime on the Docker API: pause containers make sandboxes, CNI plugins their networks. dockerode is used in
 * this directory and nowhere else.
 */
import type { Runtime } from "../cri/runtime.ts";
import type { DockerRuntimeOptions } from "./docker-runtime.ts";

export type { DockerRuntimeOptions } from "./docker-runtime.ts";

/** Connects to a Docker daemon. The client is loaded only here: it takes more memory than a hundred pods. */
export async function createDockerRuntime(options: DockerRuntimeOptions): Promise<Runtime> {
  const { DockerRuntime } = await import("./docker-runtime.ts");
  return new DockerRuntime(options);
}
