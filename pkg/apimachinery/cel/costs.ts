/** What calls cost: one rule per function, asked with the sizes a schema allows when estimating and with actual ones at run time. */

/** How large the arguments of a call are. */
export interface Sizes {
  /** Characters of a text, elements of a list, entries of a map; 1 for what has no size. */
  of(argument: number): number;
  /** Units it takes to look at every element of a list: one each, and a tenth per character of those that are text. */
  traversed(argument: number): number;
  /** Characters of all texts in a list. */
  characters(argument: number): number;
  /** A whole number that is an argument. */
  value(argument: number): number;
  /** Bounds are asked for, not the cost of an actual call. */
  readonly estimated: boolean;
}
export type CostRule = (sizes: Sizes) => number;

const CHARACTER = 0.1;
/** A pattern's expressions are taken to be four characters long. */
const PATTERN_CHARACTER = 0.25;

/** Reading so many characters. */
export const reading = (characters: number): number => Math.ceil(characters * CHARACTER);

/** A pattern is tried at every character of the text. */
export const searching = (characters: number, pattern: number): number =>
  reading(1 + characters) * Math.ceil(pattern * PATTERN_CHARACTER);

/** The rule of functions that read some arguments character by character and visit every element of others. */
export function linear(traverses: readonly number[], visits: readonly number[]): CostRule {
  return (sizes) =>
    traverses.reduce((total, i) => total + reading(sizes.of(i)), 0) +
    visits.reduce((total, i) => total + sizes.of(i), 0);
}

/** Comparing ends with the shorter side. */
export const comparing: CostRule = (sizes) => reading(Math.min(sizes.of(0), sizes.of(1)));
export const matching: CostRule = (sizes) => searching(sizes.of(0), sizes.of(1));
export const fixed =
  (cost: number): CostRule =>
  () =>
    cost;
