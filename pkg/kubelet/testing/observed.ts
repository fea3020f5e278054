/** Shorthand for what a runtime might show, in tests of pure functions. */
import type { Container, Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import type { SandboxStatus } from "../cri/runtime.ts";
import type { ObservedContainer, ObservedPod } from "../pod/observed.ts";
import { containerHash } from "../pod/spec.ts";

export function container(name: string, more: Partial<Container> = {}): Container {
  return { name, image: "busybox:1.35", ...more };
}

export function pod(
  spec: Partial<PodSpec> & Pick<PodSpec, "containers">,
  status: Pod["status"] = {},
  metadata: Partial<Pod["metadata"]> = {},
): Pod {
  return {
    metadata: {
      name: "p",
      namespace: "ns",
      uid: "u",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      generation: 1,
      ...metadata,
    },
    spec,
    status,
  };
}

export function sandbox(id: string, more: Partial<SandboxStatus> = {}): SandboxStatus {
  return {
    id,
    metadata: { name: "p", namespace: "ns", uid: "u", attempt: 0 },
    state: "Ready",
    createdAt: 0,
    labels: {},
    annotations: {},
    runtimeHandler: "",
    ips: ["10.0.0.1"],
    ...more,
  };
}

export function ran(
  spec: Container,
  sandboxId: string,
  more: Partial<ObservedContainer> & { restartCount?: number } = {},
): ObservedContainer {
  const { restartCount = 0, ...rest } = more;
  return {
    id: `${spec.name}-${restartCount}`,
    sandboxId,
    metadata: { name: spec.name, attempt: restartCount },
    image: spec.image ?? "",
    imageRef: "sha256:1",
    imageId: "sha256:1",
    state: "Running",
    createdAt: 1000 + restartCount,
    startedAt: 1000 + restartCount,
    finishedAt: 0,
    exitCode: 0,
    reason: "",
    message: "",
    labels: {},
    annotations: {
      "io.kubernetes.container.hash": containerHash(spec),
      "io.kubernetes.container.restartCount": String(restartCount),
    },
    logPath: "",
    mounts: [],
    ...rest,
  };
}

export function exited(
  spec: Container,
  sandboxId: string,
  exitCode: number,
  more: Partial<ObservedContainer> & { restartCount?: number } = {},
): ObservedContainer {
  return ran(spec, sandboxId, { state: "Exited", exitCode, finishedAt: 2000, ...more });
}

export function observed(
  sandboxes: readonly SandboxStatus[],
  containers: readonly ObservedContainer[] = [],
): ObservedPod {
  return { uid: "u", sandboxes, containers };
}
