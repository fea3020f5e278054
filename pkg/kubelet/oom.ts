/**
 * Whether a container ended for want of memory. A runtime learns of the end and of its reason from two sources: it may
 * answer "Error" first and "OOMKilled" a moment later, and containerd never learns of a kill whose cgroup is gone before
 * it looks. The kernel has counted its kills, and named their cgroups in its log, before a process is gone: its counter
 * says when an answer may be wrong, its log which one is. Where nothing was killed nothing waits.
 */
import { sleep } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import type { RuntimeContainerStatus } from "./cri/runtime.ts";

/** What runtimes say of an end whose reason they do not know, or not yet. */
const UNEXPLAINED = "Error";
const OUT_OF_MEMORY = "OOMKilled";
const ASK_AGAIN_MS = 50;
/** A busy disk holds up what the runtime writes of the reason; a kill of something else must not hold up a pod for long. */
const PATIENCE_MS = 2000;
/** Of the latest kills; a container's end is looked at long before so many others. */
const MAX_VICTIMS = 256;
/** The cgroup of a killed process, whose name has the container's id in it with any cgroup driver. */
const VICTIM = /[;,]oom-kill:.*,task_memcg=([^,\n]*)/;

/** What the kernel tells of its kills for want of memory. */
export interface KernelKills {
  /** How many processes it has killed since it started. */
  count(): Promise<number>;
  /** What it has logged since the last call; nothing where its log cannot be read. */
  log(): readonly string[];
}

export class OutOfMemory {
  readonly #clock: Clock;
  readonly #kernel: KernelKills;
  /** Kills that are accounted for: of containers that were told of, or of something else. */
  #known: number;
  /** Cgroups of the latest kills, oldest first. */
  #victims: string[] = [];

  private constructor(clock: Clock, kernel: KernelKills, known: number) {
    this.#clock = clock;
    this.#kernel = kernel;
    this.#known = known;
  }

  static async watch(clock: Clock, kernel: KernelKills): Promise<OutOfMemory> {
    return new OutOfMemory(clock, kernel, await kernel.count());
  }

  /** The status of a container; of one that has ended, once its reason is certain. */
  async settled(
    first: RuntimeContainerStatus,
    ask: () => Promise<RuntimeContainerStatus>,
  ): Promise<RuntimeContainerStatus> {
    if (first.reason !== UNEXPLAINED && first.reason !== OUT_OF_MEMORY) return first;
    let status = first;
    const killedBefore = await this.#kernel.count();
    const end = this.#clock.monotonic() + PATIENCE_MS;
    while (status.reason === UNEXPLAINED && (await this.#kernel.count()) > this.#known) {
      if (this.#isVictim(status.id)) {
        status = { ...status, reason: OUT_OF_MEMORY };
      } else if (this.#clock.monotonic() < end) {
        await sleep(this.#clock, ASK_AGAIN_MS);
        status = await ask();
      } else {
        // Whatever was killed before was not this container; a later kill may be another's that is asked about now.
        this.#known = Math.max(this.#known, killedBefore);
        break;
      }
    }
    // Runtimes say so of a container whose memory ran out although the kernel found nothing to kill, too.
    if (status.reason === OUT_OF_MEMORY) this.#known = Math.min(this.#known + 1, await this.#kernel.count());
    return status;
  }

  #isVictim(containerId: string): boolean {
    for (const record of this.#kernel.log()) {
      const cgroup = VICTIM.exec(record)?.[1];
      if (cgroup !== undefined) this.#victims.push(cgroup);
    }
    if (this.#victims.length > MAX_VICTIMS) this.#victims = this.#victims.slice(-MAX_VICTIMS);
    return this.#victims.some((cgroup) => cgroup.includes(containerId));
  }
}
