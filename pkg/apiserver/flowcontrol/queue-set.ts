import { createHash } from "node:crypto";
import type { Clock } from "#pkg/util/index.ts";

export interface QueueConfig {
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

/** Who may have to wait; the signal is looked at only then. */
export interface Waiter {
  readonly signal: AbortSignal;
}
interface Waiting {
  readonly seats: number;
  readonly start: () => void;
  readonly refuse: () => void;
}
interface Queue {
  readonly waiting: Waiting[];
  /** Seconds of work given to this queue, on the shared virtual clock. */
  virtualTime: number;
}

/** Why a request was not let in, as metrics call it. */
export type Refusal = "queue-full" | "time-out" | "cancelled";

/**
 * Deals a hand of queues to a flow: the same few queues for the same flow, different ones for most others, so that one
 * greedy flow spoils only its own hand (shuffle sharding).
 */
export function dealHand(flow: string, { queues, handSize }: QueueConfig): number[] {
  let value = createHash("sha256").update(flow).digest().readBigUInt64BE();
  const hand: number[] = [];
  for (let i = 0; i < Math.min(handSize, queues); i++) {
    const remaining = BigInt(queues - i);
    let card = Number(value % remaining);
    value /= remaining;
    // Cards below are taken already: count past them.
    for (const taken of [...hand].sort((a, b) => a - b)) if (taken <= card) card++;
    hand.push(card);
  }
  return hand;
}

/** Fair queues of one priority level. Who may start is others' business: `next` only says whose turn it is. */
export class QueueSet {
  #config: QueueConfig;
  #queues: Queue[];
  readonly #clock: Clock;
  #waiting = 0;
  #virtualNow = 0;

  constructor(config: QueueConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
    this.#queues = Array.from({ length: config.queues }, () => ({ waiting: [], virtualTime: 0 }));
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Waits in the shortest queue of the flow's hand. Resolves when started; rejects never: the refusal is a value. */
  enqueue(flow: string, seats: number, timeoutMs: number, { signal }: Waiter): Promise<Refusal | undefined> {
    const hand = dealHand(flow, this.#config).map((index) => this.#queues[index]!);
    const queue = hand.reduce((best, own) => (own.waiting.length < best.waiting.length ? own : best));
    if (queue.waiting.length >= this.#config.queueLengthLimit) return Promise.resolve("queue-full");
    if (signal.aborted) return Promise.resolve("cancelled");
    // A queue that was idle starts where the others are: it has no claim on the time it did not use.
    if (queue.waiting.length === 0) queue.virtualTime = Math.max(queue.virtualTime, this.#virtualNow);
    return new Promise((resolve) => {
      const leave = (refusal: Refusal | undefined): void => {
        cancel();
        signal.removeEventListener("abort", onAbort);
        this.#waiting--;
        resolve(refusal);
      };
      const withdraw = (refusal: Refusal): void => {
        const index = queue.waiting.indexOf(entry);
        if (index < 0) return;
        queue.waiting.splice(index, 1);
        leave(refusal);
      };
      const entry: Waiting = { seats, start: () => leave(undefined), refuse: () => leave("cancelled") };
      const cancel = this.#clock.schedule(timeoutMs, () => withdraw("time-out"));
      const onAbort = (): void => withdraw("cancelled");
      signal.addEventListener("abort", onAbort, { once: true });
      queue.waiting.push(entry);
      this.#waiting++;
    });
  }

  /** Whose turn it is: the first of the queue that has had the least. Undefined when none waits. */
  next(): { readonly seats: number; start(): void } | undefined {
    let next: Queue | undefined;
    for (const queue of this.#queues) {
      if (queue.waiting.length > 0 && (next === undefined || queue.virtualTime < next.virtualTime)) next = queue;
    }
    if (next === undefined) return undefined;
    const queue = next;
    const { seats } = queue.waiting[0]!;
    const start = (): void => {
      this.#virtualNow = queue.virtualTime;
      queue.virtualTime += seats;
      queue.waiting.shift()!.start();
    };
    return { seats, start };
  }

  /** Turns away everybody (the level is gone). */
  drain(): void {
    for (const queue of this.#queues) for (const entry of queue.waiting.splice(0)) entry.refuse();
  }
}
