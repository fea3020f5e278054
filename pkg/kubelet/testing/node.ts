/** A kubelet for tests, in front of a real API server and a runtime, with its server within reach. */
import { request } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { events, nodes, pods } from "#pkg/api/refs.ts";
import type { Container, Node, Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";
import type { Runtime } from "../cri/runtime.ts";
import { createKubelet } from "../index.ts";
import { configBelow, podOf, startCluster, waitForPod } from "./cluster.ts";

export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

export function busybox(command: string, more: Partial<Container> = {}): Container {
  return { name: "c", image: "busybox:1.35", imagePullPolicy: "IfNotPresent", command: ["sh", "-c", command], ...more };
}

/** A container runtime of a test's own. */
export interface TestDaemon {
  readonly directory: string;
  readonly cgroupRoot: string;
  readonly runtime: Runtime;
  /** Kills the daemon; containers go on. */
  kill(): Promise<void>;
  /** Resolves when it answers. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** A container whose last words are its termination message, so that tests need no log. */
export function says(command: string, more: Partial<Container> = {}): Container {
  return busybox(`(${command}) > /dev/termination-log 2>&1`, more);
}
export const hasEnded = (pod: Pod): boolean => ["Succeeded", "Failed"].includes(pod.status?.phase ?? "");
export const waitingReason = (pod: Pod): string | undefined =>
  pod.status?.containerStatuses?.[0]?.state?.waiting?.reason;

export interface Outcome {
  readonly pod: Pod;
  /** Last words of the first container. */
  readonly said: string;
}

export interface TestNodeOptions {
  readonly name: string;
  /** Sees everything, whatever the kubelet's own client may reach. */
  readonly client: Client;
  readonly kubeletClient?: Client;
  readonly daemon: Pick<TestDaemon, "directory" | "cgroupRoot" | "runtime">;
  readonly config?: Partial<KubeletConfig>;
  readonly clock?: Clock;
}

export class TestNode {
  readonly #options: TestNodeOptions;
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: TestNodeOptions) {
    this.#options = options;
  }

  /** Resolves when the node is ready. `changed` is told to the kubelet beside what it was told before. */
  async start(changed: Partial<KubeletConfig> = {}): Promise<void> {
    const { name, client, kubeletClient, daemon, config, clock } = this.#options;
    this.#abort = new AbortController();
    const { directory, cgroupRoot, runtime } = daemon;
    this.#running = createKubelet({
      client: kubeletClient ?? client,
      runtime,
      nodeName: name,
      clock: clock ?? new RealClock(),
      log: silentLogger,
      config: {
        ...configBelow(directory, cgroupRoot),
        ...config,
        ...changed,
      },
    }).run(this.#abort.signal);
    await this.eventually("the node is ready", async () => (await this.condition("Ready")) === "True");
    // What the API says of the port may be from before a restart.
    await this.eventually("its server answers", async () =>
      this.get("/healthz").then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  }
  /** Containers go on. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  /** The node's object, once it has registered. */
  async object(): Promise<Node | undefined> {
    return (await this.#options.client.list(nodes)).items.find(({ metadata }) => metadata.name === this.#options.name);
  }
  async condition(type: string): Promise<string | undefined> {
    const found = await this.object();
    return found?.status?.conditions?.find((condition) => condition.type === type)?.status;
  }
  /** Of the kubelet's server, which gets another with each start. */
  async port(): Promise<number> {
    return (await this.object())?.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
  }

  create(
    name: string,
    container: Container,
    spec: Partial<PodSpec> = {},
    metadata: Partial<Pod["metadata"]> = {},
  ): Promise<Pod> {
    const { client, name: nodeName } = this.#options;
    return client.create(pods, podOf(name, nodeName, { containers: [container], ...spec }, metadata));
  }
  /** Runs the pod to its end. */
  async outcome(...[name, container, spec, metadata]: Parameters<TestNode["create"]>): Promise<Outcome> {
    await this.create(name, container, { restartPolicy: "Never", ...spec }, metadata);
    const pod = await this.wait(name, hasEnded);
    return { pod, said: pod.status?.containerStatuses?.[0]?.state?.terminated?.message ?? "" };
  }
  wait(name: string, condition: (pod: Pod) => boolean, timeoutMs?: number): Promise<Pod> {
    return waitForPod(this.#options.client, name, condition, timeoutMs);
  }
  /** Deletes the pod and waits until its object is gone. */
  async delete(name: string, options: { readonly gracePeriodSeconds?: number } = {}): Promise<void> {
    await this.#options.client.delete(pods, { namespace: "default", name }, options);
    await this.gone(name);
  }
  async gone(name: string): Promise<void> {
    const { client } = this.#options;
    await this.eventually(`pod ${name} is gone`, async () => {
      const { items } = await client.list(pods, { fieldSelector: `metadata.name=${name}` });
      return items.length === 0;
    });
  }
  /** "reason: message" of the events about the pod. */
  async events(name: string): Promise<string[]> {
    const { items } = await this.#options.client.list(events, { fieldSelector: `involvedObject.name=${name}` });
    return items.map(({ reason, message }) => `${reason}: ${message}`);
  }

  async eventually(what: string, probe: () => Promise<boolean>, timeoutMs = 120_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (!(await probe())) {
      if (performance.now() > end) throw new Error(`did not come true: ${what}`);
      await delay(50);
    }
  }

  /** What the kubelet's server answers. */
  async get(path: string): Promise<{ status: number; body: string }> {
    const port = await this.port();
    return new Promise((resolve, reject) => {
      const call = request({ host: "127.0.0.1", port, path, rejectUnauthorized: false, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (body += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      });
      call.on("error", reject);
      call.end();
    });
  }
}

export interface TestBed<Daemon extends TestDaemon = TestDaemon> {
  /** Sees everything. */
  readonly client: Client;
  readonly daemon: Daemon;
  readonly node: TestNode;
  stop(): Promise<void>;
}

/** A ready node on the given runtime, in a cluster of its own. `prepare` is run before the kubelet starts. */
export async function startTestBed<Daemon extends TestDaemon>(
  starting: Promise<Daemon>,
  options: {
    readonly name: string;
    readonly config?: (daemon: Daemon) => Partial<KubeletConfig>;
    readonly kubeletClient?: (client: Client) => Client;
    readonly clock?: Clock;
    readonly prepare?: (daemon: Daemon) => void;
  },
): Promise<TestBed<Daemon>> {
  const daemon = await starting;
  const cluster = await startCluster();
  const { client } = cluster;
  const { name, config, kubeletClient, clock, prepare } = options;
  const node = new TestNode({
    name,
    client,
    daemon,
    ...(kubeletClient === undefined ? {} : { kubeletClient: kubeletClient(client) }),
    ...(config === undefined ? {} : { config: config(daemon) }),
    ...(clock === undefined ? {} : { clock }),
  });
  const stop = async () => {
    try {
      await node.stop();
      await cluster.stop();
    } finally {
      await daemon.stop();
    }
  };
  try {
    prepare?.(daemon);
    await node.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { client, daemon, node, stop };
}
