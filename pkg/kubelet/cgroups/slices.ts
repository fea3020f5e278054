/**
 * Cgroups as slices that systemd makes for us: transient units, which live in memory, so that neither a change nor an end has
 * systemd read all its units anew. Such a reload would undo what runtimes have written beside it (memory.oom.group).
 */
import { basename, dirname } from "node:path";
import { CommandError } from "#pkg/util/index.ts";
import type { CommandRunner } from "#pkg/util/index.ts";
import { type CgroupLimits, weightOf } from "./limits.ts";

const MANAGER = ["org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"];
/** What systemd takes for "no limit". */
const INFINITY = String(2n ** 64n - 1n);
/** systemd keeps quotas as whole percents of a CPU, and would round down. */
const QUOTA_STEP_US = 10_000;
/** A quota of ours is per 100 ms, one of systemd's per second. */
const PERIODS_PER_SECOND = 10;

/** Name, type and value, as busctl wants a property. */
type Property = readonly [name: string, type: string, ...value: string[]];

const ACCOUNTING: readonly Property[] = ["CPUAccounting", "MemoryAccounting", "IOAccounting", "TasksAccounting"].map(
  (name) => [name, "b", "true"],
);

/** The properties that give a slice its limits. Pure. */
export function limitProperties(version: 1 | 2, limits: CgroupLimits): Property[] {
  const { cpuShares, cpuQuota, memoryLimit, pidsLimit } = limits;
  const properties: Property[] = [];
  const bounded = (name: string, value: number | undefined) => {
    if (value !== undefined) properties.push([name, "t", value > 0 ? String(value) : INFINITY]);
  };
  if (cpuShares !== undefined)
    properties.push(
      version === 2 ? ["CPUWeight", "t", String(weightOf(cpuShares))] : ["CPUShares", "t", `${cpuShares}`],
    );
  const perSecond = cpuQuota === undefined ? undefined : cpuQuota * PERIODS_PER_SECOND;
  bounded("CPUQuotaPerSecUSec", perSecond && Math.ceil(perSecond / QUOTA_STEP_US) * QUOTA_STEP_US);
  bounded(version === 2 ? "MemoryMax" : "MemoryLimit", memoryLimit);
  bounded("TasksMax", pidsLimit);
  return properties;
}

export class Slices {
  readonly #commands: CommandRunner;
  readonly #version: 1 | 2;

  constructor(commands: CommandRunner, version: 1 | 2) {
    this.#commands = commands;
    this.#version = version;
  }

  /** `path` is that of the cgroup, whose last part is the slice's name. Changes the slice if it `exists`, or else starts it. */
  async apply(path: string, limits: CgroupLimits, exists: boolean): Promise<void> {
    const properties = limitProperties(this.#version, limits);
    if (!exists && (await this.#start(path, properties))) return;
    await this.#call("SetUnitProperties", "sba(sv)", [basename(path), "true", ...listed(properties)]);
  }

  /** False when there is such a slice already. */
  async #start(path: string, limits: readonly Property[]): Promise<boolean> {
    const parent = basename(dirname(path));
    const properties: Property[] = [
      ["Description", "s", `Kubernetes pods: ${basename(path)}`],
      ...(parent === "" ? [] : ([["Wants", "as", "1", parent]] as const)),
      // Pods end before systemd takes their slices when the machine stops.
      ["DefaultDependencies", "b", "false"],
      ...ACCOUNTING,
      ...limits,
    ];
    try {
      // The last word: no further units that go with it.
      await this.#call("StartTransientUnit", "ssa(sv)a(sa(sv))", [
        basename(path),
        "replace",
        ...listed(properties),
        "0",
      ]);
      return true;
    } catch (error) {
      if (error instanceof CommandError && /already (loaded|exists)/.test(error.result.stderr)) return false;
      throw error;
    }
  }

  /** Ends every process in it, waits for that, and forgets it. */
  async stop(path: string): Promise<void> {
    await this.#commands.run("systemctl", ["stop", basename(path)], { allowFailure: true, timeoutMs: 120_000 });
  }

  #call(method: string, signature: string, args: readonly string[]) {
    return this.#commands.run("busctl", ["--quiet", "call", ...MANAGER, method, signature, ...args]);
  }
}

/** A list as busctl takes it: how many there are comes first. */
function listed(properties: readonly Property[]): string[] {
  return [String(properties.length), ...properties.flat()];
}
