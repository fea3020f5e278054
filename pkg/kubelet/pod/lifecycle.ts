/** Lifecycle hooks, and stopping containers and whole pods in order and in time. */
import type { Container, EphemeralContainer, LifecycleHandler, Pod } from "#pkg/api/types/core-v1.ts";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { errorMessage, sleep } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Runtime } from "../cri/runtime.ts";
import { checkHttp } from "../probes/net.ts";
import { resolvePort } from "../probes/prober.ts";
import { ANNOTATIONS } from "./annotations.ts";
import { runningContainers } from "./observed.ts";
import type { ObservedContainer, ObservedPod } from "./observed.ts";
import { findContainer, isSidecar, podFullName } from "./spec.ts";

/** However little time is left, a process gets this long between SIGTERM and SIGKILL. */
const MINIMUM_GRACE_SECONDS = 2;
/** A hook without a deadline of its own must still end. */
const POST_START_TIMEOUT_SECONDS = 600;
/** What is kept of a failed hook's output. */
const MAX_HOOK_OUTPUT = 2048;

/** Records an event about a container. */
export type ContainerEventFunction = (
  containerName: string,
  type: "Normal" | "Warning",
  reason: string,
  message: string,
) => void;

class HookError extends Error {
  /** What the hook's command wrote. */
  readonly output: string;
  constructor(message: string, output = "") {
    super(message);
    this.output = output;
  }
}

/** How a failed hook is told of in its container's status. */
function hookFailure(pod: Pod, { name }: { name: string }, hook: LifecycleHandler, error: unknown): string {
  const why = errorMessage(error);
  const where = `for Container ${goQuote(name)} in Pod ${goQuote(podFullName(pod))} failed - error: ${why}`;
  if (hook.httpGet !== undefined) return `HTTP lifecycle hook (${hook.httpGet.path ?? ""}) ${where}`;
  if (hook.sleep !== undefined) return `Sleep lifecycle hook (${hook.sleep.seconds}) ${where}`;
  const output = error instanceof HookError ? error.output : "";
  return `Exec lifecycle hook ([${(hook.exec?.command ?? []).join(" ")}]) ${where}, message: ${goQuote(output)}`;
}

/** What hooks need. */
export interface LifecycleDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Runs the hooks of containers, and stops containers with the time they have for it. */
export class Lifecycle {
  readonly #deps: LifecycleDeps;
  constructor(deps: LifecycleDeps) {
    this.#deps = deps;
  }

