import type { Runtime } from "../cri/runtime.ts";
import type { DockerRuntimeOptions } from "./docker-runtime.ts";

export type { DockerRuntimeOptions } from "./docker-runtime.ts";

/** The kubelet's Runtime on the Docker API; dockerode is used here and nowhere else. Its client is loaded only where it is used: it takes more memory than a hundred pods. */
export async function createDockerRuntime(options: DockerRuntimeOptions): Promise<Runtime> {
  const { DockerRuntime } = await import("./docker-runtime.ts");
  return new DockerRuntime(options);
}
