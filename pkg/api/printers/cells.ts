import type { KubeObject } from "#pkg/apimachinery/index.ts";
import type { PrinterColumn } from "../resource.ts";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** `a` alone, or with the remainder behind it when that is not zero: 5m, 5m30s. */
function withRest(whole: string, rest: number, unit: string): string {
  return rest === 0 ? whole : `${whole}${rest}${unit}`;
}

/** A duration as kubectl shows it: the two leading units, fewer for larger values. */
export function humanDuration(durationMs: number): string {
  const seconds = Math.trunc(durationMs / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 2 * MINUTE) return `${seconds}s`;
  const minutes = Math.trunc(seconds / MINUTE);
  if (minutes < 10) return withRest(`${minutes}m`, seconds % MINUTE, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(seconds / HOUR);
  if (hours < 8) return withRest(`${hours}h`, minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(seconds / DAY);
  if (hours < 24 * 8) return withRest(`${days}d`, hours % 24, "h");
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(seconds / YEAR);
  return days < 365 * 8 ? withRest(`${years}y`, days % 365, "d") : `${years}y`;
}

/** Time from `since` to `now`, or <unknown> when there is no such time. */
export function age(since: string | undefined | null, now: number): string {
  if (since === undefined || since === null || since === "") return "<unknown>";
  return humanDuration(now - Date.parse(since));
}

/** Age of an object. */
export function ageOf(object: Readonly<KubeObject>, now: number): string {
  return age(object.metadata.creationTimestamp, now);
}

export const NONE = "<none>";
export const UNSET = "<unset>";

/** Cells of a kind without a printer of its own: the name, the time of creation, and nothing else. */
export function printGeneric(columns: readonly PrinterColumn[], object: Readonly<KubeObject>): unknown[] {
  return columns.map(({ name, type }) => {
    if (name === "Name") return object.metadata.name ?? "";
    return type === "date" ? (object.metadata.creationTimestamp ?? null) : "";
  });
}
