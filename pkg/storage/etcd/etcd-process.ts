import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Where Debian's etcd-server, or an archive unpacked by hand, puts the program. */
const PROGRAMS = ["/usr/bin/etcd", "/usr/local/bin/etcd"];

/** A free loopback port. Somebody else may take it before it is used; then starting etcd fails visibly. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  return address.port;
}

interface EtcdTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Health is served without TLS on a port of its own. */
  readonly healthPort: number;
}

/** A real etcd on loopback with its own data directory, for tests. */
export class EtcdProcess {
  readonly endpoint: string;
  readonly #directory: string;
  readonly #arguments: readonly string[];
  readonly #health: string;
  #child: ChildProcess | undefined;

  private constructor(clientPort: number, peerPort: number, tls: EtcdTls | undefined) {
    this.#directory = mkdtempSync(join(tmpdir(), "kubits-etcd-"));
    const plain = `http://127.0.0.1:${clientPort}`;
    this.endpoint = tls === undefined ? plain : plain.replace("http", "https");
    const peer = `http://127.0.0.1:${peerPort}`;
    // Short elections make short leases possible.
    const text = `--name test --data-dir ${join(this.#directory, "data")} --log-level error
      --listen-client-urls ${this.endpoint} --advertise-client-urls ${this.endpoint}
      --listen-peer-urls ${peer} --initial-advertise-peer-urls ${peer} --initial-cluster test=${peer}
      --heartbeat-interval 20 --election-timeout 200`;
    const security =
      tls === undefined
        ? ""
        : ` --client-cert-auth --trusted-ca-file ${tls.ca} --cert-file ${tls.cert} --key-file ${tls.key}
      --listen-metrics-urls http://127.0.0.1:${tls.healthPort}`;
    this.#health = tls === undefined ? plain : `http://127.0.0.1:${tls.healthPort}`;
    this.#arguments = `${text}${security}`.split(/\s+/);
  }
  /** `tls`: paths of PEM files; clients then need a certificate of that authority. */
  static async start(tls?: Omit<EtcdTls, "healthPort">): Promise<EtcdProcess> {
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const secured = tls === undefined ? undefined : { ...tls, healthPort: ports[2] };
    const started = new EtcdProcess(ports[0], ports[1], secured);
    await started.resume();
    return started;
  }
  /** Starts it again on the same data. */
  async resume(): Promise<void> {
    const program = PROGRAMS.find((path) => existsSync(path));
    if (program === undefined) throw new Error("etcd is not installed (Debian package etcd-server)");
    const child = spawn(program, this.#arguments, { stdio: "ignore" });
    this.#child = child;
    for (let attempt = 0; attempt < 200; attempt++) {
      if (child.exitCode !== null) throw new Error(`etcd exited with ${child.exitCode}`);
      const healthy = await fetch(`${this.#health}/health`).then(
        (response) => response.ok,
        () => false, // Not listening yet.
      );
      if (healthy) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("etcd did not become healthy");
  }
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true });
  }
}
