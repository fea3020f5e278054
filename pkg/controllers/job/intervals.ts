/** A set of indexes as sorted, disjoint, non-adjacent intervals: a Job may have 2^31-1 of them, so none is ever listed. */
export interface Interval {
  readonly first: number;
  readonly last: number;
}

/** A set of completion indexes, kept as intervals: a Job may have a million. Immutable. */
export class IndexSet {
  readonly intervals: readonly Interval[];

  private constructor(intervals: readonly Interval[]) {
    this.intervals = intervals;
  }
  static readonly empty = new IndexSet([]);

  /** "0,2-5,9" as status.completedIndexes has it. What cannot be read, or lies beyond `limit`, is left out. */
  static parse(text: string | undefined, limit: number): IndexSet {
    const intervals: Interval[] = [];
    for (const part of (text ?? "").split(",")) {
      const match = /^([0-9]{1,10})(?:-([0-9]{1,10}))?$/.exec(part);
      if (match === null) continue;
      const first = Number(match[1]);
      const last = Math.min(match[2] === undefined ? first : Number(match[2]), limit - 1);
      if (first <= last) intervals.push({ first, last });
    }
    return IndexSet.from(intervals);
  }
  static of(indexes: Iterable<number>): IndexSet {
    return IndexSet.from(Array.from(indexes, (index) => ({ first: index, last: index })));
  }
  static from(unsorted: readonly Interval[]): IndexSet {
    const sorted = [...unsorted].sort((a, b) => a.first - b.first);
    const merged: Interval[] = [];
    for (const next of sorted) {
      const before = merged.at(-1);
      if (before !== undefined && next.first <= before.last + 1)
        merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, next.last) };
      else merged.push(next);
    }
    return new IndexSet(merged);
  }
  get size(): number {
    return this.intervals.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  }
  has(index: number): boolean {
    let low = 0;
    let high = this.intervals.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const { first, last } = this.intervals[middle]!;
      if (index < first) high = middle - 1;
      else if (index > last) low = middle + 1;
      else return true;
    }
    return false;
  }
  union(other: IndexSet): IndexSet {
    return other.intervals.length === 0 ? this : IndexSet.from([...this.intervals, ...other.intervals]);
  }
  intersectionSize(other: IndexSet): number {
    let sum = 0;
    let i = 0;
    let j = 0;
    while (i < this.intervals.length && j < other.intervals.length) {
      const a = this.intervals[i]!;
      const b = other.intervals[j]!;
      sum += Math.max(0, Math.min(a.last, b.last) - Math.max(a.first, b.first) + 1);
      if (a.last < b.last) i++;
      else j++;
    }
    return sum;
  }
  /** The lowest `count` indexes below `limit` that are not in the set. */
  firstMissing(count: number, limit: number): number[] {
    const missing: number[] = [];
    let candidate = 0;
    for (const { first, last } of [...this.intervals, { first: limit, last: limit }]) {
      while (candidate < first && candidate < limit && missing.length < count) missing.push(candidate++);
      if (missing.length >= count) break;
      candidate = Math.max(candidate, last + 1);
    }
    return missing;
  }
  toString(): string {
    return this.intervals
      .map(({ first, last }) =>
        first === last ? String(first) : last === first + 1 ? `${first},${last}` : `${first}-${last}`,
      )
      .join(",");
  }
}
