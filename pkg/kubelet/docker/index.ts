/** The kubelet's Runtime on the Docker API. dockerode is used here and nowhere else. */
export { DockerRuntime, type DockerRuntimeOptions } from "./docker-runtime.ts";
