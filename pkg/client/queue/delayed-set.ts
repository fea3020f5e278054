import type { Clock } from "#pkg/util/index.ts";

interface Delayed<K> {
  readonly id: string;
  readonly key: K;
  dueAt: number;
  /** Position in the heap. */
  index: number;
}

/** Keys that become due one day: a heap behind a single timer. A key added twice is due at the earlier time. */
export class DelayedSet<K> {
  readonly #clock: Clock;
  readonly #onDue: (key: K) => void;
  readonly #byId = new Map<string, Delayed<K>>();
  readonly #heap: Delayed<K>[] = [];
  #armedFor = Infinity;
  #cancel: () => void = () => undefined;

  constructor(clock: Clock, onDue: (key: K) => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }
  get size(): number {
    return this.#heap.length;
  }
  add(id: string, key: K, delayMs: number): void {
    const dueAt = this.#clock.monotonic() + delayMs;
    const known = this.#byId.get(id);
    if (known === undefined) {
      const entry = { id, key, dueAt, index: this.#heap.length };
      this.#byId.set(id, entry);
      this.#heap.push(entry);
      this.#up(entry);
    } else if (dueAt < known.dueAt) {
      known.dueAt = dueAt;
      this.#up(known);
    }
    this.#arm();
  }
  delete(id: string): boolean {
    const entry = this.#byId.get(id);
    if (entry === undefined) return false;
    this.#byId.delete(id);
    const last = this.#heap.pop()!;
    if (last !== entry) {
      this.#heap[entry.index] = last;
      last.index = entry.index;
      this.#up(last);
      this.#down(last);
    }
    this.#arm();
    return true;
  }
  /** Takes out the key that is due next, before its time. */
  takeFirst(): K | undefined {
    const first = this.#heap[0];
    if (first !== undefined) this.delete(first.id);
    return first?.key;
  }
  clear(): void {
    this.#byId.clear();
    this.#heap.length = 0;
    this.#arm();
  }

  #arm(): void {
    const next = this.#heap[0]?.dueAt ?? Infinity;
    if (next === this.#armedFor) return;
    this.#cancel();
    this.#armedFor = next;
    this.#cancel =
      next === Infinity ? () => undefined : this.#clock.schedule(next - this.#clock.monotonic(), () => this.#release());
  }
  #release(): void {
    this.#armedFor = Infinity;
    const now = this.#clock.monotonic();
    // Timers may fire a fraction of a millisecond early; what is due within that time is due.
    for (let first = this.#heap[0]; first !== undefined && first.dueAt <= now + 1; first = this.#heap[0]) {
      this.#removeFirst();
      this.#byId.delete(first.id);
      this.#onDue(first.key);
    }
    this.#arm();
  }
  #removeFirst(): void {
    const last = this.#heap.pop()!;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    last.index = 0;
    this.#down(last);
  }
  #up(entry: Delayed<K>): void {
    while (entry.index > 0) {
      const parent = this.#heap[(entry.index - 1) >> 1]!;
      if (parent.dueAt <= entry.dueAt) return;
      this.#swap(parent, entry);
    }
  }
  #down(entry: Delayed<K>): void {
    for (;;) {
      const left = this.#heap[2 * entry.index + 1];
      const right = this.#heap[2 * entry.index + 2];
      const child = right !== undefined && left !== undefined && right.dueAt < left.dueAt ? right : left;
      if (child === undefined || child.dueAt >= entry.dueAt) return;
      this.#swap(entry, child);
    }
  }
  #swap(a: Delayed<K>, b: Delayed<K>): void {
    [a.index, b.index] = [b.index, a.index];
    this.#heap[a.index] = a;
    this.#heap[b.index] = b;
  }
}
