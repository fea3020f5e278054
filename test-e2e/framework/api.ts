import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { eventually, type TestCluster } from "./lab.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  /** The parsed body; throws where it is not JSON. */
  readonly json: KubeObject & { message?: string };
}
export interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: KubeObject;
}
export interface Watching {
  /** Those not asked for yet. */
  readonly events: readonly WatchEvent[];
  /** Waits for one; forgets those before it. */
  next(type: string, name: string, holds?: (object: KubeObject) => boolean): Promise<WatchEvent>;
  close(): void;
}

/**
 * Requests to a lab's API server as its administrator. They go through `kubectl proxy` on a unix socket, because the server
 * listens in a network namespace that this process is not in.
 */
export class Api {
  readonly #folder = mkdtempSync(join(tmpdir(), "kubits-e2e-"));
  readonly #proxy: ChildProcess;

  constructor(cluster: TestCluster) {
    const proxy = ["proxy", "--unix-socket", this.#socket, "--reject-paths=^$"];
    this.#proxy = cluster.spawn("kubectl", ["--kubeconfig", cluster.lab.adminConf, ...proxy], { stdio: "ignore" });
  }
  get #socket(): string {
    return join(this.#folder, "api.sock");
  }
  /** Resolves when requests can be made. */
  async ready(): Promise<this> {
    await eventually("the proxy answers", () => this.ask("/version"));
    return this;
  }
  async close(): Promise<void> {
    const gone = once(this.#proxy, "exit");
    if (this.#proxy.kill()) await gone;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** One request. The method is POST with a body and GET without, unless given. */
  ask(path: string, { method, body, headers }: Ask = {}): Promise<Answer> {
    const content = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body);
    const verb = method ?? (body === undefined ? "GET" : "POST");
    const type = verb === "PATCH" ? "application/merge-patch+json" : "application/json";
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        {
          socketPath: this.#socket,
          path,
          method: verb,
          headers: {
            accept: "application/json",
            ...(content === undefined ? {} : { "content-type": type }),
            ...headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
          incoming.on("error", reject);
          incoming.on("end", () => {
            const text = Buffer.concat(chunks).toString();
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              text,
              get json() {
                return JSON.parse(text) as Answer["json"];
              },
            });
          });
        },
      );
      outgoing.on("error", reject);
      outgoing.end(content);
    });
  }

  /**
   * Opens a WebSocket and collects its messages until the server closes it, or until `ended` says that they are all.
   * `send` goes out first.
   */
  messages(
    path: string,
    protocol: string,
    { send, ended }: { send?: Buffer; ended?: (messages: readonly Buffer[]) => boolean } = {},
  ): Promise<Buffer[]> {
    const socket = new WebSocket(`ws+unix://${this.#socket}:${path}`, [protocol]);
    const messages: Buffer[] = [];
    return new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => resolve(messages));
      socket.on("open", () => {
        if (send !== undefined) socket.send(send);
      });
      socket.on("message", (data: Buffer) => {
        messages.push(data);
        if (ended?.(messages) === true) socket.close();
      });
    });
  }

  /** Watches a collection; its events as they come. */
  watch(path: string): Watching {
    const events: WatchEvent[] = [];
    const outgoing = httpRequest(
      { socketPath: this.#socket, path, headers: { accept: "application/json" } },
      (incoming) => {
        let rest = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => {
          const lines = (rest + chunk).split("\n");
          rest = lines.pop()!;
          for (const line of lines) events.push(JSON.parse(line) as WatchEvent);
        });
      },
    );
    // Whoever waits for an event notices that none comes.
    outgoing.on("error", () => undefined).end();
    const next: Watching["next"] = (type, name, holds = () => true) =>
      eventually(`${type} of ${name}`, () => {
        const index = events.findIndex(
          (event) => event.type === type && event.object.metadata.name === name && holds(event.object),
        );
        return Promise.resolve(index < 0 ? undefined : events.splice(0, index + 1).at(-1));
      });
    return { events, next, close: () => void outgoing.destroy() };
  }
}
