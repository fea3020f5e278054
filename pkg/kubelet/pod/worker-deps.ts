/** What a pod's worker and its parts need of the rest of the kubelet. */
import type { ContainerStatus, Pod, PodCondition, PodStatus } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { Stragglers } from "../cgroups/manager.ts";
import type { KubeletConfig } from "../config.ts";
import type { Runtime } from "../cri/runtime.ts";
import type { ImagePuller } from "../images/puller.ts";
import type { KubeletMetrics } from "../metrics.ts";
import type { ReferencedObjects } from "../objects.ts";
import type { PodLifecycleEvents } from "../pleg.ts";
import type { ProbeManager } from "../probes/manager.ts";
import type { StatusManager } from "../status-manager.ts";
import type { VolumeManager } from "../volumes/manager.ts";
import type { VolumeContext } from "../volumes/volume.ts";
import type { BackoffTable } from "./backoff.ts";
import type { Lifecycle } from "./lifecycle.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import type { ContainerKind } from "./spec.ts";
import type { NodeFacts, Starter } from "./starter.ts";

/** Why the kubelet ends a pod of its own accord. */
export interface Verdict {
  readonly reason: string;
  readonly message: string;
  readonly graceSeconds?: number;
  /** Says that the pod was disrupted rather than failed. */
  readonly condition?: PodCondition;
}

/** The condition of a pod that is ended for the node's sake, not for what it did itself (KEP-3329). */
export function endedByKubelet(message: string): PodCondition {
  return { type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet", message };
}

/** How resources of a pod are kept in step with its spec; see resize. */
export interface ResourceKeeper {
  /** The pod as admitted: its spec with the resources that were granted. */
  allocated(pod: Pod): Pod;
  /** Brings running containers to the granted resources. Resolves to names that must restart for it. */
  actuate(pod: Pod, observed: ObservedPod, signal: AbortSignal): Promise<ReadonlySet<string>>;
  conditions(pod: Pod): PodCondition[];
  decorate(
    pod: Pod,
    status: ContainerStatus,
    kind: ContainerKind,
    container: ObservedContainer | undefined,
  ): ContainerStatus;
  decoratePod(pod: Pod, status: PodStatus): PodStatus;
  deferred(): string[];
  forget(uid: string): void;
}

/** Records an event about one pod, or about one container of it. */
export type PodEventFunction = (
  containerName: string | undefined,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
) => void;

/** What a pod's worker uses of the node. */
export interface WorkerDeps {
  readonly client: Client;
  readonly runtime: Runtime;
  readonly metrics: KubeletMetrics;
  readonly runtimeName: () => string;
  readonly config: KubeletConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly pleg: PodLifecycleEvents;
  readonly status: StatusManager;
  readonly probes: ProbeManager;
  readonly volumes: VolumeManager;
  readonly volumeContext: (pod: Pod, podIPs: readonly string[], signal: AbortSignal) => VolumeContext;
  readonly objects: ReferencedObjects;
  readonly puller: ImagePuller;
  readonly lifecycle: Lifecycle;
  readonly starter: Starter;
  readonly resources: ResourceKeeper;
  readonly node: NodeFacts;
  readonly crashBackoff: BackoffTable;
  readonly networkReady: () => string | undefined;
  /** Resolves to false when a process of the pod is still on its way out. */
  readonly removeCgroup: (pod: Pod, stragglers: Stragglers) => Promise<boolean>;
  /** Of a pod of which nothing but its uid is known. */
  readonly removeOrphanedCgroup: (uid: string) => Promise<void>;
  readonly event: (
    pod: Pod,
    containerName: string | undefined,
    type: "Normal" | "Warning",
    reason: string,
    message: string,
  ) => void;
  /** The mirror pod that stands for a static pod in the API, if any. */
  readonly apiPod: (pod: Pod) => Pod | undefined;
}
