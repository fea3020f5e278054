/** With this many domains for each that has a sum, the others are not worth a place. */
const SPARSE = 8;

/**
 * A number per domain of a topology. Where few domains have one (of all nodes, those with certain pods), making and
 * copying it costs by those few, not by the size of the cluster.
 */
export class DomainSums {
  /** By domain, or undefined where few have a sum. */
  #dense: Float64Array | undefined;
  readonly #sparse: Map<number, number>;
  /** All sums together. */
  #total = 0;

  private constructor(dense: Float64Array | undefined, sparse: Map<number, number>) {
    this.#dense = dense;
    this.#sparse = sparse;
  }
  /** For a topology of `size` domains, of which about `expected` are going to have a sum. */
  static of(size: number, expected: number): DomainSums {
    return new DomainSums(expected * SPARSE < size ? undefined : new Float64Array(size), new Map());
  }
  get total(): number {
    return this.#total;
  }
  at(domain: number): number {
    return (this.#dense === undefined ? this.#sparse.get(domain) : this.#dense[domain]) ?? 0;
  }
  add(domain: number, amount: number): void {
    this.#total += amount;
    if (this.#dense === undefined) {
      this.#sparse.set(domain, (this.#sparse.get(domain) ?? 0) + amount);
      return;
    }
    if (domain >= this.#dense.length) {
      const larger = new Float64Array(domain + 1);
      larger.set(this.#dense);
      this.#dense = larger;
    }
    this.#dense[domain]! += amount;
  }
  copy(): DomainSums {
    const copy = new DomainSums(this.#dense?.slice(), new Map(this.#sparse));
    copy.#total = this.#total;
    return copy;
  }
}
