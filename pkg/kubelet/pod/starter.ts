/** Executes the steps of a plan against the runtime: sandboxes and containers. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Container, EphemeralContainer, Pod, Secret, Service } from "#pkg/api/types/core-v1.ts";
import type { RuntimeClass } from "#pkg/api/types/node-v1.ts";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { type Clock, type Logger, errorMessage } from "#pkg/util/index.ts";
import { containerResources } from "../cgroups/resources.ts";
import type { KubeletConfig } from "../config.ts";
import type { ImageSpec, LinuxResources, Runtime, SandboxConfig } from "../cri/runtime.ts";
import { ImageError } from "../images/puller.ts";
import type { ImagePuller, PulledImage } from "../images/puller.ts";
import type { Mounts } from "../mounts.ts";
import type { ReferencedObjects } from "../objects.ts";
import { Slots } from "../slots.ts";
import { readInside } from "../volumes/subpath.ts";
import { VolumeError } from "../volumes/volume.ts";
import type { MountedVolume } from "../volumes/volume.ts";
import { containerConfig, podLogDirectory, sandboxConfig } from "./configs.ts";
import type { DownwardContext } from "./downward.ts";
import { DownwardError } from "./downward.ts";
import { ContainerConfigError } from "./env-error.ts";
import { buildEnvironment } from "./env.ts";
import type { Lifecycle } from "./lifecycle.ts";
import { containerMounts } from "./mounts.ts";
import { hostsFile, podDns, sandboxHostname } from "./network.ts";
import type { DnsSettings, PodDns } from "./network.ts";
import { newestContainer, readySandbox } from "./observed.ts";
import type { ObservedPod } from "./observed.ts";
import type { Step } from "./plan.ts";
import { findContainer } from "./spec.ts";

const MAX_ENV_FILE_BYTES = 64 * 1024;
/**
 * A runtime that is asked for a hundred sandboxes at once makes all of them slowly, and no pod runs before nearly all do. With
 * some at a time the first pods run while others still wait, each has what it needs in the caches, and none is long without its
 * containers.
 */
const SANDBOXES_PER_CPU = 8;
/** Whose network takes longer than this does not keep others waiting. */
const PATIENCE_MS = 2_000;

/** A container that could not be started. `reason` is its waiting reason, `retryAt` when to try again at the earliest. */
export class StartError extends Error {
  readonly reason: string;
  readonly retryAt: number | undefined;
  constructor(reason: string, message: string, options?: { cause?: unknown; retryAt?: number }) {
    super(message, options);
    this.reason = reason;
    this.retryAt = options?.retryAt;
  }
}

/** What starters need to know of the node; the values may change while the kubelet runs. */
export interface NodeFacts {
  readonly hostIPs: () => readonly string[];
  readonly allocatable: () => Readonly<Record<string, string | number>>;
  readonly memoryBytes: number;
  readonly cpuCount: number;
  readonly minOomScoreAdj: number;
  readonly cgroupVersion: 1 | 2;
  /** Whether cgroups count what they have in swap, and can be kept from it. */
  readonly countsSwap: boolean;
  /** Whether the kernel labels processes and files by SELinux. */
  readonly selinux: boolean;
  readonly hostDns: () => DnsSettings;
  readonly hostHosts: () => string;
  readonly recursiveReadOnlySupported: () => boolean;
  readonly userNamespacesSupported: (runtimeHandler: string) => boolean;
}

/** What starting sandboxes and containers needs. */
export interface StarterDeps {
  readonly runtime: Runtime;
  readonly config: KubeletConfig;
  readonly objects: ReferencedObjects;
  readonly puller: ImagePuller;
  readonly lifecycle: Lifecycle;
  readonly mounts: Mounts;
  readonly clock: Clock;
  readonly log: Logger;
  readonly node: NodeFacts;
  readonly services: () => readonly Service[];
  readonly runtimeClass: (name: string) => RuntimeClass | undefined;
  /** Creates the pod's cgroup (idempotent) and names it as the runtime wants it. */
  readonly ensureCgroup: (pod: Pod) => Promise<string>;
  /** The name of a cgroup that is there already: a sandbox runs in it. */
  readonly cgroupParent: (pod: Pod) => string;
}

