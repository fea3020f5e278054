/**
 * Whether a container ended for want of memory. A runtime learns of the end and of its reason from two sources, and may
 * answer between them: "Error" first, "OOMKilled" a moment later. The kernel has counted its kills before a process is
 * gone, so its counter says when an answer may still change. Where nothing was killed nothing waits.
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

export class OutOfMemory {
  readonly #clock: Clock;
  readonly #kills: () => Promise<number>;
  /** Kills that are accounted for: of containers that were told of, or of something else. */
  #known: number;

  private constructor(clock: Clock, kills: () => Promise<number>, known: number) {
    this.#clock = clock;
    this.#kills = kills;
    this.#known = known;
  }

  /** `kills` counts processes that the kernel has killed for want of memory since it started. */
  static async watch(clock: Clock, kills: () => Promise<number>): Promise<OutOfMemory> {
    return new OutOfMemory(clock, kills, await kills());
  }

  /** The status of a container; of one that has ended, once its reason is certain. */
  async settled(
    first: RuntimeContainerStatus,
    ask: () => Promise<RuntimeContainerStatus>,
  ): Promise<RuntimeContainerStatus> {
    let status = first;
    const end = this.#clock.monotonic() + PATIENCE_MS;
    while (status.reason === UNEXPLAINED && (await this.#kills()) > this.#known) {
      if (this.#clock.monotonic() >= end) {
        this.#known = await this.#kills();
        break;
      }
      await sleep(this.#clock, ASK_AGAIN_MS);
      status = await ask();
    }
    // Runtimes say so of a container whose memory ran out although the kernel found nothing to kill, too.
    if (status.reason === OUT_OF_MEMORY) this.#known = Math.min(this.#known + 1, await this.#kills());
    return status;
  }
}
