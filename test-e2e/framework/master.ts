import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type RequestOptions, request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadKubeconfig } from "#pkg/client/index.ts";
import { startMaster } from "../../hack/lib/cluster.ts";
import { Daemons } from "../../hack/lib/daemons.ts";
import { type Layout, layoutOf } from "../../hack/lib/layout.ts";

export interface Reply {
  readonly status: number;
  readonly text: string;
  readonly json: Record<string, unknown>;
}
export interface Asking {
  readonly method?: string;
  readonly body?: object;
  readonly token?: string;
  readonly headers?: Record<string, string>;
  /** A client certificate instead of the administrator's, or none at all. */
  readonly client?: { readonly cert: string; readonly key: string } | "nobody";
}

/** An API server of one's own on the loopback interface: a real kubits-master with the flags under test. */
export class TestMaster {
  readonly folder = mkdtempSync(join(tmpdir(), "kubits-master-"));
  readonly #layout: Layout = layoutOf(this.folder);
  readonly #daemons = new Daemons({ runDir: this.#layout.runDir, logDir: this.#layout.logDir });
  port = 0;
  #admin: { cert: string; key: string } | undefined;

  /** Writes a file that a flag names. Answers its path. */
  file(name: string, content: string | object): string {
    const path = join(this.folder, name);
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content), { mode: 0o600 });
    return path;
  }
  get ca(): string {
    return readFileSync(join(this.#layout.pkiDir, "ca.crt"), "utf8");
  }

  get pkiDir(): string {
    return this.#layout.pkiDir;
  }
  /** The administrator's kubeconfig. */
  get adminConf(): string {
    return this.#layout.adminConf;
  }

  async start(...flags: string[]): Promise<this> {
    this.port = await freePort();
    const alone = ["--bind-address=127.0.0.1", "--components=apiserver", "--addons=none"];
    const options = { address: "127.0.0.1", port: this.port, extraArgs: [...alone, ...flags] };
    await startMaster(this.#layout, this.#daemons, options);
    const { cert = "", key = "" } = await loadKubeconfig(this.#layout.adminConf);
    this.#admin = { cert, key };
    return this;
  }
  async stop(): Promise<void> {
    await this.#daemons.stop("kubits-master");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** One request on a connection of its own. Whoever brings a token brings no certificate. */
  ask(path: string, { method, body, token, headers, client }: Asking = {}): Promise<Reply> {
    const identity = token !== undefined || client === "nobody" ? {} : (client ?? this.#admin);
    const options: RequestOptions = {
      host: "127.0.0.1",
      port: this.port,
      path,
      method: method ?? (body === undefined ? "GET" : "POST"),
      ca: this.ca,
      agent: false,
      ...identity,
      headers: {
        accept: "application/json",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...headers,
      },
    };
    return new Promise((resolve, reject) => {
      const outgoing = request(options, (incoming) => {
        let text = "";
        incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        incoming.on("error", reject);
        incoming.on("end", () =>
          resolve({
            status: incoming.statusCode ?? 0,
            text,
            get json() {
              return JSON.parse(text) as Record<string, unknown>;
            },
          }),
        );
      });
      outgoing.on("error", reject);
      outgoing.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