/** Records an event about a pod, or one of its containers. */
export type PodEvent = (
  containerName: string | undefined,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
) => void;

/** The pod that something is started for, and what is there of it. */
export interface StartContext {
  readonly pod: Pod;
  readonly observed: ObservedPod;
  readonly volumes: ReadonlyMap<string, MountedVolume>;
  readonly podDirectory: string;
  readonly event: PodEvent;
  readonly signal: AbortSignal;
}

export class Starter {
  readonly #deps: StarterDeps;
  readonly #sandboxes: Slots;
  #atWork = 0;
  constructor(deps: StarterDeps) {
    this.#deps = deps;
    this.#sandboxes = new Slots(SANDBOXES_PER_CPU * deps.node.cpuCount);
  }

  /** Is the runtime at work on a sandbox or container that somebody waits for? */
  get atWork(): boolean {
    return this.#atWork > 0;
  }
  async #working<T>(call: Promise<T>): Promise<T> {
    this.#atWork++;
    try {
      return await call;
    } finally {
      this.#atWork--;
    }
  }

  runtimeHandler(pod: Pod): string {
    const name = pod.spec.runtimeClassName;
    if (name === undefined || name === "") return "";
    const found = this.#deps.runtimeClass(name);
    if (found === undefined)
      throw new Error(`failed to get sandbox runtime: runtimeclass.node.k8s.io ${goQuote(name)} not found`);
    return found.handler;
  }

  #dns(pod: Pod): PodDns {
    const { config, node } = this.#deps;
    return podDns(pod, node.hostDns(), config.clusterDNS, config.clusterDomain);
  }

  #sandboxConfig(pod: Pod, attempt: number, cgroupParent: string): SandboxConfig {
    const { config } = this.#deps;
    return sandboxConfig({
      pod,
      attempt,
      hostname: sandboxHostname(pod, config.clusterDomain),
      dns: this.#dns(pod).settings,
      podLogsDir: config.podLogsDir,
      cgroupParent,
      seccompRoot: join(config.rootDirectory, "seccomp"),
      seccompDefault: config.seccompDefault,
    });
  }

  /** Resolves to the sandbox's id. */
  async createSandbox({ pod, event, signal }: StartContext, attempt: number): Promise<string> {
    const handler = this.runtimeHandler(pod);
    if (pod.spec.hostUsers === false && !this.#deps.node.userNamespacesSupported(handler)) {
      const which = handler === "" ? "runtime" : `RuntimeClass handler ${goQuote(handler)}`;
      throw new Error(`can't set \`spec.hostUsers: false\`, ${which} does not support user namespaces`);
    }
    const { clock, config, runtime } = this.#deps;
    const make = async () => {
      const sandbox = this.#sandboxConfig(pod, attempt, await this.#deps.ensureCgroup(pod));
      for (const problem of this.#dns(pod).omissions) event(undefined, "Warning", "DNSConfigForming", problem);
      await mkdir(podLogDirectory(config.podLogsDir, pod), { recursive: true, mode: 0o755 });
      return this.#working(runtime.runSandbox(sandbox, handler, { signal }));
    };
    return this.#sandboxes.turn(make, { clock, patienceMs: PATIENCE_MS, signal });
  }

  resources(pod: Pod, container: Container | EphemeralContainer): LinuxResources {
    const { node, config } = this.#deps;
    return containerResources(pod, container, {
      nodeMemoryBytes: node.memoryBytes,
      cpuCFSQuota: config.cpuCFSQuota,
      minOomScoreAdj: node.minOomScoreAdj,
      killsTogether: node.cgroupVersion === 2 && !config.singleProcessOOMKill,
      withoutSwap: node.cgroupVersion === 2 && node.countsSwap,
    });
  }

  downward(pod: Pod, podIPs: readonly string[]): DownwardContext {
    const { node } = this.#deps;
    const hostIPs = node.hostIPs();
    return {
      pod,
      podIPs: pod.spec.hostNetwork === true ? hostIPs : podIPs,
      hostIPs,
      nodeAllocatable: node.allocatable(),
    };
  }

  async #pullSecrets({ pod, event, signal }: StartContext): Promise<Secret[]> {
    const names = (pod.spec.imagePullSecrets ?? []).map(({ name }) => name ?? "");
    const found = await Promise.all(
      names.map((name) => this.#deps.objects.secret(pod.metadata.namespace ?? "", name, signal)),
    );
    const missing = names.filter((_, index) => found[index] === undefined).join(", ");
    if (missing !== "") {
      const message = `Unable to retrieve some image pull secrets (${missing}); attempting to pull the image may not succeed.`;
      event(undefined, "Warning", "FailedToRetrieveImagePullSecret", message);
    }
    return found.filter((secret) => secret !== undefined);
  }

  /** Brings the images that the container mounts to the node, by volume. */
  async #ensureVolumeImages(
    context: StartContext,
    container: Container | EphemeralContainer,
    sandbox: SandboxConfig,
  ): Promise<ReadonlyMap<string, ImageSpec>> {
    const images = new Map<string, ImageSpec>();
    for (const { name } of container.volumeMounts ?? []) {
      const volume = context.volumes.get(name);
      if (volume?.kind !== "image" || images.has(name)) continue;
      const wanted = { image: volume.reference, imagePullPolicy: volume.pullPolicy };
      const { spec, image } = await this.#ensureImage(context, wanted, sandbox);
      images.set(name, { ...spec, image: image.id });
    }
    return images;
  }

  /** Brings an image to the node for a pod: one of a container, or of an image volume when no name is given. */
  async #ensureImage(
    context: StartContext,
    container: Pick<Container, "image" | "imagePullPolicy"> & { name?: string },
    sandbox: SandboxConfig,
  ): Promise<PulledImage> {
    const { pod, signal } = context;
    return this.#deps.puller.ensure({
      pod,
      container,
      secrets: await this.#pullSecrets(context),
      sandbox,
      runtimeHandler: this.runtimeHandler(pod),
      event: (type, reason, message) => context.event(container.name, type, reason, message),
      signal,
    });
  }

  /** Pulls, creates, starts, runs postStart; resolves to the container's id. Rejects with StartError, events already recorded. */
  async startContainer(context: StartContext, step: Extract<Step, { type: "StartContainer" }>): Promise<string> {
    const { pod, observed, signal } = context;
    const { runtime, lifecycle } = this.#deps;
    const { spec } = findContainer(pod, step.name)!;
    const event = (type: "Normal" | "Warning", reason: string, message: string) =>
      context.event(spec.name, type, reason, message);
    let id = "";
    const fail = (reason: string, error: unknown, shown?: string): StartError => {
      const message = errorMessage(error);
      // With its id in it, every attempt would be an event of its own.
      const told = id === "" ? message : message.replaceAll(id, spec.name);
      if (!signal.aborted) event("Warning", "Failed", `Error: ${shown ?? told}`);
      return new StartError(reason, message, {
        cause: error,
        ...(error instanceof ImageError ? { retryAt: error.retryAt } : {}),
      });
    };
    const sandbox = readySandbox(observed)!;
    const sandboxSpec = this.#sandboxConfig(pod, sandbox.metadata.attempt, this.#deps.cgroupParent(pod));
    let image: PulledImage;
    let volumeImages: ReadonlyMap<string, ImageSpec>;
    try {
      volumeImages = await this.#ensureVolumeImages(context, spec, sandboxSpec);
      image = await this.#ensureImage(context, spec, sandboxSpec);
    } catch (error) {
      throw error instanceof ImageError ? fail(error.reason, error, error.reason) : fail("ErrImagePull", error);
    }
    let config;
    try {
      config = await this.#containerConfig(context, spec, step, sandbox.ips, image, volumeImages);
    } catch (error) {
      throw fail(isConfigError(error) ? "CreateContainerConfigError" : "CreateContainerError", error);
    }
    try {
      // One that was created and never started (we were interrupted) still holds the name of this attempt.
      const stale = newestContainer(observed, step.name);
      if (stale?.state === "Created") await runtime.removeContainer(stale.id, { signal });
      id = await this.#working(runtime.createContainer(sandbox.id, config, sandboxSpec, { signal }));
      event("Normal", "Created", "Container created");
    } catch (error) {
      throw fail("CreateContainerError", error);
    }
    try {
      await this.#working(runtime.startContainer(id, { signal }));
      event("Normal", "Started", "Container started");
    } catch (error) {
      throw fail("RunContainerError", error);
    }
    await this.#postStart(context, spec, id, sandbox.ips[0] ?? this.#deps.node.hostIPs()[0] ?? "", lifecycle);
    return id;
  }

  async #postStart(
    { signal, pod, event }: StartContext,
    spec: Container | EphemeralContainer,
    id: string,
    podIP: string,
    lifecycle: Lifecycle,
  ): Promise<void> {
    try {
      await lifecycle.postStart(pod, spec, id, podIP, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const message = errorMessage(error);
      event(spec.name, "Warning", "FailedPostStartHook", "PostStartHook failed");
      event(spec.name, "Normal", "Killing", "FailedPostStartHook");
      await this.#deps.runtime.stopContainer(id, pod.spec.terminationGracePeriodSeconds ?? 30, { signal });
      throw new StartError("PostStartHookError", message, { cause: error });
    }
  }

  async #containerConfig(
    context: StartContext,
    container: Container | EphemeralContainer,
    step: Extract<Step, { type: "StartContainer" }>,
    podIPs: readonly string[],
    image: PulledImage,
    images: ReadonlyMap<string, ImageSpec>,
  ) {
    const { pod, observed, volumes, podDirectory, signal } = context;
    const { config, node, objects, mounts, log } = this.#deps;
    const env = await buildEnvironment({
      container,
      context: this.downward(pod, podIPs),
      services: this.#deps.services(),
      objects,
      readVolumeFile: async (name, path) => {
        const volume = volumes.get(name);
        return volume?.kind === "path" ? readInside(volume.hostPath, path, MAX_ENV_FILE_BYTES) : undefined;
      },
      signal,
    });
    const hosts = hostsFile(pod, podIPs, config.clusterDomain, pod.spec.hostNetwork === true ? node.hostHosts() : "");
    const containerMountList = await containerMounts({
      pod,
      container,
      volumes,
      images,
      env,
      podDirectory,
      mounts,
      log,
      hosts,
      recursiveReadOnlySupported: node.recursiveReadOnlySupported(),
      selinux: node.selinux,
    });
    const target =
      "targetContainerName" in container && container.targetContainerName !== undefined
        ? newestContainer(observed, container.targetContainerName)
        : undefined;
    return containerConfig({
      pod,
      container,
      restartCount: step.restartCount,
      image: { ...image.spec, image: image.image.id },
      imageUser: image.image,
      env,
      mounts: containerMountList,
      resources: this.resources(pod, container),
      seccompRoot: join(config.rootDirectory, "seccomp"),
      seccompDefault: config.seccompDefault,
      ...(target === undefined ? {} : { targetId: target.id }),
      ...(step.restartedAfter === undefined ? {} : { restartedAfter: step.restartedAfter }),
    });
  }
}

function isConfigError(error: unknown): boolean {
  return error instanceof ContainerConfigError || error instanceof DownwardError || error instanceof VolumeError;
}
