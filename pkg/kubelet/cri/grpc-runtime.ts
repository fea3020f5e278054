import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { RealClock } from "#pkg/util/index.ts";
import {
  driverOfContainerd,
  fromContainer,
  fromContainerStatus,
  fromFilesystem,
  fromImage,
  fromSandbox,
  fromSandboxStatus,
  fromStats,
  toContainerConfig,
  toImageSpec,
  toResources,
  toSandboxConfig,
} from "./convert.ts";
import * as containerd from "./generated/containerd-events_pb.ts";
import * as pb from "./generated/cri_pb.ts";
import { assertExecutable, isRuntimeError, RuntimeError } from "./runtime.ts";
import type { CallOptions, ContainerEvent, ListFilter, Runtime, RuntimeErrorCode } from "./runtime.ts";

const WALL_CLOCK = new RealClock();
/** Upstream's runtimeRequestTimeout. */
const DEFAULT_TIMEOUT_MS = 120_000;
/** An image pull is bounded by its own progress inside the runtime; this only ends a forgotten call. */
const PULL_TIMEOUT_MS = 3_600_000;
/**
 * How long a call that makes or starts something may go on when nobody wants its result any more. Told to stop in the middle of
 * it, containerd forgets what it has made by then: processes, shims and cgroups stay behind that it does not know.
 */
const LINGER_MS = 10_000;
/** Nodes with many images and pods answer lists far above grpc's default of 4 MiB. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
const POD_UID_LABEL = "io.kubernetes.pod.uid";
/** The oldest CRI versions spelled stderr's end without a code; grpc's own codes are numbers. */
const CODES: Partial<Record<grpc.status, RuntimeErrorCode>> = {
  [grpc.status.NOT_FOUND]: "NotFound",
  [grpc.status.ALREADY_EXISTS]: "AlreadyExists",
  [grpc.status.DEADLINE_EXCEEDED]: "DeadlineExceeded",
  [grpc.status.UNAVAILABLE]: "Unavailable",
  [grpc.status.UNIMPLEMENTED]: "Unimplemented",
  [grpc.status.INVALID_ARGUMENT]: "InvalidArgument",
  [grpc.status.CANCELLED]: "Cancelled",
};

function translate(error: grpc.ServiceError): RuntimeError {
  return new RuntimeError(CODES[error.code] ?? "Unknown", error.details === "" ? error.message : error.details, {
    cause: error,
  });
}

interface Method<I extends DescMessage, O extends DescMessage> {
  readonly parent: { readonly typeName: string };
  readonly name: string;
  readonly input: I;
  readonly output: O;
}
/** Service descriptors are typed by a conditional type of their own; this names the part used here. */
function method<I extends DescMessage, O extends DescMessage>(descriptor: {
  parent: { typeName: string };
  name: string;
  input: I;
  output: O;
}): Method<I, O> {
  return descriptor;
}
/** Of all that containerd can tell: the ends of processes of what was made through the CRI. */
const EXITS = { filters: ['namespace==k8s.io,topic=="/tasks/exit"'] };
const runtime = pb.RuntimeService.method;
const images = pb.ImageService.method;

function sandboxFilter(filter: ListFilter): { id: string; labelSelector: Record<string, string> } {
  return { id: filter.id ?? "", labelSelector: filter.podUid === undefined ? {} : { [POD_UID_LABEL]: filter.podUid } };
}

/** A CRI v1 runtime (containerd, CRI-O) on a unix socket. */
export class GrpcRuntime implements Runtime {
  readonly rotatesLogs = false;
  readonly #client: grpc.Client;

