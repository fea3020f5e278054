import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePort } from "./free-port.ts";

export interface Etcd {
  readonly endpoint: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts an empty etcd of the machine's (Debian package etcd-server) on loopback, with its own defaults. */
export async function startEtcd(): Promise<Etcd> {
  const dir = mkdtempSync(join(tmpdir(), "kubits-bench-etcd-"));
  const endpoint = `http://127.0.0.1:${await freePort()}`;
  const peer = `http://127.0.0.1:${await freePort()}`;
  const flags = [
    "--name=bench",
    `--data-dir=${dir}`,
    "--logger=zap",
    "--log-level=error",
    `--listen-client-urls=${endpoint}`,
    `--advertise-client-urls=${endpoint}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=bench=${peer}`,
  ];
  const child = spawn("etcd", flags, { stdio: ["ignore", "ignore", "inherit"] });
  const exited = new Promise<void>((resolve, reject) => {
    child.once("exit", () => resolve());
    child.once("error", reject);
  });
  const stop = async () => {
    child.kill("SIGTERM");
    await exited;
    rmSync(dir, { recursive: true, force: true });
  };
  const answers = async (): Promise<boolean> => {
    try {
      return (await fetch(`${endpoint}/health`)).ok;
    } catch {
      return false; // not there yet
    }
  };
  for (let attempt = 0; attempt < 400; attempt++) {
    await Promise.race([delay(25), exited]);
    if (child.exitCode !== null) throw new Error(`etcd ended with code ${child.exitCode}`);
    if (await answers()) return { endpoint, pid: child.pid!, stop };
  }
  await stop();
  throw new Error("etcd did not become healthy within 10 s");
}
