/** Bounds of sizes and costs. Nothing is larger than what 64 bits count. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

const LIMIT = 2 ** 64;
export const atMost = (value: number): number => Math.min(value, LIMIT);

export const UNKNOWN: Range = { min: 0, max: LIMIT };
export const exactly = (value: number): Range => ({ min: value, max: value });
export const add = (a: Range, b: Range): Range => ({ min: atMost(a.min + b.min), max: atMost(a.max + b.max) });
export const plus = (a: Range, value: number): Range => add(a, exactly(value));
export const times = (a: Range, b: Range): Range => ({ min: atMost(a.min * b.min), max: atMost(a.max * b.max) });
/** Rounded up. */
export const factor = (a: Range, by: number): Range => ({
  min: atMost(Math.ceil(a.min * by)),
  max: atMost(Math.ceil(a.max * by)),
});
/** The smallest range that holds all of them; of none, the empty one. */
export const span = (ranges: readonly Range[]): Range =>
  ranges.length === 0
    ? exactly(0)
    : { min: Math.min(...ranges.map(({ min }) => min)), max: Math.max(...ranges.map(({ max }) => max)) };
