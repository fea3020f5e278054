/**
 * Cron expressions as CronJob accepts them: five fields or a descriptor (@daily, @every 1h30m), optionally led by
 * TZ= or CRON_TZ=. Syntax and messages follow robfig/cron's standard parser.
 */

/** A schedule upstream would refuse; the message is upstream's. */
export class CronScheduleError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "CronScheduleError";
  }
}

export interface CronSchedule {
  /** Time zone named in the expression itself, if any. */
  readonly timeZone?: string;
  /**
   * Epoch milliseconds of the first activation after `afterMs`, in `timeZone` (an IANA name, default UTC; the one in
   * the expression wins); undefined when there is none within five years.
   */
  next(afterMs: number, timeZone?: string): number | undefined;
}

interface FieldBounds {
  readonly min: number;
  readonly max: number;
  readonly names?: ReadonlyMap<string, number>;
}

const numbered = (names: readonly string[], first: number): ReadonlyMap<string, number> =>
  new Map(names.map((name, index) => [name, index + first]));

const MINUTES: FieldBounds = { min: 0, max: 59 };
const HOURS: FieldBounds = { min: 0, max: 23 };
const DAYS: FieldBounds = { min: 1, max: 31 };
const MONTHS: FieldBounds = {
  min: 1,
  max: 12,
  names: numbered(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1),
};
const WEEKDAYS: FieldBounds = {
  min: 0,
  max: 6,
  names: numbered(["sun", "mon", "tue", "wed", "thu", "fri", "sat"], 0),
};

/** The values one field allows; `any` when it was written as * or ?. */
interface Field {
  readonly values: ReadonlySet<number>;
  readonly any: boolean;
}

function parseNumber(text: string, { names }: FieldBounds): number {
  const named = names?.get(text.toLowerCase());
  if (named !== undefined) return named;
  if (!/^[+-]?[0-9]+$/.test(text)) {
    const quoted = JSON.stringify(text);
    throw new CronScheduleError(`failed to parse int from ${text}: strconv.Atoi: parsing ${quoted}: invalid syntax`);
  }
  const value = Number(text);
  if (value < 0) throw new CronScheduleError(`negative number (${value}) not allowed: ${text}`);
  return value;
}

interface Range {
  readonly start: number;
  readonly end: number;
  readonly any: boolean;
}

function parseBounds(range: string, expression: string, bounds: FieldBounds): Range & { single: boolean } {
  const parts = range.split("-");
  if (parts[0] === "*" || parts[0] === "?") return { start: bounds.min, end: bounds.max, any: true, single: false };
  const start = parseNumber(parts[0]!, bounds);
  if (parts.length === 1) return { start, end: start, any: false, single: true };
  if (parts.length > 2) throw new CronScheduleError(`too many hyphens: ${expression}`);
  return { start, end: parseNumber(parts[1]!, bounds), any: false, single: false };
}

function parseRange(expression: string, bounds: FieldBounds, into: Set<number>): boolean {
  const parts = expression.split("/");
  const range = parseBounds(parts[0]!, expression, bounds);
  let { end, any } = range;
  let step = 1;
  if (parts.length === 2) {
    step = parseNumber(parts[1]!, { min: 0, max: Number.MAX_SAFE_INTEGER });
    // "N/step" means "N-max/step".
    if (range.single) end = bounds.max;
    if (step > 1) any = false;
  } else if (parts.length > 2) throw new CronScheduleError(`too many slashes: ${expression}`);
  const { start } = range;
  if (start < bounds.min) {
    throw new CronScheduleError(`beginning of range (${start}) below minimum (${bounds.min}): ${expression}`);
  }
  if (end > bounds.max)
    throw new CronScheduleError(`end of range (${end}) above maximum (${bounds.max}): ${expression}`);
  if (start > end)
    throw new CronScheduleError(`beginning of range (${start}) beyond end of range (${end}): ${expression}`);
  if (step === 0) throw new CronScheduleError(`step of range should be a positive number: ${expression}`);
  for (let value = start; value <= end; value += step) into.add(value);
  return any;
}

function parseField(text: string, bounds: FieldBounds): Field {
  const values = new Set<number>();
  let any = false;
  for (const expression of text.split(",")) {
    if (expression !== "" && parseRange(expression, bounds, values)) any = true;
  }
  return { values, any };
}

interface Spec {
  readonly minute: Field;
  readonly hour: Field;
  readonly day: Field;
  readonly month: Field;
  readonly weekday: Field;
}

const DESCRIPTORS: ReadonlyMap<string, string> = new Map([
  ["@yearly", "0 0 1 1 *"],
  ["@annually", "0 0 1 1 *"],
  ["@monthly", "0 0 1 * *"],
  ["@weekly", "0 0 * * 0"],
  ["@daily", "0 0 * * *"],
  ["@midnight", "0 0 * * *"],
  ["@hourly", "0 * * * *"],
]);

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a Go duration such as 1h30m, or undefined for any other text. */
function parseGoDuration(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g))
    total += Number(amount) * UNIT_MS[unit!]!;
  return text.startsWith("-") ? -total : total;
}

/** Fires at a fixed distance from whenever it is asked. */
function everySchedule(intervalMs: number): CronSchedule {
  const delay = Math.max(1000, Math.floor(intervalMs / 1000) * 1000);
  return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + delay };
}