  /** `endpoint` is "unix:///run/containerd/containerd.sock" or a bare socket path. */
  constructor(endpoint: string) {
    const target = endpoint.startsWith("/") ? `unix://${endpoint}` : endpoint;
    this.#client = new grpc.Client(target, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
      "grpc.enable_channelz": 0, // counts of every call, which nobody can ask for
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 3000,
    });
  }

  #call<I extends DescMessage, O extends DescMessage>(
    rpc: Method<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
    lingerMs = 0,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal?.aborted === true) {
        reject(new RuntimeError("Cancelled", "the call was aborted before it began", { cause: signal.reason }));
        return;
      }
      const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
      let forgetLinger: (() => void) | undefined;
      const onAbort = () => {
        if (lingerMs > 0) forgetLinger = WALL_CLOCK.schedule(lingerMs, () => call.cancel());
        else call.cancel();
      };
      const call = this.#client.makeUnaryRequest(
        `/${rpc.parent.typeName}/${rpc.name}`,
        (message: MessageShape<I>) => Buffer.from(toBinary(rpc.input, message)),
        (bytes: Buffer) => fromBinary(rpc.output, bytes),
        create(rpc.input, request),
        // By the wall clock, which grpc-js compares it with at once: a clock that was set must not end every call.
        { deadline: WALL_CLOCK.now() + timeoutMs },
        (error, response) => {
          signal?.removeEventListener("abort", onAbort);
          forgetLinger?.();
          if (error !== null) reject(translate(error));
          else if (response === undefined)
            reject(new RuntimeError("Unknown", `${rpc.name} answered without a message`));
          else resolve(response);
        },
      );
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Stop and remove succeed when the object is already gone. */
  async #callIgnoringAbsence<I extends DescMessage, O extends DescMessage>(
    rpc: Method<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): Promise<void> {
    try {
      await this.#call(rpc, request, options);
    } catch (error) {
      if (!isRuntimeError(error, "NotFound")) throw error;
    }
  }

  async version(options?: CallOptions) {
    const answer = await this.#call(method(runtime.version), { version: "v1" }, options);
    return { name: answer.runtimeName, version: answer.runtimeVersion, apiVersion: answer.runtimeApiVersion };
  }

  async status(options?: CallOptions) {
    const answer = await this.#call(method(runtime.status), {}, options);
    return {
      conditions: (answer.status?.conditions ?? []).map(({ type, status, reason, message }) => ({
        type,
        status,
        reason,
        message,
      })),
      handlers: answer.runtimeHandlers.map(({ name, features }) => ({
        name,
        recursiveReadOnlyMounts: features?.recursiveReadOnlyMounts ?? false,
        userNamespaces: features?.userNamespaces ?? false,
      })),
      supplementalGroupsPolicy: answer.features?.supplementalGroupsPolicy ?? false,
    };
  }

  async cgroupDriver(options?: CallOptions) {
    try {
      const answer = await this.#call(method(runtime.runtimeConfig), {}, options);
      if (answer.linux === undefined) return undefined;
      return answer.linux.cgroupDriver === pb.CgroupDriver.SYSTEMD ? "systemd" : "cgroupfs";
    } catch (error) {
      if (!isRuntimeError(error, "Unimplemented")) throw error;
      const { info } = await this.#call(method(runtime.status), { verbose: true }, options);
      return driverOfContainerd(info["config"]);
    }
  }

  async runSandbox(...[config, runtimeHandler, options]: Parameters<Runtime["runSandbox"]>) {
    const answer = await this.#call(
      method(runtime.runPodSandbox),
      { config: toSandboxConfig(config), runtimeHandler },
      { timeoutMs: 2 * DEFAULT_TIMEOUT_MS, ...options },
      LINGER_MS,
    );
    return answer.podSandboxId;
  }
  stopSandbox(podSandboxId: string, options?: CallOptions) {
    return this.#callIgnoringAbsence(method(runtime.stopPodSandbox), { podSandboxId }, options);
  }
  removeSandbox(podSandboxId: string, options?: CallOptions) {
    return this.#callIgnoringAbsence(method(runtime.removePodSandbox), { podSandboxId }, options);
  }
  async sandboxStatus(podSandboxId: string, options?: CallOptions) {
    const { status } = await this.#call(method(runtime.podSandboxStatus), { podSandboxId }, options);
    if (status === undefined)
      throw new RuntimeError("Unknown", `the runtime gave no status for sandbox ${podSandboxId}`);
    return fromSandboxStatus(status);
  }
  async listSandboxes(filter: ListFilter = {}, options?: CallOptions) {
    const { items } = await this.#call(method(runtime.listPodSandbox), { filter: sandboxFilter(filter) }, options);
    return items.map(fromSandbox);
  }
  async updateSandboxResources(
    ...[podSandboxId, overhead, resources, options]: Parameters<Runtime["updateSandboxResources"]>
  ) {
    try {
      await this.#call(
        method(runtime.updatePodSandboxResources),
        { podSandboxId, overhead: toResources(overhead), resources: toResources(resources) },
        options,
      );
    } catch (error) {
      if (!isRuntimeError(error, "Unimplemented")) throw error;
    }
  }

  async createContainer(...[podSandboxId, config, sandbox, options]: Parameters<Runtime["createContainer"]>) {
    const request = { podSandboxId, config: toContainerConfig(config), sandboxConfig: toSandboxConfig(sandbox) };
    return (await this.#call(method(runtime.createContainer), request, options, LINGER_MS)).containerId;
  }
  async startContainer(containerId: string, options?: CallOptions) {
    await this.#call(method(runtime.startContainer), { containerId }, options, LINGER_MS);
  }
  stopContainer(containerId: string, graceSeconds: number, options?: CallOptions) {
    const timeoutMs = DEFAULT_TIMEOUT_MS + graceSeconds * 1000;
    return this.#callIgnoringAbsence(
      method(runtime.stopContainer),
      { containerId, timeout: BigInt(Math.trunc(graceSeconds)) },
      { timeoutMs, ...options },
    );
  }
  removeContainer(containerId: string, options?: CallOptions) {
    return this.#callIgnoringAbsence(method(runtime.removeContainer), { containerId }, options);
  }
  async listContainers(filter: ListFilter = {}, options?: CallOptions) {
    const { containers } = await this.#call(method(runtime.listContainers), { filter: sandboxFilter(filter) }, options);
    return containers.map(fromContainer);
  }
  async containerStatus(containerId: string, options?: CallOptions) {
    const { status } = await this.#call(method(runtime.containerStatus), { containerId }, options);
    if (status === undefined)
      throw new RuntimeError("Unknown", `the runtime gave no status for container ${containerId}`);
    return fromContainerStatus(status);
  }
  async updateContainerResources(
    ...[containerId, resources, options]: Parameters<Runtime["updateContainerResources"]>
  ) {
    await this.#call(method(runtime.updateContainerResources), { containerId, linux: toResources(resources) }, options);
  }
  async reopenContainerLog(containerId: string, options?: CallOptions) {
    await this.#call(method(runtime.reopenContainerLog), { containerId }, options);
  }
  async execSync(...[containerId, cmd, timeoutSeconds, options]: Parameters<Runtime["execSync"]>) {
    assertExecutable(cmd);
    // The runtime's own timer kills the process, and runs from its start, which takes seconds on a busy machine; ours
    // only covers a runtime that hangs: a probe must not fail for what the container has no part in.
    const timeoutMs = timeoutSeconds * 1000 + DEFAULT_TIMEOUT_MS;
    const request = { containerId, cmd: [...cmd], timeout: BigInt(Math.trunc(timeoutSeconds)) };
    const { exitCode, stdout, stderr } = await this.#call(method(runtime.execSync), request, { timeoutMs, ...options });
    return { exitCode, stdout, stderr };
  }
  async listContainerStats(filter: ListFilter = {}, options?: CallOptions) {
    const { stats } = await this.#call(method(runtime.listContainerStats), { filter: sandboxFilter(filter) }, options);
    return stats.map(fromStats);
  }

  async exec(...[containerId, exec, options]: Parameters<Runtime["exec"]>) {
    const { command, tty, stdin, stdout, stderr } = exec;
    assertExecutable(command);
    return (
      await this.#call(method(runtime.exec), { containerId, cmd: [...command], tty, stdin, stdout, stderr }, options)
    ).url;
  }
  async attach(...[containerId, attach, options]: Parameters<Runtime["attach"]>) {
    return (await this.#call(method(runtime.attach), { containerId, ...attach }, options)).url;
  }
  async portForward(podSandboxId: string, ports: readonly number[], options?: CallOptions) {
    return (await this.#call(method(runtime.portForward), { podSandboxId, port: [...ports] }, options)).url;
  }

  async listImages(options?: CallOptions) {
    return (await this.#call(method(images.listImages), {}, options)).images.map(fromImage);
  }
  async imageStatus(...[image, options]: Parameters<Runtime["imageStatus"]>) {
    const answer = await this.#call(method(images.imageStatus), { image: toImageSpec(image) }, options);
    return answer.image === undefined ? undefined : fromImage(answer.image);
  }
  async pullImage(...[image, auth, sandbox, options]: Parameters<Runtime["pullImage"]>) {
    const request = {
      image: toImageSpec(image),
      auth,
      ...(sandbox === undefined ? {} : { sandboxConfig: toSandboxConfig(sandbox) }),
    };
    return (await this.#call(method(images.pullImage), request, { timeoutMs: PULL_TIMEOUT_MS, ...options })).imageRef;
  }
  removeImage(...[image, options]: Parameters<Runtime["removeImage"]>) {
    return this.#callIgnoringAbsence(method(images.removeImage), { image: toImageSpec(image) }, options);
  }
  async imageFsInfo(options?: CallOptions) {
    const answer = await this.#call(method(images.imageFsInfo), {}, options);
    return {
      images: answer.imageFilesystems.map(fromFilesystem),
      containers: answer.containerFilesystems.map(fromFilesystem),
    };
  }

  async *events(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    const types = ["Created", "Started", "Stopped", "Deleted"] as const;
    try {
      for await (const event of this.#stream(method(runtime.getContainerEvents), {}, signal)) {
        const podUid = event.podSandboxStatus?.metadata?.uid;
        yield { type: types[event.containerEventType] ?? "Stopped", containerId: event.containerId, podUid };
      }
    } catch (error) {
      if (!isRuntimeError(error, "Unimplemented")) throw error;
      yield* this.#containerdEvents(signal);
    }
  }

  /** Versions of containerd that do not tell of containers through the CRI tell of their processes in a way of their own. */
  async *#containerdEvents(signal: AbortSignal): AsyncIterable<ContainerEvent> {
    for await (const { event } of this.#stream(method(containerd.Events.method.subscribe), EXITS, signal)) {
      const { containerId, id } = fromBinary(containerd.TaskExitSchema, event?.value ?? new Uint8Array());
      // Others than the container's own process were executed in it.
      if (id === containerId) yield { type: "Stopped", containerId, podUid: undefined };
    }
  }

  async *#stream<I extends DescMessage, O extends DescMessage>(
    rpc: Method<I, O>,
    request: MessageInitShape<I>,
    signal: AbortSignal,
  ): AsyncIterable<MessageShape<O>> {
    const stream = this.#client.makeServerStreamRequest(
      `/${rpc.parent.typeName}/${rpc.name}`,
      (message: MessageShape<I>) => Buffer.from(toBinary(rpc.input, message)),
      (bytes: Buffer) => fromBinary(rpc.output, bytes),
      create(rpc.input, request),
    );
    const onAbort = () => stream.cancel();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      yield* stream as AsyncIterable<MessageShape<O>>;
    } catch (error) {
      if (signal.aborted) return;
      throw translate(error as grpc.ServiceError);
    } finally {
      signal.removeEventListener("abort", onAbort);
      stream.cancel();
    }
  }

  close(): void {
    this.#client.close();
  }
}
