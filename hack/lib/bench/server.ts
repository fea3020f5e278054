import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Client, createClient, http2Transport, loadKubeconfig } from "#pkg/client/index.ts";
import { RealClock } from "#pkg/util/index.ts";
import { program } from "../cluster.ts";
import { type Connection, connectTo } from "./connection.ts";

/** USER_HZ of Linux on every architecture that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface BenchServer {
  readonly client: Client;
  readonly pid: number;
  /** A further connection, as the same user. */
  connect(): Promise<Connection>;
  /** CPU seconds that the process has used so far. */
  cpuSeconds(): number;
  /** Proportional set size in MiB. */
  memoryMiB(): number;
  /** Milliseconds from start to the first answer of /readyz. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

export function cpuSecondsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Proportional set size in MiB. */
export function memoryMiBOf(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))![1]) / 1024;
}

/** Starts kubits-master on an empty store of its own. */
export async function startServer(components: string, ...more: readonly string[]): Promise<BenchServer> {
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
    cpuSeconds: () => cpuSecondsOf(child.pid!),
    memoryMiB: () => memoryMiBOf(child.pid!),
    stop: async () => {
      client.close();
      await ended(child);
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
