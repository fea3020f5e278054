/** What eviction looks at: how much of each resource the node has left. */
import { readFile, statfs } from "node:fs/promises";
import { parseQuantity } from "#pkg/apimachinery/index.ts";

export type SignalName =
  | "memory.available"
  | "nodefs.available"
  | "nodefs.inodesFree"
  | "imagefs.available"
  | "imagefs.inodesFree"
  | "containerfs.available"
  | "containerfs.inodesFree"
  | "allocatableMemory.available"
  | "pid.available";
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}
export type Observations = ReadonlyMap<SignalName, Observation>;
export interface Threshold {
  readonly signal: SignalName;
  /** Absolute, or a share of the capacity in percent. */
  readonly value: { readonly quantity: number } | { readonly percent: number };
  readonly graceSeconds: number;
  readonly hard: boolean;
}

export function parseThresholds(
  hard: Readonly<Record<string, string>>,
  soft: Readonly<Record<string, string>>,
  softGrace: Readonly<Record<string, number>>,
): Threshold[] {
  const parse = (entries: Readonly<Record<string, string>>, isHard: boolean) =>
    Object.entries(entries).map(([signal, text]): Threshold => ({
      signal: signal as SignalName,
      value: text.endsWith("%") ? { percent: Number(text.slice(0, -1)) } : { quantity: parseQuantity(text).toNumber() },
      graceSeconds: isHard ? 0 : (softGrace[signal] ?? 0),
      hard: isHard,
    }));
  return [...parse(hard, true), ...parse(soft, false)];
}

export function limitOf({ value }: Threshold, capacity: number): number {
  return "quantity" in value ? value.quantity : (capacity * value.percent) / 100;
}

/** Pressure conditions by signal. */
export function conditionOf(signal: SignalName): "memory" | "disk" | "pid" {
  if (signal.includes("emory")) return "memory";
  return signal === "pid.available" ? "pid" : "disk";
}
export function resourceOf(signal: SignalName): string {
  if (signal.includes("emory")) return "memory";
  if (signal === "pid.available") return "pids";
  return signal.endsWith("inodesFree") ? "inodes" : "ephemeral-storage";
}

async function fileSystem(path: string): Promise<{ bytes: Observation; inodes: Observation } | undefined> {
  try {
    const info = await statfs(path);
    return {
      bytes: { available: info.bavail * info.bsize, capacity: info.blocks * info.bsize },
      inodes: { available: info.ffree, capacity: info.files },
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

export async function observe(
  rootDirectory: string,
  imageDirectory: string | undefined,
  pidMax: number,
): Promise<Observations> {
  const result = new Map<SignalName, Observation>();
  const meminfo = await readFile("/proc/meminfo", "utf8");
  const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
  const memory = { available: bytes("MemAvailable"), capacity: bytes("MemTotal") };
  result.set("memory.available", memory);
  const nodefs = await fileSystem(rootDirectory);
  const imagefs = imageDirectory === undefined ? nodefs : await fileSystem(imageDirectory);
  for (const [name, fs] of [
    ["nodefs", nodefs],
    ["imagefs", imagefs],
    ["containerfs", imagefs],
  ] as const) {
    if (fs === undefined) continue;
    result.set(`${name}.available`, fs.bytes);
    // Some file systems (btrfs) have no fixed number of inodes and report none.
    if (fs.inodes.capacity > 0) result.set(`${name}.inodesFree`, fs.inodes);
  }
  const processes = Number((await readFile("/proc/loadavg", "utf8")).split(" ")[3]?.split("/")[1] ?? 0);
  result.set("pid.available", { available: pidMax - processes, capacity: pidMax });
  return result;
}
