/** Timestamps and durations: text forms and the parts a calendar shows. */
import { CelError } from "./errors.ts";

/** Nanoseconds since the Unix epoch, between the years 1 and 9999. */
export class Timestamp {
  readonly nanos: bigint;
  /** East of UTC, as the time was written; it only shows in the time's text. */
  readonly offsetMinutes: number;
  constructor(nanos: bigint, offsetMinutes: number) {
    this.nanos = nanos;
    this.offsetMinutes = offsetMinutes;
  }
}
export class Duration {
  readonly nanos: bigint;
  constructor(nanos: bigint) {
    this.nanos = nanos;
  }
}

const SECOND = 1_000_000_000n;
const MIN_TIMESTAMP = -62_135_596_800n * SECOND;
const MAX_TIMESTAMP = 253_402_300_799n * SECOND + 999_999_999n;
const MAX_DURATION = 2n ** 63n - 1n;

export function timestamp(nanos: bigint, offsetMinutes = 0): Timestamp {
  if (nanos < MIN_TIMESTAMP || nanos > MAX_TIMESTAMP) throw new CelError("timestamp overflow");
  return new Timestamp(nanos, offsetMinutes);
}
export function duration(nanos: bigint): Duration {
  if (nanos < -MAX_DURATION - 1n || nanos > MAX_DURATION) throw new CelError("duration overflow");
  return new Duration(nanos);
}

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})$/;

/** `month` counts from 1. */
const daysIn = (year: number, month: number): number => new Date(Date.UTC(year, month, 0)).getUTCDate();

/** @param strict its letters are upper case, as expressions write it @throws CelError for what is no RFC 3339 time. */
export function parseTimestamp(text: string, strict = false): Timestamp {
  const match = strict && /[tz]/.test(text) ? null : RFC3339.exec(text);
  const epochMs =
    match === null || Number(match[3]) > daysIn(Number(match[1]), Number(match[2]))
      ? Number.NaN
      : Date.parse(`${match[1]}-${match[2]}-${match[3]}T${match[4]}:${match[5]}:${match[6]}${match[8]!.toUpperCase()}`);
  if (Number.isNaN(epochMs)) throw new CelError("type conversion error from 'string' to 'google.protobuf.Timestamp'");
  const nanos = BigInt(epochMs) * 1_000_000n + BigInt((match![7] ?? "").padEnd(9, "0"));
  return timestamp(nanos, offsetOf(match![8]!) ?? 0);
}

const floorDiv = (value: bigint, by: bigint): bigint => (value >= 0n ? value / by : -((-value + by - 1n) / by));

export function formatTimestamp({ nanos, offsetMinutes }: Timestamp): string {
  const seconds = floorDiv(nanos, SECOND);
  const rest = nanos - seconds * SECOND;
  const text = new Date((Number(seconds) + offsetMinutes * 60) * 1000).toISOString().slice(0, 19);
  const fraction = rest === 0n ? "" : `.${String(rest).padStart(9, "0").replace(/0+$/, "")}`;
  return `${text}${fraction}${formatOffset(offsetMinutes)}`;
}

function formatOffset(minutes: number): string {
  if (minutes === 0) return "Z";
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60].map((part) =>
    String(part).padStart(2, "0"),
  );
  return `${minutes < 0 ? "-" : "+"}${hours}:${rest}`;
}

/** Minutes east of UTC that "+01:00" or "01:00" stands for; undefined for what is no offset. */
function offsetOf(text: string): number | undefined {
  const match = /^([+-]?)(\d{2}):(\d{2})$/.exec(text);
  if (match === null) return undefined;
  const minutes = Number(match[2]) * 60 + Number(match[3]);
  return match[1] === "-" ? -minutes : minutes;
}

const UNITS: Readonly<Record<string, bigint>> = {
  h: 3600n * SECOND,
  m: 60n * SECOND,
  s: SECOND,
  ms: 1_000_000n,
  us: 1000n,
  µs: 1000n,
  μs: 1000n,
  ns: 1n,
};

/** Go's notation: "1h30m", "-1.5s". @throws CelError */
export function parseDuration(text: string): Duration {
  if (!/^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|μs|ns))+)$/.test(text)) {
    throw new CelError("type conversion error from 'string' to 'google.protobuf.Duration'");
  }
  let total = 0n;
  for (const [, whole = "", fraction = "", unit] of text.matchAll(/(\d*)(?:\.(\d*))?(h|ms|m|s|us|µs|μs|ns)/g)) {
    const size = UNITS[unit!]!;
    total +=
      BigInt(whole || "0") * size + (fraction === "" ? 0n : (BigInt(fraction) * size) / 10n ** BigInt(fraction.length));
  }
  return duration(text.startsWith("-") ? -total : total);
}

/** Seconds, as protobuf's JSON form has it: "90s", "0.5s". */
export function formatDuration({ nanos }: Duration): string {
  const sign = nanos < 0n ? "-" : "";
  const total = nanos < 0n ? -nanos : nanos;
  const fraction = String(total % SECOND)
    .padStart(9, "0")
    .replace(/0+$/, "");
  return `${sign}${total / SECOND}${fraction === "" ? "" : `.${fraction}`}s`;
}

export interface CalendarTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly weekday: number;
  readonly dayOfYear: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly milliseconds: number;
}

/** The parts of a time in a zone: an offset "+01:00" or a name such as "Europe/Berlin"; UTC by default. */
export function calendarTime({ nanos }: Timestamp, zone: string | undefined): CalendarTime {
  const epochMs = Number(floorDiv(nanos, 1_000_000n));
  const date = new Date(epochMs + zoneOffsetMs(epochMs, zone));
  const year = date.getUTCFullYear();
  const startOfYear = new Date(0);
  startOfYear.setUTCFullYear(year, 0, 1);
  return {
    year,
    month: date.getUTCMonth(),
    day: date.getUTCDate(),
    weekday: date.getUTCDay(),
    dayOfYear: Math.floor((date.getTime() - startOfYear.getTime()) / 86_400_000),
    hours: date.getUTCHours(),
    minutes: date.getUTCMinutes(),
    seconds: date.getUTCSeconds(),
    milliseconds: date.getUTCMilliseconds(),
  };
}

function zoneOffsetMs(epochMs: number, zone: string | undefined): number {
  if (zone === undefined || zone === "" || zone === "UTC") return 0;
  const offset = offsetOf(zone);
  if (offset !== undefined) return offset * 60_000;
  let parts: Intl.DateTimeFormatPart[];
  try {
    const format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    parts = format.formatToParts(epochMs);
  } catch {
    throw new CelError(`unknown time zone ${zone}`);
  }
  const part = (type: string): number => Number(parts.find((candidate) => candidate.type === type)?.value);
  const local = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"));
  return local - Math.floor(epochMs / 1000) * 1000;
}
