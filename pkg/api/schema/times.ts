/** Times as texts: RFC 3339, and what Go's parser says of everything else. */

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** Is it the text of a time that exists? Date.parse takes the 30th of February for the 2nd of March, and knows an hour 24. */
export function isTime(text: string): boolean {
  if (isWireTime(text)) return true;
  const match = RFC3339.exec(text);
  if (match === null || match[4] === "24" || Number.isNaN(Date.parse(text))) return false;
  return Number(match[3]) <= daysIn(Number(match[1]), Number(match[2]));
}

const WIRE = "0000-00-00T00:00:00Z";
const ZERO = 0x30;

/**
 * Is it such a time in the form that objects have, 2006-01-02T15:04:05Z? That nearly all are, a dozen in the status of
 * each pod, and character by character that costs a third of what patterns do.
 */
export function isWireTime(text: string): boolean {
  if (text.length !== WIRE.length) return false;
  for (let at = 0; at < WIRE.length; at++) {
    const code = text.charCodeAt(at);
    const expected = WIRE.charCodeAt(at);
    if (expected === ZERO ? code < ZERO || code > ZERO + 9 : code !== expected) return false;
  }
  if (twoDigits(text, 11) > 23 || twoDigits(text, 14) > 59 || twoDigits(text, 17) > 59) return false;
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  if (month < 1 || month > 12 || day < 1) return false;
  return day <= 28 || day <= daysIn(twoDigits(text, 0) * 100 + twoDigits(text, 2), month);
}

function twoDigits(text: string, at: number): number {
  return (text.charCodeAt(at) - ZERO) * 10 + text.charCodeAt(at + 1) - ZERO;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** The parts of RFC 3339 in Go's notation, with what fits each. */
const TIME_PARTS: readonly (readonly [string, RegExp])[] = [
  ["2006", /^\d{4}/],
  ["-", /^-/],
  ["01", /^\d{2}/],
  ["-", /^-/],
  ["02", /^\d{2}/],
  ["T", /^T/],
  ["15", /^\d{2}/],
  [":", /^:/],
  ["04", /^\d{2}/],
  [":", /^:/],
  ["05", /^\d{2}(?:[.,]\d+)?/],
  ["Z07:00", /^(?:Z|[+-]\d{2}:\d{2})/],
];
const RANGES: Readonly<Record<string, readonly [name: string, low: number, high: number]>> = {
  "01": ["month", 1, 12],
  "02": ["day", 1, 31],
  "15": ["hour", 0, 23],
  "04": ["minute", 0, 59],
  "05": ["second", 0, 59],
};

/** What Go's parser says of a text that is no time: the first part that does not fit. */
export function whyNoTime(text: string, layout: string): string {
  let rest = text;
  for (const [part, pattern] of TIME_PARTS) {
    const found = pattern.exec(rest)?.[0];
    if (found === undefined) return ` as "${layout}": cannot parse ${JSON.stringify(rest)} as "${part}"`;
    const range = RANGES[part];
    const number = Number.parseInt(found, 10);
    if (range !== undefined && (number < range[1] || number > range[2])) return `: ${range[0]} out of range`;
    rest = rest.slice(found.length);
  }
  return rest === "" ? ": day out of range" : `: extra text: ${JSON.stringify(rest)}`;
}
