import { readFileSync } from "node:fs";
import type { Logger } from "#pkg/util/index.ts";

/** Gives back to the machine what the program holds and does not use. */
export interface GiveBack {
  /**
   * Memory that was freed. glibc keeps what lies below anything still in use, 7 MiB of buffers after a burst of pods, until it
   * is asked.
   */
  freed(): void;
  /**
   * The pages of programs and libraries. To start takes 55 MiB of Node.js itself (its sources, its tables, what compiles), a
   * node with a hundred pods goes on with half of it, and nothing else takes the rest out of what is resident. The pages stay
   * in the kernel's page cache, which may drop them when memory is short. Whoever needs one of them has it back together with
   * its neighbours in a microsecond: a millisecond of CPU time for all that are in use.
   */
  code(): void;
}

/** Source: madvise(2). */
const MADV_DONTNEED = 4;

/** Where a mapping lies, in bytes. */
export interface Mapping {
  readonly start: bigint;
  readonly length: bigint;
}

/**
 * The mappings of a text like /proc/PID/smaps that hold what stands in their files and nothing else: letting go of them loses
 * nothing. Not among them is what the loader has relocated, and code in which a debugger or the kernel has set a breakpoint.
 * Source: proc(5).
 */
export function unchangedMappings(smaps: string): Mapping[] {
  const found: Mapping[] = [];
  for (const entry of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p .* \/.*$/m.exec(entry) ?? [];
    if (to === undefined || !/^Anonymous: +0 kB$/m.test(entry) || !/^Swap: +0 kB$/m.test(entry)) continue;
    const start = BigInt(`0x${from}`);
    found.push({ start, length: BigInt(`0x${to}`) - start });
  }
  return found;
}

/** The kernel may have been built without this file, or the process have no descriptor left for it: then nothing is let go. */
function ownMappings(log: Logger): Mapping[] {
  try {
    return unchangedMappings(readFileSync("/proc/self/smaps", "latin1"));
  } catch (err) {
    log.debug({ err }, "The program's mappings cannot be read");
    return [];
  }
}

/** By calls of the machine's C library; undefined where it, or this Node.js, has no such calls. */
export function giveBackByLibrary(log: Logger): GiveBack | undefined {
  try {
    const { malloc_trim, madvise } = process.getBuiltinModule("node:ffi").dlopen(null, {
      malloc_trim: { arguments: ["u64"], return: "i32" },
      madvise: { arguments: ["u64", "u64", "i32"], return: "i32" },
    }).functions;
    return {
      freed: () => void malloc_trim(0n),
      code() {
        for (const { start, length } of ownMappings(log)) madvise(start, length, MADV_DONTNEED);
      },
    };
  } catch (err) {
    log.debug({ err }, "Memory that is not used cannot be given back");
    return undefined;
  }
}
