import type { PriorityLevelConfiguration } from "#pkg/api/types/flowcontrol-v1.ts";
import type { Clock } from "#pkg/util/index.ts";
import { type QueueConfig, QueueSet, type Refusal, type Waiter } from "./queue-set.ts";
import type { RejectReason } from "./traffic.ts";

/** One priority level: its seats and who waits for them. */
export interface Level {
  readonly name: string;
  exempt: boolean;
  /** Seats of its own. */
  nominal: number;
  /** Of those, how many others may use while they are idle. */
  lendable: number;
  /** How many seats of others it may use. */
  borrowable: number;
  queues: QueueSet | undefined;
  inUse: number;
}

const DEFAULT_QUEUING: QueueConfig = { queues: 64, handSize: 8, queueLengthLimit: 50 };

/** All priority levels sharing one server's seats. Levels lend idle seats to each other within their limits. */
export class Levels {
  readonly #levels = new Map<string, Level>();
  readonly #configurations = new Map<string, string>();
  readonly #totalSeats: number;
  readonly #clock: Clock;

  constructor(totalSeats: number, clock: Clock) {
    this.#totalSeats = totalSeats;
    this.#clock = clock;
  }

  get(name: string): Level | undefined {
    return this.#levels.get(name);
  }
  all(): IterableIterator<Level> {
    return this.#levels.values();
  }

  /** Takes over a new set of configurations. Requests in progress keep their seats; a level that is gone refuses its queue. */
  configure(configurations: readonly PriorityLevelConfiguration[]): void {
    const wanted = new Map(configurations.map((configuration) => [configuration.metadata.name, configuration]));
    for (const [name, level] of this.#levels) {
      if (wanted.has(name)) continue;
      level.queues?.drain();
      this.#levels.delete(name);
      this.#configurations.delete(name);
    }
    for (const [name, { spec }] of wanted) {
      const shape = JSON.stringify([spec.type, spec.limited?.limitResponse]);
      if (this.#configurations.get(name) === shape) continue;
      const before = this.#levels.get(name);
      before?.queues?.drain();
      const response = spec.limited?.limitResponse;
      const queues =
        spec.type === "Limited" && response?.type === "Queue"
          ? new QueueSet({ ...DEFAULT_QUEUING, ...response.queuing }, this.#clock)
          : undefined;
      const exempt = spec.type === "Exempt";
      // The level itself stays: requests in progress give their seats back to it.
      if (before !== undefined) Object.assign(before, { exempt, queues });
      else this.#levels.set(name, { name, exempt, nominal: 0, lendable: 0, borrowable: 0, queues, inUse: 0 });
      this.#configurations.set(name, shape);
    }
    this.#share(wanted);
  }

  #share(wanted: ReadonlyMap<string, PriorityLevelConfiguration>): void {
    const sharesOf = ({ spec }: PriorityLevelConfiguration): number =>
      spec.type === "Exempt"
        ? (spec.exempt?.nominalConcurrencyShares ?? 0)
        : (spec.limited?.nominalConcurrencyShares ?? 30);
    const sum = [...wanted.values()].reduce((total, configuration) => total + sharesOf(configuration), 0);
    for (const [name, configuration] of wanted) {
      const level = this.#levels.get(name)!;
      const { spec } = configuration;
      level.nominal = sum === 0 ? 0 : Math.ceil((this.#totalSeats * sharesOf(configuration)) / sum);
      const lendable = spec.type === "Exempt" ? spec.exempt?.lendablePercent : spec.limited?.lendablePercent;
      level.lendable = Math.round((level.nominal * (lendable ?? 0)) / 100);
      const limit = spec.limited?.borrowingLimitPercent;
      level.borrowable = limit === undefined ? Number.POSITIVE_INFINITY : Math.round((level.nominal * limit) / 100);
    }
  }

  /** Are there so many seats for one more request of this level, its own or borrowed ones? */
  hasSeats(level: Level, seats: number): boolean {
    const beyond = level.inUse + seats - level.nominal;
    if (level.exempt || beyond <= 0) return true;
    // Who needs more than the level has runs alone.
    if (level.inUse === 0 && level.nominal > 0) return true;
    if (beyond > level.borrowable) return false;
    let idle = 0;
    let borrowed = 0;
    for (const other of this.#levels.values()) {
      if (other === level) continue;
      idle += Math.max(0, Math.min(other.lendable, other.nominal - other.inUse));
      // What an exempt level takes beyond its own, it takes from nobody.
      if (!other.exempt) borrowed += Math.max(0, other.inUse - other.nominal);
    }
    return idle - borrowed >= beyond;
  }

  /** Gives seats back and lets those in who can use them. */
  release(level: Level, seats: number): void {
    level.inUse -= seats;
    // Whose seat it was has the first claim; an idle one may then be lent.
    this.#fill(level);
    for (const other of this.#levels.values()) if (other !== level) this.#fill(other);
  }
  #fill(level: Level): void {
    const { queues } = level;
    if (queues === undefined || queues.waiting === 0) return;
    for (let next = queues.next(); next !== undefined && this.hasSeats(level, next.seats); next = queues.next()) {
      level.inUse += next.seats;
      next.start();
    }
  }

  /** Takes seats whether there are any or not: for work that cannot be put off. */
  occupy(level: Level, seats: number): void {
    level.inUse += seats;
  }

  /** Takes seats at once, or waits for them. The refusal is undefined when the request may start. */
  acquire(
    level: Level,
    flow: string,
    seats: number,
    timeoutMs: number,
    waiter: Waiter,
  ): RejectReason | undefined | Promise<Refusal | undefined> {
    if ((level.queues === undefined || level.queues.waiting === 0) && this.hasSeats(level, seats)) {
      level.inUse += seats;
      return undefined;
    }
    // The seats are counted by whoever lets the request start.
    return level.queues === undefined ? "concurrency-limit" : level.queues.enqueue(flow, seats, timeoutMs, waiter);
  }
}
