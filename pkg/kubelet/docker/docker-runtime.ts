import { readFile, symlink, mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import Docker from "dockerode";
import type { ContainerInspectInfo, ContainerStats as DockerStats } from "dockerode";
import { errorMessage, scheduleLimit } from "#pkg/util/index.ts";
import type { Clock, CommandRunner, Logger } from "#pkg/util/index.ts";
import { assertExecutable, RuntimeError } from "../cri/runtime.ts";
import type {
  AuthConfig,
  ContainerStats,
  ImageSpec,
  ListFilter,
  Runtime,
  RuntimeContainer,
  Sandbox,
  SandboxStatus,
} from "../cri/runtime.ts";
import { minimumOomScoreAdj } from "../node/machine.ts";
import { requireLoaded } from "./app-armor.ts";
import { call, must } from "./calls.ts";
import { Cni } from "./cni.ts";
import { DockerConnections } from "./connections.ts";
import {
  CONTAINER_TYPE,
  fromLabels,
  logPathOf,
  metadataOf,
  POD_UID_LABEL,
  SANDBOX_TYPE,
  sandboxIdOf,
  stateOf,
  toContainer,
  toContainerStatus,
  toHostResources,
  toSandbox,
  toSandboxInfo,
  typeFilter,
} from "./convert.ts";
import { containerEvents } from "./events.ts";
import { DockerImages } from "./images.ts";
import { forwardPort } from "./port-forward.ts";
import { StreamingServer } from "./streaming-server.ts";
import { collector, connectStreams, wanted } from "./streams.ts";

const DEFAULT_PAUSE_IMAGE = "registry.k8s.io/pause:3.10";

/** Where Docker, the pod network's plugins and our own notes are. */
export interface DockerRuntimeOptions {
  /** Default /var/run/docker.sock. */
  readonly socketPath?: string;
  readonly cniConfDir: string;
  readonly cniBinDir: string;
  /** Holds what is known about pods' networks. */
  readonly stateDir: string;
  readonly pauseImage?: string;
  /** Docker rotates logs itself, and is told how with each container. Without it they grow. */
  readonly logRotation?: { readonly maxBytes: number; readonly maxFiles: number };
  readonly commands: CommandRunner;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The kubelet's runtime on the Docker API: pause containers hold a pod's namespaces, CNI plugins connect them. */
export class DockerRuntime implements Runtime {
  readonly rotatesLogs = true;
  readonly #connections = new DockerConnections();
  readonly #docker: Docker;
  readonly #options: DockerRuntimeOptions;
  readonly #cni: Cni;
  readonly #streaming: StreamingServer;
  readonly #images: DockerImages;
  #minOom: number | undefined;

  constructor(options: DockerRuntimeOptions) {
    this.#options = options;
    const { agent } = this.#connections;
    const connection = { socketPath: options.socketPath ?? "/var/run/docker.sock", agent };
    this.#docker = new Docker(connection);
    this.#cni = new Cni({
      confDir: options.cniConfDir,
      binDir: options.cniBinDir,
      stateDir: join(options.stateDir, "sandboxes"),
      commands: options.commands,
    });
    this.#streaming = new StreamingServer(options);
    this.#images = new DockerImages(this.#docker, options.clock);
  }

  async version() {
    const { Version, ApiVersion } = await must(() => this.#docker.version());
    return { name: "docker", version: Version, apiVersion: ApiVersion };
  }
  async status() {
    await must(() => this.#docker.ping());
    const network = await this.#cni.network();
    return {
      conditions: [
        { type: "RuntimeReady", status: true, reason: "", message: "" },
        network === undefined
          ? {
              type: "NetworkReady",
              status: false,
              reason: "NetworkPluginNotReady",
              message: `no CNI configuration in ${this.#options.cniConfDir}`,
            }
          : { type: "NetworkReady", status: true, reason: "", message: "" },
      ],
      handlers: [],
      supplementalGroupsPolicy: false,
    };
  }
  async cgroupDriver() {
    const { CgroupDriver } = (await must(() => this.#docker.info())) as { CgroupDriver?: string };
    return CgroupDriver === "systemd" ? ("systemd" as const) : ("cgroupfs" as const);
  }
  async #minOomScoreAdj(): Promise<number> {
    return (this.#minOom ??= await minimumOomScoreAdj());
  }

  async runSandbox(...[config, runtimeHandler]: Parameters<Runtime["runSandbox"]>) {
    if (runtimeHandler !== "")
      throw new RuntimeError(
        "InvalidArgument",
        `runtime handler ${JSON.stringify(runtimeHandler)} is not supported with Docker`,
      );
    const image = this.#options.pauseImage ?? DEFAULT_PAUSE_IMAGE;
    if ((await this.imageStatus({ image })) === undefined) await this.pullImage({ image }, undefined);
    const options = toSandbox(config, image, await this.#minOomScoreAdj());
    const container = await must(() => this.#docker.createContainer(options));
    try {
      await must(() => container.start());
      const info = await must(() => container.inspect());
      await this.#writeResolvConf(info, config.dns);
      if (config.securityContext.namespaces.network !== "Node") {
        const { name, namespace } = config.metadata;
        await this.#cni.attach(
          container.id,
          `/proc/${info.State.Pid}/ns/net`,
          { name, namespace },
          config.portMappings,
        );
      }
    } catch (error) {
      await call(() => container.remove({ force: true }), [404]);
      throw error instanceof RuntimeError ? error : new RuntimeError("Unknown", errorMessage(error), { cause: error });
    }
    return container.id;
  }

  /** Docker writes the file for the sandbox; containers that join its network share it. */
  async #writeResolvConf(
    { ResolvConfPath }: ContainerInspectInfo,
    dns: { servers: readonly string[]; searches: readonly string[]; options: readonly string[] },
  ): Promise<void> {
    if (ResolvConfPath === "") return;
    const lines = [
      ...(dns.searches.length === 0 ? [] : [`search ${dns.searches.join(" ")}`]),
      ...dns.servers.map((server) => `nameserver ${server}`),
      ...(dns.options.length === 0 ? [] : [`options ${dns.options.join(" ")}`]),
    ];
    await writeFile(ResolvConfPath, `${lines.join("\n")}\n`);
  }

  async stopSandbox(id: string) {
    const inside = await this.#list(CONTAINER_TYPE, [`io.kubernetes.sandbox.id=${id}`]);
    for (const { Id } of inside) await this.stopContainer(Id, 0);
    const info = await call(() => this.#docker.getContainer(id).inspect(), [404]);
    if (info === undefined) return;
    const netns = info.State.Running ? `/proc/${info.State.Pid}/ns/net` : "";
    await this.#cni.detach(id, netns);
    await call(() => this.#docker.getContainer(id).kill(), [404, 409]);
  }
  async removeSandbox(id: string) {
    const inside = await this.#list(CONTAINER_TYPE, [`io.kubernetes.sandbox.id=${id}`]);
    for (const { Id } of inside) await this.removeContainer(Id);
    await call(() => this.#docker.getContainer(id).remove({ force: true }), [404]);
  }
  async sandboxStatus(id: string): Promise<SandboxStatus> {
    const info = await must(() => this.#docker.getContainer(id).inspect());
    const status = toContainerStatus(info);
    const network = info.HostConfig.NetworkMode === "host" ? ("Node" as const) : ("Pod" as const);
    return {
      id,
      metadata: metadataOf(info.Config.Labels),
      state:
        status.state === "Running" && (network === "Node" || (await this.#cni.attached(id))) ? "Ready" : "NotReady",
      createdAt: status.createdAt,
      labels: status.labels,
      annotations: status.annotations,
      runtimeHandler: "",
      ips: network === "Node" ? [] : await this.#cni.addresses(id),
      networkNamespace: network,
    };
  }

  #list(type: string, labels: readonly string[]) {
    return must(() => this.#docker.listContainers({ all: true, filters: { label: [typeFilter(type), ...labels] } }));
  }
  #filters({ podUid }: ListFilter): string[] {
    return podUid === undefined ? [] : [`${POD_UID_LABEL}=${podUid}`];
  }
  async listSandboxes(filter: ListFilter = {}) {
    const found = await this.#list(SANDBOX_TYPE, this.#filters(filter));
    const matching = found.filter(({ Id }) => filter.id === undefined || Id === filter.id);
    // A sandbox is of use only once its network is: until then it counts as not ready, also after a restart of ours.
    return Promise.all(
      matching.map(async (info): Promise<Sandbox> => {
        const connected = info.HostConfig.NetworkMode === "host" || (await this.#cni.attached(info.Id));
        return connected ? toSandboxInfo(info) : { ...toSandboxInfo(info), state: "NotReady" };
      }),
    );
  }
  async updateSandboxResources() {
    // Docker keeps no resources of a pod as a whole.
  }

  async createContainer(...[sandboxId, config, sandbox]: Parameters<Runtime["createContainer"]>) {
    const { seccomp, apparmor } = config.securityContext;
    await requireLoaded(apparmor);
    const profile = seccomp?.type === "Localhost" ? await readFile(seccomp.localhostRef ?? "", "utf8") : undefined;
    const options = toContainer(config, sandboxId, sandbox, await this.#minOomScoreAdj(), profile, this.#logOptions());
    return (await must(() => this.#docker.createContainer(options))).id;
  }
  #logOptions(): Record<string, string> {
    const { logRotation } = this.#options;
    if (logRotation === undefined) return {};
    return { "max-size": String(logRotation.maxBytes), "max-file": String(logRotation.maxFiles) };
  }
  async startContainer(id: string) {
    const container = this.#docker.getContainer(id);
    await call(() => container.start(), [304]);
    const info = await must(() => container.inspect());
    const link = logPathOf(info.Config.Labels);
    const { LogPath } = info;
    if (link === "" || LogPath === "") return;
    await mkdir(dirname(link), { recursive: true, mode: 0o755 });
    await rm(link, { force: true });
    await symlink(LogPath, link);
  }
  async stopContainer(id: string, graceSeconds: number) {
    const container = this.#docker.getContainer(id);
    if (graceSeconds <= 0) await call(() => container.kill(), [404, 409]);
    else await call(() => container.stop({ t: Math.trunc(graceSeconds) }), [304, 404]);
  }
  async removeContainer(id: string) {
    const container = this.#docker.getContainer(id);
    const info = await call(() => container.inspect(), [404]);
    if (info === undefined) return;
    await call(() => container.remove({ force: true, v: true }), [404]);
    const link = logPathOf(info.Config.Labels);
    if (link !== "") await rm(link, { force: true });
  }
  async listContainers(filter: ListFilter = {}): Promise<RuntimeContainer[]> {
    const found = await this.#list(CONTAINER_TYPE, this.#filters(filter));
    return found
      .filter(({ Id }) => filter.id === undefined || Id === filter.id)
      .map((info) => ({
        id: info.Id,
        sandboxId: sandboxIdOf(info.Labels),
        metadata: metadataOf(info.Labels),
        image: info.Image,
        imageRef: info.ImageID,
        state: stateOf(info.State),
        createdAt: info.Created * 1000,
        ...fromLabels(info.Labels),
      }));
  }
  async containerStatus(id: string) {
    const status = toContainerStatus(await must(() => this.#docker.getContainer(id).inspect()));
    if (status.image !== "") return status;
    const image = await this.imageStatus({ image: status.imageId });
    return { ...status, image: image?.repoTags[0] ?? "", imageRef: image?.repoDigests[0] ?? status.imageId };
  }
  async updateContainerResources(...[id, resources]: Parameters<Runtime["updateContainerResources"]>) {
    await must(() => this.#docker.getContainer(id).update(toHostResources(resources)));
  }
  async reopenContainerLog(): Promise<void> {
    throw new RuntimeError("Unimplemented", "Docker rotates its logs itself");
  }

  async execSync(...[id, command, timeoutSeconds, options]: Parameters<Runtime["execSync"]>) {
    assertExecutable(command);
    const container = this.#docker.getContainer(id);
    const exec = await must(() => container.exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true }));
    const stream = await must(() => exec.start({}));
    const output = { stdout: collector(), stderr: collector() };
    container.modem.demuxStream(stream, output.stdout.stream, output.stderr.stream);
    const kill = async () => {
      const { Pid } = await exec.inspect();
      if (Pid > 0) await this.#options.commands.run("kill", ["-9", String(Pid)], { allowFailure: true });
    };
    let timedOut = false;
    const cancel =
      timeoutSeconds === 0
        ? () => undefined
        : scheduleLimit(this.#options.clock, timeoutSeconds * 1000, () => {
            timedOut = true;
            kill().catch((err: unknown) =>
              this.#options.log.warn({ err }, "A command that took too long could not be killed"),
            );
            stream.destroy();
          });
    const onAbort = () => stream.destroy();
    options?.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await new Promise<void>((resolve) => {
        stream.once("end", resolve);
        stream.once("close", resolve);
        stream.once("error", () => resolve());
      });
    } finally {
      cancel();
      options?.signal?.removeEventListener("abort", onAbort);
    }
    if (timedOut) throw new RuntimeError("DeadlineExceeded", `command timed out after ${timeoutSeconds}s`);
    if (options?.signal?.aborted === true) throw new RuntimeError("Cancelled", "the call was aborted");
    const { ExitCode } = await must(() => exec.inspect());
    return { exitCode: ExitCode ?? 1, stdout: output.stdout.bytes(), stderr: output.stderr.bytes() };
  }

  async listContainerStats(filter: ListFilter = {}) {
    const running = (await this.listContainers(filter)).filter(({ state }) => state === "Running");
    return Promise.all(running.map((container) => this.#stats(container)));
  }
  async #stats({ id, metadata, labels }: RuntimeContainer): Promise<ContainerStats> {
    // "one-shot" spares Docker the second it would otherwise wait for a rate.
    const stats = await must(
      () => this.#docker.getContainer(id).stats({ stream: false, "one-shot": true }) as Promise<DockerStats>,
    );
    const timestamp = Date.parse(stats.read);
    const inactive =
      (stats.memory_stats.stats as { inactive_file?: number; total_inactive_file?: number } | undefined) ?? {};
    const usage = stats.memory_stats.usage ?? 0;
    return {
      id,
      metadata,
      labels,
      cpu: { timestamp, usageCoreNanoSeconds: stats.cpu_stats.cpu_usage.total_usage },
      memory: {
        timestamp,
        usageBytes: usage,
        workingSetBytes: Math.max(0, usage - (inactive.total_inactive_file ?? inactive.inactive_file ?? 0)),
      },
    };
  }

  async exec(...[id, exec]: Parameters<Runtime["exec"]>) {
    const { tty, stdin, stdout, stderr, command } = exec;
    assertExecutable(command);
    return this.#streaming.command(wanted(exec), async (streams) => {
      const container = this.#docker.getContainer(id);
      const created = await must(() =>
        container.exec({ Cmd: [...command], AttachStdin: stdin, AttachStdout: stdout, AttachStderr: stderr, Tty: tty }),
      );
      const connection = await must(() => created.start({ hijack: true, stdin, Tty: tty }));
      await connectStreams(container, connection, streams, tty, (size) => created.resize(size));
      return (await must(() => created.inspect())).ExitCode ?? 1;
    });
  }
  async attach(...[id, attach]: Parameters<Runtime["attach"]>) {
    const { tty, stdin, stdout, stderr } = attach;
    return this.#streaming.command(wanted(attach), async (streams) => {
      const container = this.#docker.getContainer(id);
      const connection = await must(() => container.attach({ stream: true, hijack: true, stdin, stdout, stderr }));
      await connectStreams(container, connection as Duplex, streams, tty, (size) => container.resize(size));
      return 0;
    });
  }
  async portForward(sandboxId: string) {
    const { State } = await must(() => this.#docker.getContainer(sandboxId).inspect());
    return this.#streaming.ports((port, data, error) => forwardPort(State.Pid, port, data, error));
  }

  listImages() {
    return this.#images.list();
  }
  imageStatus(image: ImageSpec) {
    return this.#images.status(image);
  }
  pullImage(image: ImageSpec, auth: AuthConfig | undefined) {
    return this.#images.pull(image, auth);
  }
  removeImage(image: ImageSpec) {
    return this.#images.remove(image);
  }
  imageFsInfo() {
    return this.#images.fileSystems();
  }

  events(signal: AbortSignal) {
    return containerEvents(this.#docker, signal);
  }

  close(): void {
    this.#streaming.close();
    this.#connections.close();
  }
}
