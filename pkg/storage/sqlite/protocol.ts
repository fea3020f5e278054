/**
 * What the SQLite thread and its owner tell each other: whole batches, with all values of a message in one buffer that
 * changes hands without being copied. A second buffer would cost more than copying the few numbers in it, and most commits
 * are of one write.
 */

/** One version of a key; without a value it is a deletion. */
export interface Row {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  readonly createRevision: number;
  readonly modRevision: number;
}

/** Rows side by side: per row createRevision, modRevision and length of the value (-1: none). */
export interface PackedRows {
  readonly keys: readonly string[];
  readonly numbers: readonly number[];
  readonly values: Uint8Array<ArrayBuffer>;
}
const ROW_NUMBERS = 3;

export interface Operation {
  readonly key: string;
  readonly value: Uint8Array | undefined;
  /** Negative: unconditional. */
  readonly expectedModRevision: number;
  /** Epoch milliseconds; 0: never. */
  readonly expiresAt: number;
}
/** Per operation expectedModRevision, expiresAt and length of the value (-1: delete). */
export type PackedOperations = PackedRows;

/**
 * `status`: the compare failed (and a row with the present state follows, if there is one), the write was applied, or
 * there was nothing to delete.
 */
export const FAILED = 0;
export const APPLIED = 1;
export const UNCHANGED = 2;
/** Per operation: status, createRevision, modRevision, 1 when a row of present state belongs to it. */
export const OUTCOME_NUMBERS = 4;

export type Request =
  | { readonly id: number; readonly kind: "commit"; readonly operations: PackedOperations }
  | { readonly id: number; readonly kind: "get"; readonly key: string; readonly revision: number | undefined }
  | {
      readonly id: number;
      readonly kind: "range";
      readonly prefix: string;
      readonly revision: number | undefined;
      readonly limit: number | undefined;
      readonly startAfter: string | undefined;
    }
  | {
      readonly id: number;
      readonly kind: "history";
      readonly prefix: string;
      readonly from: number;
      readonly to: number;
    }
  | { readonly id: number; readonly kind: "compact"; readonly revision: number }
  | { readonly id: number; readonly kind: "size" }
  | { readonly id: number; readonly kind: "close" };

/** A request without the number that its reply repeats. */
export type RequestBody = Request extends infer R ? (R extends Request ? Omit<R, "id"> : never) : never;

export type Reply =
  | { readonly kind: "opened"; readonly revision: number; readonly expiries: Expiries }
  | {
      readonly kind: "committed";
      readonly id: number;
      readonly revision: number;
      readonly outcomes: readonly number[];
      /** Undefined: none. */
      readonly current: PackedRows | undefined;
    }
  | {
      readonly kind: "rows";
      readonly id: number;
      readonly rows: PackedRows;
      readonly count: number;
      readonly revision: number;
    }
  | { readonly kind: "number"; readonly id: number; readonly value: number }
  | { readonly kind: "compacted"; readonly id: number; readonly compactRevision: number }
  | { readonly kind: "future"; readonly id: number; readonly currentRevision: number }
  | { readonly kind: "failed"; readonly id: number; readonly message: string };

/** Keys that will expire: modification revision and epoch milliseconds per key. */
export interface Expiries {
  readonly keys: readonly string[];
  readonly numbers: Float64Array<ArrayBuffer>;
}

function joinValues(rows: readonly Pick<Row, "value">[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const { value } of rows) length += value?.length ?? 0;
  // Filled to the last byte, so nothing has to be there before.
  const joined = Buffer.allocUnsafeSlow(length);
  let at = 0;
  for (const { value } of rows) {
    if (value === undefined) continue;
    joined.set(value, at);
    at += value.length;
  }
  return joined;
}

export function packRows(rows: readonly Row[]): PackedRows {
  return pack(rows, "createRevision", "modRevision");
}

export function packOperations(operations: readonly Operation[]): PackedOperations {
  return pack(operations, "expectedModRevision", "expiresAt");
}

function pack<F extends string, S extends string>(
  rows: readonly (Pick<Row, "key" | "value"> & Readonly<Record<F | S, number>>)[],
  first: F,
  second: S,
): PackedRows {
  const numbers: number[] = [];
  for (const row of rows) numbers.push(row[first], row[second], row.value?.length ?? -1);
  return { keys: rows.map((row) => row.key), numbers, values: joinValues(rows) };
}

export function unpackRows({ keys, numbers, values }: PackedRows): Row[] {
  let at = 0;
  return keys.map((key, index) => {
    const length = numbers[index * ROW_NUMBERS + 2]!;
    const value = length < 0 ? undefined : values.subarray(at, at + length);
    at += Math.max(length, 0);
    return {
      key,
      value,
      createRevision: numbers[index * ROW_NUMBERS]!,
      modRevision: numbers[index * ROW_NUMBERS + 1]!,
    };
  });
}

export function unpackOperations(packed: PackedOperations): Operation[] {
  return unpackRows(packed).map(({ key, value, createRevision, modRevision }) => ({
    key,
    value,
    expectedModRevision: createRevision,
    expiresAt: modRevision,
  }));
}

/** The buffer of packed rows, to hand over. */
export function buffersOf({ values }: PackedRows): ArrayBuffer[] {
  return values.length === 0 ? [] : [values.buffer];
}
