/** How often values fell below each bound, in Prometheus' text. Adding costs no allocation: it is done per request. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  /** `bounds` are upper ones, ascending, without the infinite one. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length);
  }
  /** How many values were added. */
  get count(): number {
    return this.#count;
  }
  add(value: number): void {
    this.#sum += value;
    this.#count++;
    let index = 0;
    while (index < this.#bounds.length && value > this.#bounds[index]!) index++;
    if (index < this.#bounds.length) this.#counts[index]!++;
  }
  /** No line for what never had a value. `labels` is text without braces. */
  lines(name: string, labels: string): string[] {
    if (this.#count === 0) return [];
    let below = 0;
    const before = labels === "" ? "" : `${labels},`;
    const all = labels === "" ? "" : `{${labels}}`;
    return [
      ...this.#bounds.map(
        (bound, index) => `${name}_bucket{${before}le="${bound}"} ${(below += this.#counts[index]!)}`,
      ),
      `${name}_bucket{${before}le="+Inf"} ${this.#count}`,
      `${name}_sum${all} ${this.#sum}`,
      `${name}_count${all} ${this.#count}`,
    ];
  }
}
