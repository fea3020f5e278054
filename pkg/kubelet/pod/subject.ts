/** One pod as the parts of its worker share it: the newest object seen, what follows from it, and when to try again. */
import type { Container, Pod } from "#pkg/api/types/core-v1.ts";
import type { Logger } from "#pkg/util/index.ts";
import { readySandbox } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { findContainer } from "./spec.ts";
import type { StartFailure } from "./status.ts";
import type { PodEventFunction, WorkerDeps } from "./worker-deps.ts";

const RETRY_MIN_MS = 500;
const RETRY_MAX_MS = 10_000;

export class PodSubject {
  readonly uid: string;
  readonly deps: WorkerDeps;
  readonly log: Logger;
  /** Why containers could not be started lately, by name. */
  readonly failures = new Map<string, StartFailure>();
  pod: Pod;
  /** The API (or the manifest directory) has dropped the pod. */
  removed = false;
  #retryMs = RETRY_MIN_MS;

  constructor(deps: WorkerDeps, pod: Pod) {
    const { name, namespace, uid } = pod.metadata;
    this.deps = deps;
    this.pod = pod;
    this.uid = uid;
    this.log = deps.log.child({ pod: name, namespace, podUid: uid });
  }

  readonly event: PodEventFunction = (container, type, reason, message) =>
    this.deps.event(this.pod, container, type, reason, message);

  /** When to try again after a failure: a little later each time until something goes well. */
  retryAt(): number {
    const at = this.deps.clock.now() + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    return at;
  }
  wentWell(): void {
    this.#retryMs = RETRY_MIN_MS;
  }

  podIPs(observed: ObservedPod): readonly string[] {
    if (this.pod.spec.hostNetwork === true) return this.deps.node.hostIPs();
    const ips = (readySandbox(observed) ?? observed.sandboxes[0])?.ips ?? [];
    return ips.length > 0 ? ips : (this.pod.status?.podIPs ?? []).map(({ ip }) => ip);
  }
  podIP(observed: ObservedPod): string {
    return this.podIPs(observed)[0] ?? "";
  }
  spec(container: ObservedContainer): Container | undefined {
    return findContainer(this.pod, container.metadata.name)?.spec;
  }
}

/** The earlier of two times, where either may be absent. */
export function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.min(a, b);
}
