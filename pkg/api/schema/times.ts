/** Times as texts: RFC 3339, and what Go's parser says of everything else. */

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})$/;

/** Is it the text of a time that exists? Date.parse takes the 30th of February for the 2nd of March. */
export function isTime(text: string): boolean {
  const match = RFC3339.exec(text);
  if (match === null || Number.isNaN(Date.parse(text))) return false;
  const day = Number(match[3]);
  return day <= 28 || day <= new Date(Date.UTC(Number(match[1]), Number(match[2]), 0)).getUTCDate();
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
