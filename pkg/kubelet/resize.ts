/**
 * In-place resize (KEP-1287): a pod's spec says what is wanted, the grant kept here says what the node has given.
 * A new want is granted when it fits beside the other pods, put off (Deferred) or refused (Infeasible) when not;
 * granted amounts are then written to cgroups and containers.
 */
import type { ContainerStatus, Pod, PodCondition, PodStatus, ResourceRequirements } from "#pkg/api/types/core-v1.ts";
import { deepEqual, parseQuantity, Quantity } from "#pkg/apimachinery/index.ts";
import { type Clock, errorMessage } from "#pkg/util/index.ts";
import type { CgroupManager } from "./cgroups/manager.ts";
import { podSums } from "./cgroups/resources.ts";
import type { LinuxResources, Runtime } from "./cri/runtime.ts";
import type { PodLifecycleEvents } from "./pleg.ts";
import { newestContainer } from "./pod/observed.ts";
import type { ObservedContainer, ObservedPod } from "./pod/observed.ts";
import { isSidecar } from "./pod/spec.ts";
import type { ContainerKind } from "./pod/spec.ts";
import type { Starter } from "./pod/starter.ts";
import type { ResourceKeeper, WorkerDeps } from "./pod/worker-deps.ts";
import { resizeMessage } from "./resize-message.ts";

type Grant = ReadonlyMap<string, ResourceRequirements>;
interface Entry {
  grant: Grant;
  podLevel: ResourceRequirements | undefined;
  pending: { reason: "Deferred" | "Infeasible"; message: string } | undefined;
  inProgress: boolean;
  error: string | undefined;
  /** What each running container was last told, by container id. */
  readonly applied: Map<string, LinuxResources>;
}

/** Only these two can change while a container runs. */
const RESIZABLE = ["cpu", "memory"] as const;

function resizable(pod: Pod) {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? []).filter(isSidecar)];
}

