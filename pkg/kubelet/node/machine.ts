/** Facts about the machine, read from /proc and /sys. */
import { existsSync } from "node:fs";
import { readFile, readdir } from "node:fs/promises";
import { arch, cpus, networkInterfaces, release, totalmem } from "node:os";
import { createHash } from "node:crypto";

/** What stays the same of a machine while it runs. */
export interface MachineFacts {
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly swapBytes: number;
  /** Pages by size in bytes: how many are reserved. */
  readonly hugepages: ReadonlyMap<number, number>;
  readonly machineID: string;
  readonly systemUUID: string;
  readonly bootID: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** Go's name: amd64, arm64. */
  readonly architecture: string;
  readonly pidMax: number;
  /** Whether the kernel enforces AppArmor profiles. */
  readonly appArmor: boolean;
  /** Whether it labels processes and files by SELinux, with a policy loaded. */
  readonly selinux: boolean;
}

async function readOptional(path: string): Promise<string> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if (["ENOENT", "EACCES", "EPERM", "EISDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
}

async function firstOf(...paths: string[]): Promise<string> {
  for (const path of paths) {
    const text = await readOptional(path);
    if (text !== "") return text;
  }
  return "";
}

async function hugepages(): Promise<Map<number, number>> {
  const root = "/sys/kernel/mm/hugepages";
  const result = new Map<number, number>();
  let names: string[];
  try {
    names = await readdir(root);
  } catch {
    return result; // the kernel has no hugepages
  }
  for (const name of names) {
    const size = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1] ?? Number.NaN) * 1024;
    if (Number.isFinite(size)) result.set(size, Number(await readOptional(`${root}/${name}/nr_hugepages`)) || 0);
  }
  return result;
}

function goArchitecture(name: string): string {
  return { x64: "amd64", ia32: "386", arm64: "arm64", arm: "arm", ppc64: "ppc64le", s390x: "s390x" }[name] ?? name;
}

/** Reads the facts from /proc and /etc. */
export async function readMachine(hostname: string): Promise<MachineFacts> {
  const osRelease = await firstOf("/etc/os-release", "/usr/lib/os-release");
  const meminfo = await readOptional("/proc/meminfo");
  const kilobytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(meminfo)?.[1] ?? 0);
  const machineID = await firstOf("/etc/machine-id", "/var/lib/dbus/machine-id");
  return {
    cpuCount: Math.max(1, cpus().length),
    memoryBytes: totalmem(),
    swapBytes: kilobytes("SwapTotal") * 1024,
    hugepages: await hugepages(),
    // A machine without an id still needs one that stays the same.
    machineID: machineID === "" ? createHash("sha256").update(hostname).digest("hex").slice(0, 32) : machineID,
    systemUUID: await firstOf("/sys/class/dmi/id/product_uuid", "/etc/machine-id"),
    bootID: await firstOf("/proc/sys/kernel/random/boot_id"),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux",
    architecture: goArchitecture(arch()),
    // Without its file system no profile can be loaded or looked up.
    appArmor:
      existsSync("/sys/kernel/security/apparmor") &&
      (await readOptional("/sys/module/apparmor/parameters/enabled")).startsWith("Y"),
    // Until a policy is loaded everything is the kernel's.
    selinux:
      existsSync("/sys/fs/selinux/enforce") &&
      (await readOptional("/proc/self/attr/current")).replaceAll("\0", "").trim() !== "kernel",
    pidMax: Number(await readOptional("/proc/sys/kernel/pid_max")) || 32_768,
  };
}

/** The address other nodes reach this one by: that of the interface with the default route. */
export async function defaultAddresses(): Promise<string[]> {
  const routes = await readOptional("/proc/net/route");
  const interfaceName = routes
    .split("\n")
    .map((line) => line.split("\t"))
    .find((fields) => fields[1] === "00000000" && fields[7] === "00000000")?.[0];
  const all = networkInterfaces();
  const usable = (name: string) =>
    (all[name] ?? []).filter(({ internal, address }) => !internal && !address.startsWith("fe80"));
  const preferred = interfaceName === undefined ? [] : usable(interfaceName);
  const candidates = preferred.length > 0 ? preferred : Object.keys(all).flatMap(usable);
  const v4 = candidates.find(({ family }) => family === "IPv4")?.address;
  const v6 = candidates.find(({ family }) => family === "IPv6")?.address;
  return [v4, v4 === undefined ? v6 : undefined].filter((address) => address !== undefined);
}

/** Whether this process may lower oom_score_adj: without CAP_SYS_RESOURCE (bit 24) it may not go below its own. */
export async function minimumOomScoreAdj(): Promise<number> {
  const status = await readOptional("/proc/self/status");
  const effective = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  if ((effective >> 24n) & 1n) return -1000;
  return Number(await readOptional("/proc/self/oom_score_adj")) || 0;
}

/** Processes that the kernel has killed for want of memory, of a cgroup or of the machine, since it started. */
export async function outOfMemoryKills(): Promise<number> {
  return Number(/^oom_kill (\d+)$/m.exec(await readOptional("/proc/vmstat"))?.[1] ?? 0);
}
