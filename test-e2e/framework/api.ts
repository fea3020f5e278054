import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/**
 * Requests to a lab's API server as its administrator. They go through `kubectl proxy` on a unix socket, because the server
 * listens in a network namespace that this process is not in.
 */
export class Api {
  readonly #folder = mkdtempSync(join(tmpdir(), "kubits-e2e-"));
  readonly #proxy: ChildProcess;

  constructor({ lab }: TestCluster) {
    const [enter = "", ...args] = lab.master.enter;
    const proxy = [
      "kubectl",
      "--kubeconfig",
      lab.adminConf,
      "proxy",
      "--unix-socket",
      this.#socket,
      "--reject-paths=^$",
    ];
    this.#proxy = spawn(enter, [...args, ...proxy], { stdio: "ignore" });
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
}
