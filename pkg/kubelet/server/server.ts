/** The kubelet's HTTPS server: logs, exec, attach, port-forward, stats, metrics, pods, health. */
import { createServer as createHttpServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { errorMessage, hasCode, refusePlainHttp } from "#pkg/util/index.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";
import { isRuntimeError, rpcText, type Runtime } from "../cri/runtime.ts";
import { newestContainer, readySandbox } from "../pod/observed.ts";
import type { ObservedContainer, ObservedPod, RunningPod } from "../pod/observed.ts";
import type { PodWorker } from "../pod/worker.ts";
import { UpgradeRefused } from "../streaming/dial.ts";
import type { KubeletAuth } from "./auth.ts";
import { kubeletConfiguration } from "./configz.ts";
import { HttpError } from "./http-error.ts";
import { readLog, sendLog } from "./logs.ts";
import { flag, logOptions } from "./log-options.ts";
import { serveNodeLogs } from "./node-logs.ts";
import { endOf } from "./serving-cert.ts";
import type { ServingCert } from "./serving-cert.ts";
import { requireStreams, Streams } from "./streams.ts";

/** A command to execute travels in the URL; scripts of some length must pass. */
const MAX_HEADER_BYTES = 1024 * 1024;

/** What the kubelet's port serves. */
export interface ServerDeps {
  readonly config: KubeletConfig;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly auth: KubeletAuth;
  readonly certificate: ServingCert;
  readonly clientCA: string;
  readonly findPod: (namespace: string, name: string) => PodWorker | undefined;
  readonly pods: () => Pod[];
  readonly observed: (uid: string) => ObservedPod;
  readonly runningPods: () => RunningPod[];
  /** Problems of the kubelet itself; empty when healthy. */
  readonly health: () => string | undefined;
  readonly summary: (onlyCpuAndMemory: boolean, signal: AbortSignal) => Promise<unknown>;
  readonly metrics: (which: "kubelet" | "cadvisor" | "resource" | "probes", signal: AbortSignal) => Promise<string>;
  /** Told of each request: its method and the first part of its path. What it answers is called once that is over. */
  readonly onRequest: (method: string, path: string, longRunning: boolean) => () => void;
}
/** What the server answers, as its metrics name it, and by which methods; anything else is one series. */
const METHODS = new Map<string, readonly string[]>([
  ...["healthz", "pods", "runningpods", "configz", "stats", "metrics", "logs", "containerLogs"].map(
    (path) => [path, ["GET", "HEAD"]] as const,
  ),
  ["run", ["POST"]],
  ...["exec", "attach", "portForward"].map((path) => [path, ["GET", "POST"]] as const),
]);

/** How it is told that a container waits for its image. */
const PULLING: ReadonlyMap<string, string> = new Map([
  ["ErrImagePull", "image can't be pulled"],
  ["ImagePullBackOff", "trying and failing to pull image"],
]);

interface Target {
  readonly worker: PodWorker;
  readonly container: string;
}

export class KubeletServer {
  readonly #deps: ServerDeps;
  readonly #streams: Streams;

  #server: ReturnType<typeof createServer> | undefined;
  #certificateEnds: number;

  constructor(deps: ServerDeps) {
    this.#deps = deps;
    this.#certificateEnds = endOf(deps.certificate);
    this.#streams = new Streams(deps.runtime, deps.clock, deps.log);
  }

  /** Listens until the signal aborts; resolves to the port once it does. */
  async listen(signal: AbortSignal): Promise<number> {
    const { config, certificate, clientCA, log } = this.#deps;
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      ...this.#secureContext(certificate),
      requestCert: clientCA !== "",
      rejectUnauthorized: false,
    });
    this.#server = server;
    server.on("request", (request, response) => void this.#onRequest(request, response, signal));
    server.on("upgrade", (request, socket, head) => void this.#onUpgrade(request, socket, head, signal));
    refusePlainHttp(server);
    server.on("tlsClientError", (err) => log.debug({ err }, "A TLS client could not connect"));
    // Logs are followed and commands run for hours.
    server.requestTimeout = 0;
    const port = await listening(server, config.port, config.address);
    closeWith(signal, server);
    return port;
  }

  #secureContext({ cert, key }: ServingCert) {
    const { clientCA } = this.#deps;
    return { cert, key, ...(clientCA === "" ? {} : { ca: clientCA }), minVersion: "TLSv1.2" as const };
  }

  /** When the certificate ends that new connections get: epoch milliseconds. */
  get certificateEnds(): number {
    return this.#certificateEnds;
  }

  /** New connections get this certificate; open ones go on with theirs. */
  useCertificate(certificate: ServingCert): void {
    this.#certificateEnds = endOf(certificate);
    this.#server?.setSecureContext(this.#secureContext(certificate));
  }

  /** The plain health port on loopback. */
  async listenHealth(signal: AbortSignal): Promise<void> {
    const { config, health } = this.#deps;
    if (config.healthzPort === 0) return;
    const server = createHttpServer((request, response) => {
      const problem = request.url === "/healthz" || request.url === "/healthz/" ? health() : "";
      if (problem === "") respond(response, 404, "404 page not found\n");
      else if (problem === undefined) respond(response, 200, "ok");
      else respond(response, 500, problem);
    });
    await listening(server, config.healthzPort, config.healthzBindAddress);
    closeWith(signal, server);
  }

  async #authorized(request: IncomingMessage, signal: AbortSignal): Promise<void> {
    const path = new URL(request.url ?? "/", "https://kubelet").pathname;
    const head = path.split("/")[1] ?? "";
    const longRunning = ["containerLogs", "exec", "attach", "portForward"].includes(head);
    const done = this.#deps.onRequest(request.method ?? "GET", METHODS.has(head) ? head : "other", longRunning);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
    const verdict = await this.#deps.auth.check(
      {
        method: request.method ?? "GET",
        path,
        authorization: request.headers.authorization,
        socket: request.socket as TLSSocket,
      },
      signal,
    );
    if (!verdict.allowed) throw new HttpError(verdict.code, verdict.message);
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse, parent: AbortSignal): Promise<void> {
    const gone = new AbortController();
    response.on("close", () => gone.abort());
    const signal = AbortSignal.any([parent, gone.signal]);
    try {
      await this.#authorized(request, signal);
      await this.#route(request, response, signal);
    } catch (err) {
      if (signal.aborted) return;
      const code = err instanceof HttpError ? err.code : 500;
      if (code === 500)
        this.#deps.log.warn({ err, path: request.url?.split("?")[0] }, "A request to the kubelet failed");
      if (response.headersSent) response.destroy();
      else respond(response, code, errorMessage(err));
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const url = new URL(request.url ?? "/", "https://kubelet");
    const parts = url.pathname
      .split("/")
      .filter((part) => part !== "")
      .map(decodeURIComponent);
    const methods = METHODS.get(parts[0] ?? "");
    if (methods?.includes(request.method ?? "") === false) throw new HttpError(405, "405: Method Not Allowed");
    switch (parts[0]) {
      case "healthz":
        return respond(response, ...this.#health());
      case "pods":
        // As members of lists are written: their kind is the list's.
        return json(response, podList(this.#deps.pods().map(({ apiVersion: _version, kind: _kind, ...pod }) => pod)));
      case "runningpods":
        return json(response, podList(this.#deps.runningPods()));
      case "configz":
        return json(response, { kubeletconfig: kubeletConfiguration(this.#deps.config) });
      case "stats":
        if (parts[1] !== "summary") break;
        return json(response, await this.#deps.summary(url.searchParams.get("only_cpu_and_memory") === "true", signal));
      case "metrics": {
        const which = (parts[1] ?? "kubelet") as "kubelet" | "cadvisor" | "resource" | "probes";
        if (!["kubelet", "cadvisor", "resource", "probes"].includes(which)) break;
        response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8");
        return respond(response, 200, await this.#deps.metrics(which, signal));
      }
      case "logs":
        if (!this.#deps.config.enableSystemLogHandler) break;
        return serveNodeLogs(this.#deps.config.systemLogsDir, url.pathname, request, response, signal);
      case "containerLogs":
        return this.#containerLogs(parts, url.searchParams, response, signal);
      case "run":
        return this.#run(parts, url.searchParams, response, signal);
      case "exec":
      case "attach":
      case "portForward":
        if (parts[0] === "portForward") this.#sandbox(parts);
        else {
          requireStreams(url.searchParams);
          this.#running(this.#target(parts), parts[0]);
        }
        throw new HttpError(500, "Upgrade request required");
    }
    throw new HttpError(404, "404 page not found");
  }

  #health(): [number, string] {
    const problem = this.#deps.health();
    return problem === undefined ? [200, "ok"] : [500, problem];
  }

  #target(parts: readonly string[]): Target {
    // /exec/<namespace>/<pod>/<container> or, with the uid as a guard, /exec/<namespace>/<pod>/<uid>/<container>.
    const [, namespace = "", name = "", third = "", fourth] = parts;
    const worker = this.#deps.findPod(namespace, name);
    if (worker === undefined || (fourth !== undefined && worker.uid !== third))
      throw new HttpError(404, "pod does not exist");
    return { worker, container: fourth ?? third };
  }

  #running({ worker, container }: Target, verb: "exec" | "attach" | "run"): ObservedContainer {
    const found = newestContainer(this.#deps.observed(worker.uid), container);
    // One that has ended is not there for whoever wants to speak to it. Upstream says so in words that differ by verb.
    if (found?.state === "Running") return found;
    const { name, namespace } = worker.pod.metadata;
    if (verb === "attach") throw new HttpError(500, `container ${container} not found in pod ${name}_${namespace}`);
    throw new HttpError(500, `container not found ("${container}")`);
  }

  /** The sandbox of /portForward/<namespace>/<pod>, or, with the uid as a guard, /portForward/<namespace>/<pod>/<uid>. */
  #sandbox([, namespace = "", name = "", uid]: readonly string[]): string {
    const worker = this.#deps.findPod(namespace, name);
    if (worker === undefined || (uid !== undefined && worker.uid !== uid))
      throw new HttpError(404, "pod does not exist");
    const sandbox = readySandbox(this.#deps.observed(worker.uid));
    if (sandbox === undefined) throw new HttpError(500, `pod "${name}" has no running sandbox`);
    return sandbox.id;
  }

  async #containerLogs(
    parts: readonly string[],
    query: URLSearchParams,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const [, namespace = "", name = "", container = ""] = parts;
    const options = logOptions(query, this.#deps.clock.now());
    const worker = this.#deps.findPod(namespace, name);
    if (worker === undefined) throw new HttpError(404, `pod ${goQuote(name)} does not exist`);
    const { logPath, id } = this.#logContainer({ worker, container }, flag(query, "previous"));
    const { clock, observed } = this.#deps;
    const running = () =>
      observed(worker.uid).containers.some((container) => container.id === id && container.state === "Running");
    response.setHeader("content-type", "text/plain");
    response.setHeader("transfer-encoding", "chunked");
    try {
      if (options.follow) response.flushHeaders();
      await sendLog(readLog({ path: logPath, running }, options, clock, signal), response, signal);
    } catch (error) {
      if (!hasCode(error, "ENOENT") || response.headersSent) throw error;
      // A container that was created and has not started has no log yet.
    }
    response.end();
  }

  #logContainer({ worker, container }: Target, previous: boolean): ObservedContainer {
    const { name } = worker.pod.metadata;
    const spec = [
      ...worker.pod.spec.containers,
      ...(worker.pod.spec.initContainers ?? []),
      ...(worker.pod.spec.ephemeralContainers ?? []),
    ].find((c) => c.name === container);
    if (spec === undefined)
      throw new HttpError(404, `container ${goQuote(container)} not found in pod ${goQuote(name)}`);
    const all = this.#deps.observed(worker.uid).containers.filter(({ metadata }) => metadata.name === container);
    if (previous) {
      const ended = all.filter(({ state }) => state === "Exited");
      // A container waiting for its next start has ended last, and what it said is its previous log.
      const found =
        all[0]?.state === "Running"
          ? ended[0]
          : (ended[1] ?? (this.#waiting(worker, container) === undefined ? undefined : ended[0]));
      if (found === undefined)
        throw new HttpError(400, `previous terminated container "${container}" in pod "${name}" not found`);
      return found;
    }
    const current = all.find(({ state }) => state === "Running" || state === "Exited");
    if (current === undefined) {
      const reason = this.#waiting(worker, container) ?? "ContainerCreating";
      const detail = PULLING.get(reason) ?? reason;
      throw new HttpError(400, `container "${container}" in pod "${name}" is waiting to start: ${detail}`);
    }
    return current;
  }

  #waiting(worker: PodWorker, container: string): string | undefined {
    const status = worker.currentStatus();
    const all = [
      ...(status?.containerStatuses ?? []),
      ...(status?.initContainerStatuses ?? []),
      ...(status?.ephemeralContainerStatuses ?? []),
    ];
    return all.find(({ name }) => name === container)?.state?.waiting?.reason;
  }

  async #run(
    parts: readonly string[],
    query: URLSearchParams,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<void> {
    const container = this.#running(this.#target(parts), "run");
    const command = (query.get("cmd") ?? "").split(" ").filter((word) => word !== "");
    const { stdout, stderr } = await this.#deps.runtime.execSync(container.id, command, 120, { signal });
    respond(response, 200, Buffer.concat([stdout, stderr]));
  }

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, parent: AbortSignal): Promise<void> {
    const gone = new AbortController();
    socket.on("close", () => gone.abort());
    socket.on("error", () => gone.abort());
    const signal = AbortSignal.any([parent, gone.signal]);
    try {
      await this.#authorized(request, signal);
      const url = new URL(request.url ?? "/", "https://kubelet");
      const parts = url.pathname
        .split("/")
        .filter((part) => part !== "")
        .map(decodeURIComponent);
      const upgrade = { request, query: url.searchParams, socket, head, signal };
      const [verb] = parts;
      if (verb === "portForward") await this.#streams.portForward(this.#sandbox(parts), upgrade);
      else if (verb === "exec" || verb === "attach")
        await this.#streams.remoteCommand(verb, this.#running(this.#target(parts), verb).id, upgrade);
      else throw new HttpError(404, "404 page not found");
    } catch (err) {
      if (signal.aborted) return;
      const code = codeOfRefusal(err);
      if (code >= 500)
        this.#deps.log.warn({ err, path: request.url?.split("?")[0] }, "A streaming request to the kubelet failed");
      refuse(socket, code, rpcText(err));
    }
  }
}

/** The HTTP code of why a connection is not upgraded; the runtime's own errors have those of upstream's streaming server. */
function codeOfRefusal(error: unknown): number {
  if (error instanceof HttpError) return error.code;
  if (error instanceof UpgradeRefused) return error.statusCode;
  return isRuntimeError(error, "NotFound") ? 404 : 500;
}

function refuse(socket: Duplex, code: number, message: string): void {
  const body = Buffer.from(`${message}\n`);
  socket.end(
    `HTTP/1.1 ${code} ${code === 403 ? "Forbidden" : "Error"}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body.toString()}`,
  );
}

function respond(response: ServerResponse, code: number, body: string | Buffer): void {
  if (!response.hasHeader("content-type")) response.setHeader("content-type", "text/plain; charset=utf-8");
  response.statusCode = code;
  response.end(body);
}

function podList(items: readonly object[]) {
  return { kind: "PodList", apiVersion: "v1", metadata: {}, items };
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(value));
}

/** Ends the server when the signal aborts, or now if it did while the server began to listen. */
function closeWith(signal: AbortSignal, server: Server | ReturnType<typeof createServer>): void {
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  if (signal.aborted) close();
  else signal.addEventListener("abort", close, { once: true });
}

function listening(server: Server | ReturnType<typeof createServer>, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, address, () => {
      server.off("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
