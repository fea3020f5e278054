/** How much tasks wait for what they are short of, as the kernel counts it on cgroup v2 (Documentation/accounting/psi.rst). */
import type { CgroupManager } from "../cgroups/manager.ts";

/** How much time was lost to waiting (Documentation/accounting/psi.rst of the kernel). */
export interface PressureData {
  /** Microseconds. */
  readonly total: number;
  /** Percent of the last 10, 60 and 300 seconds. */
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
}

/** How much tasks wait for one thing. */
export interface Pressure {
  /** All tasks wait at once. */
  readonly full: PressureData;
  /** At least one does. */
  readonly some: PressureData;
}

/** How much tasks wait for each thing. */
export interface Pressures {
  readonly cpu: Pressure;
  readonly memory: Pressure;
  readonly io: Pressure;
}

const NONE: PressureData = { total: 0, avg10: 0, avg60: 0, avg300: 0 };

/** Of a file such as cpu.pressure; undefined where it says nothing. Pure. */
export function parsePressure(text: string | undefined): Pressure | undefined {
  const of = (kind: "full" | "some"): PressureData | undefined => {
    const line = new RegExp(`^${kind} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`, "m");
    const [, avg10, avg60, avg300, total] = line.exec(text ?? "")?.map(Number) ?? [];
    return total === undefined ? undefined : { total, avg10: avg10!, avg60: avg60!, avg300: avg300! };
  };
  const some = of("some");
  // A machine as a whole never waits for CPU at once: some kernels leave that line out.
  return some === undefined ? undefined : { full: of("full") ?? NONE, some };
}

/** Of a cgroup; undefined on version 1, and where the kernel does not count. */
export async function pressuresOf(cgroups: CgroupManager, path: string): Promise<Pressures | undefined> {
  if (cgroups.version === 1) return undefined;
  const read = async (what: string) => parsePressure(await cgroups.read(path, what, `${what}.pressure`));
  const [cpu, memory, io] = await Promise.all([read("cpu"), read("memory"), read("io")]);
  return cpu === undefined || memory === undefined || io === undefined ? undefined : { cpu, memory, io };
}
