import { createHash } from "node:crypto";
import { type Clock, type Logger, pause } from "#pkg/util/index.ts";

export interface ReloaderDeps {
  /** Of the metrics: "authentication_config_controller". */
  readonly subsystem: string;
  /** Tells the servers of a cluster apart in metrics. */
  readonly serverId: string;
  readonly read: () => Promise<string>;
  /** Takes a new text over. @throws Error saying what is wrong with it: what was in force stays so. */
  readonly apply: (text: string) => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Between looks at the file; default a second. */
  readonly intervalMs?: number;
}

type Status = "success" | "failure";
const hashOf = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`;

/**
 * Follows a configuration file. It is read again and again rather than watched: a file that is a link into a folder that
 * is exchanged (a mounted ConfigMap) changes without an event of its own.
 */
export class Reloader {
  readonly #deps: ReloaderDeps;
  readonly #serverHash: string;
  readonly #counts = new Map<Status, number>();
  readonly #times = new Map<Status, number>();
  /** What was looked at last, readable or not: nothing is tried twice. */
  #seen: string;
  #inForce: string;

  /** `text` is what is in force. */
  constructor(deps: ReloaderDeps, text: string) {
    this.#deps = deps;
    this.#serverHash = hashOf(deps.serverId);
    this.#seen = text;
    this.#inForce = hashOf(text);
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, intervalMs = 1000 } = this.#deps;
    while (!signal.aborted) {
      await pause(clock, intervalMs, signal);
      if (!signal.aborted) await this.check();
    }
  }

  /** One look at the file. */
  async check(): Promise<void> {
    const { read, apply, log, subsystem } = this.#deps;
    let seen: string;
    let problem: unknown;
    try {
      seen = await read();
    } catch (error) {
      problem = error;
      seen = String(error);
    }
    if (seen === this.#seen) return;
    this.#seen = seen;
    try {
      if (problem !== undefined) throw problem;
      await apply(seen);
      this.#inForce = hashOf(seen);
      this.#note("success");
      log.info({ subsystem, hash: this.#inForce }, "Reloaded configuration");
    } catch (err) {
      this.#note("failure");
      log.error({ subsystem, err }, "Configuration could not be reloaded; the last good one stays in force");
    }
  }

  /** Prometheus text. */
  metrics(): string {
    const prefix = `apiserver_${this.#deps.subsystem}_`;
    const server = `apiserver_id_hash="${this.#serverHash}"`;
    const byStatus = (name: string, values: ReadonlyMap<Status, number>): string[] =>
      Array.from(values, ([status, value]) => `${prefix}${name}{${server},status="${status}"} ${value}`);
    const head = (name: string, type: string, help: string): string[] => [
      `# HELP ${prefix}${name} ${help}`,
      `# TYPE ${prefix}${name} ${type}`,
    ];
    const lines = [
      ...head("automatic_reloads_total", "counter", "Reloads of the configuration file."),
      ...byStatus("automatic_reloads_total", this.#counts),
      ...head("automatic_reload_last_timestamp_seconds", "gauge", "When the file was last reloaded."),
      ...byStatus("automatic_reload_last_timestamp_seconds", this.#times),
      ...head("last_config_info", "gauge", "The configuration in force."),
      `${prefix}last_config_info{${server},hash="${this.#inForce}"} 1`,
    ];
    return `${lines.join("\n")}\n`;
  }

  #note(status: Status): void {
    this.#counts.set(status, (this.#counts.get(status) ?? 0) + 1);
    this.#times.set(status, this.#deps.clock.now() / 1000);
  }
}
