import type { Clock } from "#pkg/util/index.ts";

/** How often a connection is looked at: one timer, so that requests need none of their own. */
export const LOOK_MS = 30_000;
/** Looks without a request after which a connection is idle: servers written in Go wait as long, 90 s. */
const IDLE_LOOKS = 3;
/** Looks without progress after which nobody waits any more. */
const STALLED_LOOKS = 2;

/** What a connection says of itself. */
export interface Observed {
  /** Preface and settings have arrived. */
  readonly greeted: boolean;
  /** A header block of which more has to come. */
  readonly openBlock: object | undefined;
  /** It has said goodbye and nothing is under way. */
  readonly finished: boolean;
  readonly busy: boolean;
  /** Grows with every request. */
  readonly requests: number;
}
export interface Impatient {
  observe(): Observed;
  /** The peer keeps us waiting for what it owes. */
  overdue(what: string): void;
  /** Nothing has been asked for a long time. */
  idle(): void;
  /** Time to look at answers that nobody takes: those without progress in so many looks. */
  dropStalled(looks: number): void;
}

/** Ends what a peer begins and never finishes: each costs it a few bytes, and us memory and a socket. */
export class Patience {
  readonly #clock: Clock;
  readonly #connection: Impatient;
  #openBlock: object | undefined;
  #requests = -1;
  #idleLooks = 0;
  #finished = false;
  #cancel: () => void;

  constructor(clock: Clock, connection: Impatient) {
    this.#clock = clock;
    this.#connection = connection;
    this.#cancel = this.#later();
  }
  stop(): void {
    this.#cancel();
  }

  #later(): () => void {
    return this.#clock.schedule(LOOK_MS, () => {
      this.#cancel = this.#later();
      this.#look();
    });
  }
  #look(): void {
    const { greeted, openBlock, finished, busy, requests } = this.#connection.observe();
    const before = { openBlock: this.#openBlock, finished: this.#finished, requests: this.#requests };
    this.#openBlock = openBlock;
    this.#finished = finished;
    this.#requests = requests;
    this.#idleLooks = busy || requests !== before.requests ? 0 : this.#idleLooks + 1;
    if (!greeted) this.#connection.overdue("the settings");
    else if (openBlock !== undefined && openBlock === before.openBlock) this.#connection.overdue("a header block");
    else if (finished && before.finished) this.#connection.overdue("the end of the connection");
    else if (this.#idleLooks >= IDLE_LOOKS) this.#connection.idle();
    else this.#connection.dropStalled(STALLED_LOOKS);
  }
}
