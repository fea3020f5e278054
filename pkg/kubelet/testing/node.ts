/** A kubelet for tests, in front of a real API server and a runtime, with its server within reach. */
import { request } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { events, nodes, pods } from "#pkg/api/refs.ts";
import type { Container, Pod, PodSpec } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { KubeletConfig } from "../config.ts";
import type { Runtime } from "../cri/runtime.ts";
import { createKubelet } from "../index.ts";
import { configBelow, podOf, waitForPod } from "./cluster.ts";

export const isReady = (pod: Pod): boolean =>
  pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

export function busybox(command: string, more: Partial<Container> = {}): Container {
  return { name: "c", image: "busybox:1.35", imagePullPolicy: "IfNotPresent", command: ["sh", "-c", command], ...more };
}

export interface TestNodeOptions {
  readonly name: string;
  /** Sees everything, whatever the kubelet's own client may reach. */
  readonly client: Client;
  readonly kubeletClient?: Client;
  readonly daemon: { readonly directory: string; readonly cgroupRoot: string; readonly runtime: Runtime };
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

  /** Resolves when the node is ready. */
  async start(): Promise<void> {
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
        anonymousAuth: true,
        authorizationMode: "AlwaysAllow" as const,
        ...config,
      },
    }).run(this.#abort.signal);
    await this.eventually("the node is ready", async () => (await this.condition("Ready")) === "True");
  }
  /** Containers go on. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async condition(type: string): Promise<string | undefined> {
    const found = (await this.#options.client.list(nodes)).items.find(
      ({ metadata }) => metadata.name === this.#options.name,
    );
    return found?.status?.conditions?.find((condition) => condition.type === type)?.status;
  }

  create(name: string, container: Container, spec: Partial<PodSpec> = {}): Promise<Pod> {
    const { client, name: nodeName } = this.#options;
    return client.create(pods, podOf(name, nodeName, { containers: [container], ...spec }));
  }
  wait(name: string, condition: (pod: Pod) => boolean, timeoutMs?: number): Promise<Pod> {
    return waitForPod(this.#options.client, name, condition, timeoutMs);
  }
  /** Deletes the pod and waits until its object is gone. */
  async delete(name: string): Promise<void> {
    const { client } = this.#options;
    await client.delete(pods, { namespace: "default", name });
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

  async eventually(what: string, probe: () => Promise<boolean>, timeoutMs = 60_000): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (!(await probe())) {
      if (performance.now() > end) throw new Error(`did not come true: ${what}`);
      await delay(50);
    }
  }

  /** What the kubelet's server answers. */
  async get(path: string): Promise<{ status: number; body: string }> {
    const node = (await this.#options.client.list(nodes)).items.find(
      ({ metadata }) => metadata.name === this.#options.name,
    );
    const port = node?.status?.daemonEndpoints?.kubeletEndpoint?.Port;
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
