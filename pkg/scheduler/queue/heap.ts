/** A priority queue whose entries can also be removed by their id. */
export class Heap<T> {
  readonly #idOf: (item: T) => string;
  readonly #compare: (a: T, b: T) => number;
  readonly #items: T[] = [];
  readonly #positions = new Map<string, number>();

  /** `compare` is negative when `a` comes before `b`. */
  constructor(idOf: (item: T) => string, compare: (a: T, b: T) => number) {
    this.#idOf = idOf;
    this.#compare = compare;
  }
  get size(): number {
    return this.#items.length;
  }
  has(id: string): boolean {
    return this.#positions.has(id);
  }
  get(id: string): T | undefined {
    const position = this.#positions.get(id);
    return position === undefined ? undefined : this.#items[position];
  }
  values(): Iterable<T> {
    return this.#items.values();
  }
  /** Adds the item, or replaces the one with its id. */
  add(item: T): void {
    const position = this.#positions.get(this.#idOf(item)) ?? this.#items.length;
    this.#put(position, item);
    this.#up(position);
    this.#down(this.#positions.get(this.#idOf(item))!);
  }
  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.delete(this.#idOf(first));
    return first;
  }
  delete(id: string): T | undefined {
    const position = this.#positions.get(id);
    if (position === undefined) return undefined;
    const item = this.#items[position]!;
    this.#positions.delete(id);
    const last = this.#items.pop()!;
    if (last !== item) {
      this.#put(position, last);
      this.#up(position);
      this.#down(this.#positions.get(this.#idOf(last))!);
    }
    return item;
  }

  #put(position: number, item: T): void {
    this.#items[position] = item;
    this.#positions.set(this.#idOf(item), position);
  }
  #up(start: number): void {
    let position = start;
    const item = this.#items[position]!;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (this.#compare(item, this.#items[parent]!) >= 0) break;
      this.#put(position, this.#items[parent]!);
      position = parent;
    }
    this.#put(position, item);
  }
  #down(start: number): void {
    let position = start;
    const item = this.#items[position]!;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= this.#items.length) break;
      const right = child + 1;
      if (right < this.#items.length && this.#compare(this.#items[right]!, this.#items[child]!) < 0) child = right;
      if (this.#compare(item, this.#items[child]!) <= 0) break;
      this.#put(position, this.#items[child]!);
      position = child;
    }
    this.#put(position, item);
  }
}
