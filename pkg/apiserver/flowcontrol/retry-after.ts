const MOST_SECONDS = 32;
/** So many refusals per second of the present advice say that clients come back too early. */
const TOO_MANY = 3;

/**
 * When clients that one level turns away shall come back: later while refusals go on, a second earlier with every
 * second that has fewer of them than the advice has seconds.
 */
export class RetryAfter {
  #seconds = 1;
  #raisedAt = 0;
  #current = { second: 0, refused: 0 };
  #past: { readonly second: number; readonly refused: number }[] = [];

  get seconds(): number {
    return this.#seconds;
  }
  refused(nowMs: number): void {
    const second = Math.floor(nowMs / 1000);
    if (this.#current.second === second) {
      this.#current.refused++;
      return;
    }
    this.#past.push(this.#current);
    this.#past = this.#past.filter((own) => second - own.second <= MOST_SECONDS);
    this.#current = { second, refused: 1 };
    this.#adjust(second);
  }
  #adjust(second: number): void {
    const recent = this.#past
      .filter((own) => second - own.second <= this.#seconds)
      .reduce((sum, { refused }) => sum + refused, 0);
    if (second - this.#raisedAt >= this.#seconds && recent >= TOO_MANY * this.#seconds) {
      this.#seconds = Math.min(MOST_SECONDS, this.#seconds * 2);
      this.#raisedAt = second;
    } else if (recent < this.#seconds && this.#seconds > 1) this.#seconds--;
  }
}
