import { deepEqual, isRecord } from "#pkg/apimachinery/index.ts";

/** Lines shown of one difference: a message is for reading. */
const MAX_LINES = 32;

function show(value: unknown): string {
  return value === undefined ? "(absent)" : JSON.stringify(value);
}

function collect(before: unknown, after: unknown, path: string, lines: string[]): void {
  if (lines.length >= MAX_LINES || deepEqual(before, after)) return;
  if (isRecord(before) && isRecord(after)) {
    for (const key of [...new Set([...Object.keys(before), ...Object.keys(after)])].sort()) {
      collect(before[key], after[key], `${path}.${key}`, lines);
    }
  } else if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    for (const [index, item] of before.entries()) collect(item, after[index], `${path}[${index}]`, lines);
  } else {
    lines.push(`-${path}: ${show(before)}`, `+${path}: ${show(after)}`);
  }
}

/** What differs between two values, as lines of path and value: "-" before, "+" after. */
export function describeDifference(before: unknown, after: unknown, path: string): string {
  const lines: string[] = [];
  collect(before, after, path, lines);
  return lines.join("\n");
}
