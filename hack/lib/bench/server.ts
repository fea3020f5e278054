import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { RealClock, processStat } from "#pkg/util/index.ts";
import { program } from "../cluster.ts";
import { type Connection, connectTo } from "./connection.ts";
import { startEtcd } from "./etcd.ts";
import { freePort } from "./free-port.ts";

export interface BenchServer {
  readonly client: Client;
  readonly pid: number;
  /** A further connection, as the same user. */
  connect(): Promise<Connection>;
  /** CPU seconds that the process has used so far; etcd's are counted, too, where it is the store. */
  cpuSeconds(): number;
  /** Proportional set size in MiB, with etcd's. */
  memoryMiB(): number;
  /** Milliseconds from start to the first answer of /readyz. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

/** CPU seconds that the process and the commands it has run have used so far. */
export function cpuSecondsOf(pid: number): number {
  const stat = processStat(pid);
  if (stat === undefined) throw new Error(`process ${pid} has ended`);
  return stat.cpuSeconds + stat.childrenCpuSeconds;
}

/** Proportional set size in MiB. */
export function memoryMiBOf(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))![1]) / 1024;
}

export interface ServerOptions {
  readonly components: string;
  readonly store?: string;
  readonly flags?: readonly string[];
}

/** Starts kubits-master on an empty store of its own: "sqlite", or an etcd that is started for it. */
export async function startServer({
  components,
  store = "sqlite",
  flags: more = [],
}: ServerOptions): Promise<BenchServer> {
  const etcd = store === "etcd" ? await startEtcd() : undefined;
  const dir = mkdtempSync(join(tmpdir(), "kubits-bench-"));
  const port = await freePort();
  const kubeconfig = join(dir, "admin.conf");
  const flags = [
    `--data-dir=${join(dir, "store")}`,
    `--cert-dir=${join(dir, "pki")}`,
    `--admin-kubeconfig=${kubeconfig}`,
    "--advertise-address=127.0.0.1",
    `--secure-port=${port}`,
    `--components=${components}`,
    ...(etcd === undefined ? [] : [`--etcd-servers=${etcd.endpoint}`]),
    ...more,
  ];
  // Keys are made once, before the clock runs: a cluster starts with keys every time but the first.
  const [file, ...args] = program("kubits-master");
  const launch = () => spawn(file!, [...args, ...flags], { stdio: "ignore" });
  const warm = launch();
  await ready(kubeconfig);
  await ended(warm);
  const begun = performance.now();
  const child = launch();
  const client = await ready(kubeconfig);
  return {
    client: client.client,
    pid: child.pid!,
    connect: async () => {
      const { server, ca, cert, key } = await loadKubeconfig(kubeconfig);
      return connectTo(server, { ca, cert, key });
    },
    readyMs: performance.now() - begun,
    cpuSeconds: () => cpuSecondsOf(child.pid!) + (etcd === undefined ? 0 : cpuSecondsOf(etcd.pid)),
    memoryMiB: () => memoryMiBOf(child.pid!) + (etcd === undefined ? 0 : memoryMiBOf(etcd.pid)),
    stop: async () => {
      client.close();
      await ended(child);
      await etcd?.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function ended(child: ReturnType<typeof spawn>): Promise<void> {
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  await exit;
}

async function ready(kubeconfig: string): Promise<{ client: Client; close(): void }> {
  const clock = new RealClock();
  for (let attempt = 0; attempt < 600; attempt++) {
    try {
      const transport = http2Transport({ ...(await loadKubeconfig(kubeconfig)), clock });
      const client = createClient(transport, { userAgent: "kubits-bench", clock });
      try {
        await client.raw("GET", "/api/v1/namespaces/default");
        return { client, close: () => transport.close() };
      } catch (error) {
        transport.close();
        throw error;
      }
    } catch {
      await delay(25); // not there yet
    }
  }
  throw new Error("kubits-master did not become ready within 15 s");
}