function wantsOf(pod: Pod): Grant {
  return new Map(
    [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map(({ name, resources }) => [name, resources ?? {}]),
  );
}

function sameResources(a: ResourceRequirements | undefined, b: ResourceRequirements | undefined): boolean {
  return (["requests", "limits"] as const).every((list) =>
    RESIZABLE.every((name) => {
      const x = a?.[list]?.[name];
      const y = b?.[list]?.[name];
      if (x === undefined || y === undefined) return x === y;
      return parseQuantity(x).cmp(parseQuantity(y)) === 0;
    }),
  );
}

function withGrant(pod: Pod, { grant, podLevel }: Pick<Entry, "grant" | "podLevel">): Pod {
  const apply = <T extends { name: string; resources?: ResourceRequirements }>(container: T): T => ({
    ...container,
    resources: grant.get(container.name) ?? container.resources,
  });
  return {
    ...pod,
    spec: {
      ...pod.spec,
      ...(podLevel === undefined ? {} : { resources: podLevel }),
      containers: pod.spec.containers.map(apply),
      ...(pod.spec.initContainers === undefined ? {} : { initContainers: pod.spec.initContainers.map(apply) }),
    },
  };
}

/** What resizing in place needs. */
export interface ResizerDeps {
  readonly runtime: Runtime;
  readonly cgroups: CgroupManager;
  readonly starter: Pick<Starter, "resources">;
  readonly pleg: PodLifecycleEvents;
  readonly clock: Clock;
  readonly event: WorkerDeps["event"];
  readonly activePods: () => readonly Pod[];
  readonly allocatable: () => Readonly<Record<string, string | number>>;
}

export class Resizer implements ResourceKeeper {
  readonly #deps: ResizerDeps;
  readonly #entries = new Map<string, Entry>();

  constructor(deps: ResizerDeps) {
    this.#deps = deps;
  }

  #entry(pod: Pod): Entry {
    const { uid } = pod.metadata;
    let entry = this.#entries.get(uid);
    if (entry === undefined) {
      // After a restart of the kubelet the status remembers what had been granted.
      const granted = new Map(wantsOf(pod));
      for (const status of [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])]) {
        const want = granted.get(status.name);
        if (want !== undefined && status.allocatedResources !== undefined && status.resources !== undefined) {
          granted.set(status.name, {
            ...want,
            requests: { ...want.requests, ...status.allocatedResources },
            ...(want.limits === undefined ? {} : { limits: { ...want.limits, ...status.resources.limits } }),
          });
        }
      }
      entry = {
        grant: granted,
        podLevel: pod.spec.resources,
        pending: undefined,
        inProgress: false,
        error: undefined,
        applied: new Map(),
      };
      this.#entries.set(uid, entry);
    }
    return entry;
  }

  allocated(pod: Pod): Pod {
    return withGrant(pod, this.#entry(pod));
  }

  forget(uid: string): void {
    this.#entries.delete(uid);
  }

  /** Pods whose resize waits for room: to be looked at again when another pod goes. */
  deferred(): string[] {
    return [...this.#entries].filter(([, { pending }]) => pending?.reason === "Deferred").map(([uid]) => uid);
  }

  conditions(pod: Pod): PodCondition[] {
    const entry = this.#entry(pod);
    return [
      ...(entry.pending === undefined ? [] : [{ type: "PodResizePending", status: "True", ...entry.pending }]),
      ...(entry.inProgress
        ? [
            {
              type: "PodResizeInProgress",
              status: "True",
              ...(entry.error === undefined ? {} : { reason: "Error", message: entry.error }),
            },
          ]
        : []),
    ];
  }

  async actuate(pod: Pod, observed: ObservedPod, signal: AbortSignal): Promise<ReadonlySet<string>> {
    const entry = this.#entry(pod);
    this.#decide(pod, entry);
    const granted = this.allocated(pod);
    const restart = new Set<string>();
    let changed = false;
    for (const container of resizable(granted)) {
      const running = newestContainer(observed, container.name);
      if (running?.state !== "Running") continue;
      const wanted = this.#deps.starter.resources(granted, container);
      const before = entry.applied.get(running.id) ?? (running.resources === undefined ? wanted : undefined);
      if (before === undefined ? actualMatches(running.resources, wanted) : sameLinux(before, wanted)) {
        entry.applied.set(running.id, wanted);
        continue;
      }
      const old = before ?? running.resources ?? wanted;
      const policy = new Map(
        (container.resizePolicy ?? []).map(({ resourceName, restartPolicy }) => [resourceName, restartPolicy]),
      );
      const cpuChanged = old.cpuShares !== wanted.cpuShares || (old.cpuQuota ?? 0) !== (wanted.cpuQuota ?? 0);
      const memoryChanged = (old.memoryLimitInBytes ?? 0) !== (wanted.memoryLimitInBytes ?? 0);
      if (
        (cpuChanged && policy.get("cpu") === "RestartContainer") ||
        (memoryChanged && policy.get("memory") === "RestartContainer")
      ) {
        restart.add(container.name);
        continue;
      }
      if (!changed) await this.#deps.cgroups.widenPod(granted);
      changed = true;
      entry.inProgress = true;
      await this.#applyContainer(granted, running, old, wanted, entry, signal);
    }
    if (changed) await this.#deps.cgroups.ensurePod(granted);
    const live = new Set(observed.containers.map(({ id }) => id));
    for (const id of entry.applied.keys()) if (!live.has(id)) entry.applied.delete(id);
    if (entry.inProgress && !changed && restart.size === 0 && entry.error === undefined) {
      entry.inProgress = false;
      this.#deps.event(pod, undefined, "Normal", "ResizeCompleted", resizeMessage("completed", granted));
    }
    return restart;
  }

  async #applyContainer(
    pod: Pod,
    running: ObservedContainer,
    old: LinuxResources,
    wanted: LinuxResources,
    entry: Entry,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, pleg } = this.#deps;
    const grows =
      (wanted.memoryLimitInBytes ?? 0) === 0 || (wanted.memoryLimitInBytes ?? 0) >= (old.memoryLimitInBytes ?? 0);
    try {
      if (!grows) await this.#assertFits(running, wanted.memoryLimitInBytes ?? 0, signal);
      await runtime.updateContainerResources(
        running.id,
        { ...wanted, ...((wanted.cpuQuota ?? 0) === 0 ? { cpuPeriod: 100_000, cpuQuota: -1 } : {}) },
        { signal },
      );
      entry.applied.set(running.id, wanted);
      entry.error = undefined;
      pleg.invalidate(running.id);
      await pleg.refresh(pod.metadata.uid, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      entry.error = errorMessage(error);
      this.#deps.event(pod, running.metadata.name, "Warning", "ResizeError", resizeMessage("error", pod, entry.error));
      throw error;
    }
  }

  /** A limit below what a container uses would have the kernel kill it: the resize waits until it uses less. */
  async #assertFits({ id, metadata }: ObservedContainer, limit: number, signal: AbortSignal): Promise<void> {
    const [stats] = await this.#deps.runtime.listContainerStats({ id }, { signal });
    const used = stats?.memory?.workingSetBytes ?? 0;
    if (used > limit) {
      const container = JSON.stringify(metadata.name);
      throw new Error(`attempting to set container ${container} memory limit (${limit}) below current usage (${used})`);
    }
  }

  /** Grants what is wanted when it fits; otherwise says why not. */
  #decide(pod: Pod, entry: Entry): void {
    const wants = wantsOf(pod);
    const same =
      [...wants].every(([name, want]) => sameResources(want, entry.grant.get(name))) &&
      sameResources(pod.spec.resources, entry.podLevel);
    if (same) {
      entry.pending = undefined;
      // Ephemeral containers and other fields follow the spec without asking.
      return;
    }
    const others = this.#deps
      .activePods()
      .filter(({ metadata }) => metadata.uid !== pod.metadata.uid)
      .map((other) => this.allocated(other));
    const own = podSums(pod);
    const limit = this.#deps.allocatable();
    const capacity = {
      cpu: parseQuantity(limit["cpu"] ?? 0).toNumber() * 1000,
      memory: parseQuantity(limit["memory"] ?? 0).toNumber(),
    };
    const used = { cpu: 0, memory: 0 };
    for (const other of others) {
      const sums = podSums(other);
      used.cpu += sums.milliCpuRequest;
      used.memory += sums.memoryRequest;
    }
    const before = entry.pending;
    if (own.milliCpuRequest > capacity.cpu || own.memoryRequest > capacity.memory) {
      const which = own.milliCpuRequest > capacity.cpu ? "cpu" : "memory";
      const [requested, has] =
        which === "cpu" ? [own.milliCpuRequest, capacity.cpu] : [own.memoryRequest, capacity.memory];
      entry.pending = {
        reason: "Infeasible",
        message: `Node didn't have enough capacity: ${which}, requested: ${requested}, capacity: ${has}`,
      };
    } else if (own.milliCpuRequest + used.cpu > capacity.cpu || own.memoryRequest + used.memory > capacity.memory) {
      const which = own.milliCpuRequest + used.cpu > capacity.cpu ? "cpu" : "memory";
      const [requested, inUse, has] =
        which === "cpu"
          ? [own.milliCpuRequest, used.cpu, capacity.cpu]
          : [own.memoryRequest, used.memory, capacity.memory];
      entry.pending = {
        reason: "Deferred",
        message: `Node didn't have enough resource: ${which}, requested: ${requested}, used: ${inUse}, capacity: ${has}`,
      };
    } else {
      entry.grant = wants;
      entry.podLevel = pod.spec.resources;
      entry.pending = undefined;
      entry.inProgress = true;
      entry.error = undefined;
      this.#deps.event(pod, undefined, "Normal", "ResizeStarted", resizeMessage("started", pod));
    }
    if (entry.pending !== undefined && before?.reason !== entry.pending.reason) {
      const { reason, message } = entry.pending;
      this.#deps.event(pod, undefined, "Warning", `Resize${reason}`, resizeMessage(reason, pod, message));
    }
  }

  decorate(
    pod: Pod,
    status: ContainerStatus,
    kind: ContainerKind,
    container: ObservedContainer | undefined,
  ): ContainerStatus {
    const spec = [
      ...pod.spec.containers,
      ...(pod.spec.initContainers ?? []),
      ...(pod.spec.ephemeralContainers ?? []),
    ].find(({ name }) => name === status.name);
    const result: ContainerStatus = { ...status };
    const mounts = spec?.volumeMounts ?? [];
    if (mounts.length > 0 && container !== undefined) {
      // What the runtime did counts: "IfPossible" shows as what became possible.
      const recursive = (path: string) =>
        container.mounts.some((m) => m.containerPath === path && m.recursiveReadOnly === true);
      result.volumeMounts = mounts.map(({ name, mountPath, readOnly }) => ({
        name,
        mountPath,
        ...(readOnly === true
          ? { readOnly: true, recursiveReadOnly: recursive(mountPath) ? "Enabled" : "Disabled" }
          : {}),
      }));
    }
    if (container?.user !== undefined) {
      const { uid, gid, supplementalGroups } = container.user;
      result.user = { linux: { uid, gid, supplementalGroups: [...supplementalGroups] } };
    }
    if (spec?.lifecycle?.stopSignal !== undefined) result.stopSignal = spec.lifecycle.stopSignal;
    if (kind === "ephemeral" || container === undefined) return result;
    const granted = spec?.resources ?? {};
    if (granted.requests !== undefined && Object.keys(granted.requests).length > 0)
      result.allocatedResources = granted.requests;
    result.resources = this.#reported(pod, granted, container);
    return result;
  }

  /** While a resize is on its way, the status shows what the container really has. */
  #reported(pod: Pod, granted: ResourceRequirements, container: ObservedContainer): ResourceRequirements {
    const entry = this.#entry(pod);
    const applied = entry.applied.get(container.id) ?? container.resources;
    const spec = resizable(pod).find(({ name }) => name === container.metadata.name);
    if (container.state !== "Running" || applied === undefined || spec === undefined) return granted;
    const wanted = this.#deps.starter.resources(pod, spec);
    if (actualMatches(applied, wanted)) return granted;
    const memory = applied.memoryLimitInBytes ?? 0;
    const quota = applied.cpuQuota ?? 0;
    const shares = applied.cpuShares ?? 0;
    return {
      ...granted,
      ...(granted.limits === undefined
        ? {}
        : {
            limits: {
              ...granted.limits,
              ...(granted.limits["memory"] !== undefined && memory > 0
                ? { memory: new Quantity(memory, 0, "BinarySI").toString() }
                : {}),
              ...(granted.limits["cpu"] !== undefined && quota > 0
                ? { cpu: `${Math.round((quota * 1000) / (applied.cpuPeriod || 100_000))}m` }
                : {}),
            },
          }),
      ...(granted.requests === undefined
        ? {}
        : {
            requests: {
              ...granted.requests,
              ...(granted.requests["cpu"] !== undefined && shares > 2
                ? { cpu: `${Math.ceil((shares * 1000) / 1024)}m` }
                : {}),
            },
          }),
    };
  }

  decoratePod(pod: Pod, status: PodStatus): PodStatus {
    const podLevel = pod.spec.resources;
    if (podLevel === undefined || deepEqual(podLevel, {})) return status;
    return {
      ...status,
      resources: podLevel,
      ...(podLevel.requests === undefined ? {} : { allocatedResources: podLevel.requests }),
    };
  }
}

function sameLinux(a: LinuxResources, b: LinuxResources): boolean {
  return (
    Math.max(a.cpuShares ?? 2, 2) === Math.max(b.cpuShares ?? 2, 2) &&
    Math.max(a.cpuQuota ?? 0, 0) === Math.max(b.cpuQuota ?? 0, 0) &&
    Math.max(a.memoryLimitInBytes ?? 0, 0) === Math.max(b.memoryLimitInBytes ?? 0, 0)
  );
}

/** Runtimes that report nothing cannot contradict. */
function actualMatches(actual: LinuxResources | undefined, wanted: LinuxResources): boolean {
  return actual === undefined || sameLinux(actual, wanted);
}