/**
 * Reads a schedule.
 * @throws CronScheduleError with robfig/cron's message
 */
export function parseCronSchedule(text: string): CronSchedule {
  if (text === "") throw new CronScheduleError("empty spec string");
  let rest = text;
  let timeZone: string | undefined;
  const zoned = /^(?:CRON_)?TZ=/.exec(rest);
  if (zoned !== null) {
    const space = rest.indexOf(" ");
    const name = rest.slice(zoned[0].length, space < 0 ? undefined : space);
    if (!isTimeZone(name)) throw new CronScheduleError(`provided bad location ${name}: unknown time zone ${name}`);
    timeZone = name === "" ? "UTC" : name;
    rest = space < 0 ? "" : rest.slice(space).trim();
  }
  if (rest.startsWith("@")) return describe(rest, timeZone);
  return fieldSchedule(rest, timeZone);
}

function describe(text: string, timeZone: string | undefined): CronSchedule {
  const fields = DESCRIPTORS.get(text);
  if (fields !== undefined) return fieldSchedule(fields, timeZone);
  if (text.startsWith("@every ")) {
    const duration = parseGoDuration(text.slice("@every ".length));
    if (duration !== undefined) return everySchedule(duration);
    const quoted = JSON.stringify(text.slice("@every ".length));
    throw new CronScheduleError(`failed to parse duration ${text}: time: invalid duration ${quoted}`);
  }
  throw new CronScheduleError(`unrecognized descriptor: ${text}`);
}

function fieldSchedule(text: string, timeZone: string | undefined): CronSchedule {
  const fields = text.split(/\s+/).filter((field) => field !== "");
  if (fields.length !== 5) {
    throw new CronScheduleError(`expected exactly 5 fields, found ${fields.length}: [${fields.join(" ")}]`);
  }
  const [minute, hour, day, month, weekday] = fields as [string, string, string, string, string];
  const spec: Spec = {
    minute: parseField(minute, MINUTES),
    hour: parseField(hour, HOURS),
    day: parseField(day, DAYS),
    month: parseField(month, MONTHS),
    weekday: parseField(weekday, WEEKDAYS),
  };
  return {
    ...(timeZone === undefined ? {} : { timeZone }),
    next: (afterMs, zone) => nextActivation(spec, afterMs, timeZone ?? zone ?? "UTC"),
  };
}

/** A name the time zone database knows. */
export function isTimeZone(name: string): boolean {
  if (name === "" || name === "UTC") return true;
  // Offsets such as +01:00 are no names.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat("en-US", { timeZone: name }).resolvedOptions();
    return true;
  } catch {
    return false;
  }
}

interface WallTime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
}

type ToWall = (epochMs: number) => WallTime;

function wallClock(timeZone: string): ToWall {
  if (timeZone === "UTC" || timeZone === "") {
    return (epochMs) => {
      const date = new Date(epochMs);
      return {
        year: date.getUTCFullYear(),
        month: date.getUTCMonth() + 1,
        day: date.getUTCDate(),
        hour: date.getUTCHours(),
        minute: date.getUTCMinutes(),
      };
    };
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  return (epochMs) => {
    const parts: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(epochMs)) parts[type] = Number(value);
    return {
      year: parts["year"]!,
      month: parts["month"]!,
      day: parts["day"]!,
      hour: parts["hour"]!,
      minute: parts["minute"]!,
    };
  };
}

/** With both day fields restricted either may match; otherwise both must. */
function dayMatches({ day, weekday }: Spec, wall: WallTime): boolean {
  const inMonth = day.values.has(wall.day);
  const inWeek = weekday.values.has(new Date(Date.UTC(wall.year, wall.month - 1, wall.day)).getUTCDay());
  return day.any || weekday.any ? inMonth && inWeek : inMonth || inWeek;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const HORIZON_MS = 5 * 366 * 24 * HOUR_MS;

/**
 * Steps forward in the largest units that cannot jump over a match. Real time advances by a whole hour or minute at
 * a time, so a wall-clock time that a change of offset skips is skipped here, too.
 */
function nextActivation(spec: Spec, afterMs: number, timeZone: string): number | undefined {
  const toWall = wallClock(timeZone);
  let at = Math.floor(afterMs / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
  const limit = afterMs + HORIZON_MS;
  while (at <= limit) {
    const wall = toWall(at);
    if (!spec.month.values.has(wall.month) || !dayMatches(spec, wall)) {
      at = nextDay(at, wall, toWall);
    } else if (!spec.hour.values.has(wall.hour)) {
      at += HOUR_MS - wall.minute * MINUTE_MS;
    } else if (!spec.minute.values.has(wall.minute)) {
      at += MINUTE_MS;
    } else return at;
  }
  return undefined;
}

/** The first instant of the next day on the wall clock, whatever offset changes lie between. */
function nextDay(at: number, wall: WallTime, toWall: ToWall): number {
  let next = at + (24 - wall.hour) * HOUR_MS - wall.minute * MINUTE_MS;
  let landed = toWall(next);
  while (landed.day === wall.day) {
    next += HOUR_MS;
    landed = toWall(next);
  }
  // A day of 23 hours ends earlier: go back to its first minute.
  const past = landed.hour * HOUR_MS + landed.minute * MINUTE_MS;
  return past > 0 && toWall(next - past).day === landed.day ? next - past : next;
}
