/** What eviction looks at: how much of each resource the node has left. */
import { readFile } from "node:fs/promises";
import { parseQuantity } from "#pkg/apimachinery/index.ts";
import { fileSystemStats } from "../stats/file-system.ts";
import type { EvictedResource } from "./rank.ts";

/** What thresholds can be set on. */
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
const SIGNALS: readonly string[] = [
  "memory.available",
  "nodefs.available",
  "nodefs.inodesFree",
  "imagefs.available",
  "imagefs.inodesFree",
  "containerfs.available",
  "containerfs.inodesFree",
  "pid.available",
] satisfies SignalName[];

/** How much there is left of how much, in bytes, inodes or processes. */
export interface Observation {
  readonly available: number;
  readonly capacity: number;
}

/** What is known of each signal; absent where it could not be read. */
export type Observations = ReadonlyMap<SignalName, Observation>;
/** Absolute, or a share of the capacity in percent. */
type Amount = { readonly quantity: number } | { readonly percent: number };

/** Below which amount of what the node is under pressure. */
export interface Threshold {
  readonly signal: SignalName;
  readonly value: Amount;
  /** Once crossed, this much more must be free again before the threshold counts as left. */
  readonly minReclaim: Amount;
  readonly graceSeconds: number;
  readonly hard: boolean;
}

/** Thresholds as a KubeletConfiguration writes them, by signal. */
export interface ThresholdConfig {
  readonly hard: Readonly<Record<string, string>>;
  readonly soft: Readonly<Record<string, string>>;
  readonly softGraceSeconds: Readonly<Record<string, number>>;
  readonly minimumReclaim: Readonly<Record<string, string>>;
}

function parseAmount(signal: string, text: string): Amount {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1];
  if (percent === undefined) return { quantity: parseQuantity(text).toNumber() };
  if (Number(percent) > 100) throw new Error(`eviction percentage threshold ${signal} must be <= 100%: ${text}`);
  return { percent: Number(percent) };
}

/** @throws Error that names the entry which cannot be followed. */
export function parseThresholds(config: ThresholdConfig): Threshold[] {
  const reclaim = Object.entries(config.minimumReclaim).map(
    ([signal, text]) => [signal, parseAmount(signal, text)] as const,
  );
  const minReclaim = new Map<string, Amount>(reclaim);
  const parse = (entries: Readonly<Record<string, string>>, hard: boolean) =>
    Object.entries(entries).flatMap(([signal, text]): Threshold[] => {
      if (!SIGNALS.includes(signal)) throw new Error(`unknown eviction signal ${signal}`);
      const value = parseAmount(signal, text);
      // Zero switches a threshold off.
      if (("percent" in value ? value.percent : value.quantity) === 0) return [];
      const graceSeconds = hard ? 0 : config.softGraceSeconds[signal];
      if (graceSeconds === undefined)
        throw new Error(`grace period must be specified for the soft eviction threshold ${signal}`);
      const rest = { value, minReclaim: minReclaim.get(signal) ?? { quantity: 0 }, graceSeconds, hard };
      return [{ signal: signal as SignalName, ...rest }];
    });
  const hard = parse(config.hard, true);
  // What holds for the machine's memory holds for the share of it that pods together may have.
  const allocatable = hard
    .filter(({ signal }) => signal === "memory.available")
    .map((threshold): Threshold => ({ ...threshold, signal: "allocatableMemory.available" }));
  return [...hard, ...allocatable, ...parse(config.soft, false)];
}

function amountOf(amount: Amount, capacity: number): number {
  return "quantity" in amount ? amount.quantity : (capacity * amount.percent) / 100;
}

/** The threshold as an amount, where the capacity is so large. */
export function limitOf({ value }: Threshold, capacity: number): number {
  return amountOf(value, capacity);
}
/** Thresholds crossed right now; one that was crossed before stays so until its minimum has been reclaimed. Pure. */
export function crossed(
  thresholds: readonly Threshold[],
  before: ReadonlySet<Threshold>,
  observations: Observations,
): Threshold[] {
  return thresholds.filter((threshold) => {
    const seen = observations.get(threshold.signal);
    if (seen === undefined) return false;
    const reclaim = before.has(threshold) ? amountOf(threshold.minReclaim, seen.capacity) : 0;
    return seen.available < limitOf(threshold, seen.capacity) + reclaim;
  });
}

/** How much may go until the first of the thresholds is crossed; endless without any. Pure. */
export function headroom(thresholds: readonly Threshold[], observations: Observations): number {
  const left = thresholds.map((threshold) => {
    const seen = observations.get(threshold.signal);
    return seen === undefined ? Infinity : seen.available - limitOf(threshold, seen.capacity);
  });
  return Math.min(Infinity, ...left);
}

/** Pressure conditions by signal. */
export function conditionOf(signal: SignalName): "memory" | "disk" | "pid" {
  if (signal.includes("emory")) return "memory";
  return signal === "pid.available" ? "pid" : "disk";
}

/** What runs out when this signal is low. */
export function resourceOf(signal: SignalName): EvictedResource {
  if (signal.includes("emory")) return "memory";
  if (signal === "pid.available") return "pids";
  return signal.endsWith("inodesFree") ? "inodes" : "ephemeral-storage";
}

/** The signals of memory alone, which take next to nothing to look at. */
export async function observeMemory(podsMemory: Observation | undefined): Promise<Map<SignalName, Observation>> {
  const result = new Map<SignalName, Observation>();
  const meminfo = await readFile("/proc/meminfo", "utf8");
  const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0) * 1024;
  const memory = { available: bytes("MemAvailable"), capacity: bytes("MemTotal") };
  result.set("memory.available", memory);
  if (podsMemory !== undefined) result.set("allocatableMemory.available", podsMemory);
  return result;
}

export async function observe(
  rootDirectory: string,
  imageDirectory: string | undefined,
  pidMax: number,
  podsMemory: Observation | undefined,
): Promise<Observations> {
  const result = await observeMemory(podsMemory);
  const nodefs = await fileSystemStats(rootDirectory);
  const imagefs = imageDirectory === undefined ? nodefs : await fileSystemStats(imageDirectory);
  for (const [name, fs] of [
    ["nodefs", nodefs],
    ["imagefs", imagefs],
    ["containerfs", imagefs],
  ] as const) {
    if (fs === undefined) continue;
    result.set(`${name}.available`, { available: fs.availableBytes, capacity: fs.capacityBytes });
    // Some file systems (btrfs) have no fixed number of inodes and report none.
    if (fs.inodes > 0) result.set(`${name}.inodesFree`, { available: fs.inodesFree, capacity: fs.inodes });
  }
  const processes = Number((await readFile("/proc/loadavg", "utf8")).split(" ")[3]?.split("/")[1] ?? 0);
  result.set("pid.available", { available: pidMax - processes, capacity: pidMax });
  return result;
}
