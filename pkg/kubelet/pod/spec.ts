/** Small pure questions about a pod's spec that several parts of the kubelet ask. */
import { createHash } from "node:crypto";
import { type QosClass, qosClassOf } from "#pkg/api/rules/index.ts";
import type { Container, EphemeralContainer, Pod } from "#pkg/api/types/core-v1.ts";

/** Which of a pod's lists a container stands in. */
export type ContainerKind = "init" | "regular" | "ephemeral";

/** A container of a pod's spec. */
export interface NamedContainer {
  readonly kind: ContainerKind;
  readonly spec: Container | EphemeralContainer;
}

/** All containers of the spec: init, regular, ephemeral. */
export function containersOf(pod: Pod): NamedContainer[] {
  return [
    ...(pod.spec.initContainers ?? []).map((spec) => ({ kind: "init" as const, spec })),
    ...pod.spec.containers.map((spec) => ({ kind: "regular" as const, spec })),
    ...(pod.spec.ephemeralContainers ?? []).map((spec) => ({ kind: "ephemeral" as const, spec })),
  ];
}

/** The container of this name, in whatever list it stands. */
export function findContainer(pod: Pod, name: string): NamedContainer | undefined {
  return containersOf(pod).find(({ spec }) => spec.name === name);
}

/** KEP-753: an init container with restartPolicy Always runs beside the regular ones. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === "Always";
}

/** Only a changed name or image makes the kubelet replace a running container. */
export function containerHash(container: Container | EphemeralContainer): string {
  return createHash("sha256")
    .update(JSON.stringify([container.name, container.image ?? ""]))
    .digest("hex")
    .slice(0, 8);
}

/** "name_namespace(uid)", as messages name pods. */
export function podFullName(pod: Pod): string {
  return `${pod.metadata.name}_${pod.metadata.namespace ?? ""}(${pod.metadata.uid})`;
}

function isStaticPod(pod: Pod): boolean {
  const source = pod.metadata.annotations?.["kubernetes.io/config.source"];
  return source !== undefined && source !== "api";
}

/** Does it stand for a static pod in the API? */
export function isMirrorPod(pod: Pod): boolean {
  return pod.metadata.annotations?.["kubernetes.io/config.mirror"] !== undefined;
}

/** Node-critical and cluster-critical pods are admitted and kept where others are not. */
export function isCriticalPod(pod: Pod): boolean {
  return isStaticPod(pod) || (pod.spec.priority ?? 0) >= 2_000_000_000;
}

/** The pod's class: the one that the API server has found, or, of a pod that it has not seen, the same rule's. */
export function qosClass(pod: Pod): QosClass {
  const { qosClass: known } = pod.status ?? {};
  return known === undefined || known === "" ? qosClassOf(pod) : (known as QosClass);
}

/** Seconds a pod has from SIGTERM to SIGKILL: the deletion's own period, else the spec's. */
export function terminationGraceSeconds(pod: Pod): number {
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
}

/** What the first of a container's rules that fits its exit code asks for: each of them lets it run again. */
export function matchingAction(container: Container | EphemeralContainer, code: number): string | undefined {
  return container.restartPolicyRules?.find(({ exitCodes }) => {
    const found = exitCodes?.values?.includes(code) === true;
    return exitCodes?.operator === "NotIn" ? !found : found;
  })?.action;
}

/** How a container has ended. */
export interface Ended {
  readonly exitCode: number;
}

/**
 * Whether a container that has ended is to run again. A container's own rules (KEP-5307) come first, then its own
 * policy, then the pod's. `ended` is undefined for a container whose end nobody saw.
 */
export function restartsAfter(
  pod: Pod,
  kind: ContainerKind,
  container: Container | EphemeralContainer,
  ended: Ended | undefined,
): boolean {
  if (kind === "ephemeral" || pod.metadata.deletionTimestamp !== undefined) return false;
  const code = ended?.exitCode ?? 137;
  if (matchingAction(container, code) !== undefined) return true;
  const policy = container.restartPolicy ?? pod.spec.restartPolicy ?? "Always";
  if (kind === "init" && container.restartPolicy !== "Always") return policy !== "Never" && code !== 0;
  if (policy === "Always") return true;
  return policy === "OnFailure" && code !== 0;
}
