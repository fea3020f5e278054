/** What the runtime says about one pod: its sandboxes and all containers it still remembers, newest first. */
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { RuntimeContainerStatus, SandboxStatus } from "../cri/runtime.ts";

/** A container as the runtime knows it. */
export interface ObservedContainer extends RuntimeContainerStatus {
  readonly sandboxId: string;
}

/** What the runtime has of a pod, the newest first. */
export interface ObservedPod {
  readonly uid: string;
  readonly sandboxes: readonly SandboxStatus[];
  readonly containers: readonly ObservedContainer[];
}

/** A pod that the runtime has nothing of. */
export function nothingObserved(uid: string): ObservedPod {
  return { uid, sandboxes: [], containers: [] };
}

/** The sandbox in use: the newest one, when it is ready. */
export function readySandbox(observed: ObservedPod): SandboxStatus | undefined {
  const newest = observed.sandboxes[0];
  return newest?.state === "Ready" ? newest : undefined;
}

/** The newest container of that name, in any sandbox or only in the one given. */
export function newestContainer(
  observed: ObservedPod,
  name: string,
  sandboxId?: string,
): ObservedContainer | undefined {
  return observed.containers.find(
    (c) => c.metadata.name === name && (sandboxId === undefined || c.sandboxId === sandboxId),
  );
}

/** The newest container of that name that has ended. */
export function newestEnded(observed: ObservedPod, name: string): ObservedContainer | undefined {
  return observed.containers.find((c) => c.metadata.name === name && c.state === "Exited");
}

/** Containers that run, or may. */
export function runningContainers(observed: ObservedPod): ObservedContainer[] {
  return observed.containers.filter(({ state }) => state === "Running" || state === "Unknown");
}

/** A pod as the runtime alone knows it: its names, and the images of what runs of it. */
export interface RunningPod {
  readonly metadata: Pick<Pod["metadata"], "name" | "namespace" | "uid">;
  readonly spec: { readonly containers: readonly { readonly name: string; readonly image: string }[] };
  readonly status: object;
}

/** None where the pod has no sandbox that runs. */
export function runningPod(observed: ObservedPod): RunningPod[] {
  const sandbox = readySandbox(observed);
  if (sandbox === undefined) return [];
  const { name, namespace, uid } = sandbox.metadata;
  const containers = runningContainers(observed).map(({ metadata, image, imageId }) => ({
    name: metadata.name,
    image: image === "" ? imageId : image,
  }));
  return [{ metadata: { name, namespace, uid }, spec: { containers }, status: {} }];
}

/** The kubelet's own counter, which each container carries, so that it outlives the kubelet. */
export function restartCountOf(container: ObservedContainer): number {
  const text = container.annotations["io.kubernetes.container.restartCount"];
  const count = Number(text ?? container.metadata.attempt);
  return Number.isSafeInteger(count) ? count : container.metadata.attempt;
}