  /** Runs a hook. Rejects with HookError when it fails; `timeoutSeconds` bounds it. */
  async runHook(
    hook: LifecycleHandler,
    container: Container | EphemeralContainer,
    containerId: string,
    podIP: string,
    timeoutSeconds: number,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, clock } = this.#deps;
    if (hook.exec !== undefined) {
      // Unlike a probe's, its words are nothing but words: "$$" is for the shell.
      const { command = [] } = hook.exec;
      const { exitCode, stdout, stderr } = await runtime.execSync(containerId, command, timeoutSeconds, { signal });
      if (exitCode === 0) return;
      const shown = (...parts: Uint8Array[]) => Buffer.concat(parts).toString("utf8").slice(0, MAX_HOOK_OUTPUT);
      const why = `command '${command.join(" ")}' exited with ${exitCode}: ${shown(stderr)}`;
      throw new HookError(why, shown(stdout, stderr));
    }
    if (hook.httpGet !== undefined) {
      const { host, port, path = "/", scheme = "HTTP", httpHeaders = [] } = hook.httpGet;
      const number = port === "" ? 80 : resolvePort(port, container);
      const check = {
        host: host === undefined || host === "" ? podIP : host,
        port: number,
        path,
        headers: httpHeaders,
        userAgent: "kube-lifecycle/1.36",
        timeoutMs: timeoutSeconds * 1000,
      };
      let verdict = await checkHttp({ ...check, scheme: scheme as "HTTP" | "HTTPS" }, signal);
      // KEP: an HTTPS hook against a server that only speaks HTTP is tried again in the clear.
      if (scheme === "HTTPS" && /wrong version number|packet length too long/.test(verdict.output))
        verdict = await checkHttp({ ...check, scheme: "HTTP" }, signal);
      if (verdict.result === "Failure") throw new HookError(verdict.output);
      return;
    }
    if (hook.sleep !== undefined) await sleep(clock, Math.min(hook.sleep.seconds, timeoutSeconds) * 1000, signal);
  }

  /** Rejects with what the container's status says of a hook that failed. */
  async postStart(
    pod: Pod,
    container: Container | EphemeralContainer,
    containerId: string,
    podIP: string,
    signal: AbortSignal,
  ): Promise<void> {
    const hook = container.lifecycle?.postStart;
    if (hook === undefined) return;
    try {
      await this.runHook(hook, container, containerId, podIP, POST_START_TIMEOUT_SECONDS, signal);
    } catch (cause) {
      if (signal.aborted) throw cause;
      throw new Error(hookFailure(pod, container, hook, cause), { cause });
    }
  }

  /**
   * preStop, then SIGTERM, then after the rest of the grace period SIGKILL. Resolves when the container has ended.
   * `pod` may be undefined for a container whose pod is unknown here.
   */
  async stopContainer(
    pod: Pod | undefined,
    container: ObservedContainer,
    graceSeconds: number,
    podIP: string,
    event: ContainerEventFunction,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, clock, log } = this.#deps;
    const { name } = container.metadata;
    const spec = pod === undefined ? undefined : findContainer(pod, name)?.spec;
    const preStop = spec?.lifecycle?.preStop ?? storedPreStop(container);
    let remaining = graceSeconds;
    if (preStop !== undefined && graceSeconds > 0 && container.state === "Running") {
      const startedAt = clock.monotonic();
      try {
        const withinGrace = AbortSignal.any([signal]);
        await this.#bounded(graceSeconds, withinGrace, (bounded) =>
          this.runHook(preStop, spec ?? { name }, container.id, podIP, graceSeconds, bounded),
        );
      } catch (err) {
        if (signal.aborted) throw err;
        log.info({ err, container: name }, "preStop hook failed");
        event(name, "Warning", "FailedPreStopHook", `PreStopHook failed`);
      }
      remaining -= Math.floor((clock.monotonic() - startedAt) / 1000);
    }
    if (graceSeconds > 0) remaining = Math.max(remaining, MINIMUM_GRACE_SECONDS);
    await runtime.stopContainer(container.id, Math.max(remaining, 0), { signal });
  }

  async #bounded(seconds: number, signal: AbortSignal, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    const cancel = this.#deps.clock.schedule(seconds * 1000, () =>
      abort.abort(new HookError("the grace period ended before the hook")),
    );
    try {
      await work(AbortSignal.any([signal, abort.signal]));
    } finally {
      cancel();
    }
  }

  /** Stops everything that runs in the pod: regular containers first, then sidecars in reverse order, then sandboxes. */
  async stopPod(
    pod: Pod | undefined,
    observed: ObservedPod,
    graceSeconds: number,
    podIP: string,
    event: ContainerEventFunction,
    signal: AbortSignal,
  ): Promise<void> {
    const { runtime, clock } = this.#deps;
    const sidecars = (pod?.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
    const running = runningContainers(observed);
    const startedAt = clock.monotonic();
    const left = () => Math.max(0, graceSeconds - Math.floor((clock.monotonic() - startedAt) / 1000));
    const stop = async (container: ObservedContainer, seconds: number) => {
      event(container.metadata.name, "Normal", "Killing", `Stopping container ${container.metadata.name}`);
      await this.stopContainer(pod, container, seconds, podIP, event, signal);
    };
    // All stops run to their end before the first failure is reported: one stuck container must not keep the others.
    const settle = async (stops: Promise<void>[]) => {
      const failed = (await Promise.allSettled(stops)).find((result) => result.status === "rejected");
      if (failed !== undefined) throw failed.reason;
    };
    await settle(
      running
        .filter(({ metadata }) => !sidecars.includes(metadata.name))
        .map((container) => stop(container, graceSeconds)),
    );
    for (const name of sidecars.reverse()) {
      await settle(
        running.filter(({ metadata }) => metadata.name === name).map((container) => stop(container, left())),
      );
    }
    await settle(observed.sandboxes.map(({ id }) => runtime.stopSandbox(id, { signal })));
  }
}

/** The hook as the container was created with: the pod's spec may be gone. */
function storedPreStop(container: ObservedContainer): LifecycleHandler | undefined {
  const text = container.annotations[ANNOTATIONS.preStopHandler];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as LifecycleHandler;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // written by another agent in a form of its own
    throw error;
  }
}
