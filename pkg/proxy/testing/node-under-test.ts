import type { AnyObject } from "#pkg/apimachinery/index.ts";
import { type Clock, type CommandRunner, type Logger, sleep } from "#pkg/util/index.ts";
import {
  type Family,
  type Proxier,
  type ProxyConfig,
  type ProxyMode,
  ServiceProxy,
  cleanupModes,
  createProxier,
} from "../index.ts";
import { ManualInformers } from "./informers.ts";

export interface ProxyOptions {
  readonly mode: ProxyMode;
  readonly nodeName: string;
  readonly clusterCIDRs: Partial<Record<Family, string>>;
  readonly config?: Partial<ProxyConfig>;
  readonly nodeIPs: Partial<Record<Family, string>>;
  readonly checkMs?: number;
  readonly healthzPort?: number;
  readonly metricsPort?: number;
}

function stderrLogger(fields: object = {}): Logger {
  const write = (level: string) => (more: object, message: string) =>
    process.stderr.write(
      `${level} ${message} ${JSON.stringify({ ...fields, ...more, err: String((more as { err?: unknown }).err ?? "") })}\n`,
    );
  return {
    debug: () => undefined,
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    child: stderrLogger,
  };
}

/** A service proxy fed by hand, in the network namespace of this process. */
export class NodeUnderTest {
  readonly #runner: CommandRunner;
  readonly #clock: Clock;
  #syncing = 0;
  #informers = new ManualInformers();
  #running: { readonly stop: AbortController; readonly done: Promise<void> } | undefined;

  constructor(runner: CommandRunner, clock: Clock) {
    this.#runner = runner;
    this.#clock = clock;
  }

  async start(options: ProxyOptions): Promise<void> {
    await this.stop();
    const stop = new AbortController();
    const log = stderrLogger();
    const proxiers = new Map<Family, Proxier>();
    for (const [family, clusterCIDR] of Object.entries(options.clusterCIDRs) as Array<[Family, string]>) {
      const config = {
        clusterCIDR,
        masqueradeAll: false,
        nodePortAddresses: [],
        localhostNodePorts: true,
        nodeIP: options.nodeIPs[family] ?? "",
        ...options.config,
      };
      const deps = { family, config, runner: this.#runner, clock: this.#clock, log };
      proxiers.set(family, this.#counting(createProxier(options.mode, deps)));
    }
    const proxy = new ServiceProxy({
      informers: this.#informers,
      nodeName: options.nodeName,
      clock: this.#clock,
      runner: this.#runner,
      log,
      proxiers,
      batchMs: 5,
      checkMs: options.checkMs ?? 1000,
      ...(options.healthzPort === undefined ? {} : { healthz: { address: "127.0.0.1", port: options.healthzPort } }),
      ...(options.metricsPort === undefined ? {} : { metrics: { address: "127.0.0.1", port: options.metricsPort } }),
    });
    this.#running = { stop, done: proxy.run(stop.signal) };
  }

  /** The proxier, its running syncs counted. */
  #counting(proxier: Proxier): Proxier {
    const sync = proxier.sync.bind(proxier);
    proxier.sync = async (...args) => {
      this.#syncing++;
      try {
        return await sync(...args);
      } finally {
        this.#syncing--;
      }
    };
    return proxier;
  }

  /** Changes an object and waits until the proxy has had time to write it. */
  async set(kind: string, object: unknown): Promise<void> {
    this.#informers.set(kind, object as AnyObject);
    await this.#settled();
  }

  async delete(kind: string, object: unknown): Promise<void> {
    this.#informers.delete(kind, object as AnyObject);
    await this.#settled();
  }

  async #settled(): Promise<void> {
    if (this.#running === undefined) return;
    do await sleep(this.#clock, 15);
    while (this.#syncing > 0);
  }

  async cleanup(mode: string): Promise<void> {
    const deps = { runner: this.#runner, clock: this.#clock, log: stderrLogger() };
    await cleanupModes(deps, new AbortController().signal, mode === "" ? undefined : (mode as ProxyMode));
  }

  /** Stops the proxy and forgets all objects. Rules stay, as they do in earnest. */
  async stop(): Promise<void> {
    this.#running?.stop.abort();
    await this.#running?.done;
    this.#running = undefined;
    this.#informers = new ManualInformers();
  }
}
