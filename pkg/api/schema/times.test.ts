import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isTime, isWireTime } from "./times.ts";

test("times are told from texts that are none, in the form on the wire and in others", () => {
  const table: [text: string, time: boolean, wire: boolean][] = [
    ["2026-11-29T08:06:52Z", true, true],
    ["2024-02-29T23:59:59Z", true, true],
    ["2000-02-29T00:00:00Z", true, true],
    ["0000-12-31T00:00:00Z", true, true],
    ["1900-02-29T00:00:00Z", false, false],
    ["2026-02-30T00:00:00Z", false, false],
    ["2026-04-31T00:00:00Z", false, false],
    ["2026-00-01T00:00:00Z", false, false],
    ["2026-13-01T00:00:00Z", false, false],
    ["2026-01-00T00:00:00Z", false, false],
    ["2026-01-01T24:00:00Z", false, false],
    ["2026-01-01T00:60:00Z", false, false],
    ["2026-01-01T00:00:60Z", false, false],
    ["2026-01-01t00:00:00Z", false, false],
    ["2026-01-01T00:00:0\u0661Z", false, false],
    ["2026-01-01T00:00:00.25Z", true, false],
    ["2026-01-01T00:00:00+02:00", true, false],
    ["2026-02-29T00:00:00+02:00", false, false],
    ["2026-01-01T24:00:00+02:00", false, false],
    ["2026-01-01T00:00:00", false, false],
    ["", false, false],
  ];
  for (const [text, time, wire] of table) {
    assert.equal(isTime(text), time, text);
    assert.equal(isWireTime(text), wire, text);
  }
});

test("whatever Date writes is a time, and what it would write otherwise is none", () => {
  const digits = fc.array(fc.integer({ min: 0, max: 61 }), { minLength: 5, maxLength: 5 });
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9999 }), digits, (year, parts) => {
      const [month, day, hour, minute, second] = parts.map((part) => String(part).padStart(2, "0"));
      const text = `${String(year).padStart(4, "0")}-${month}-${day}T${hour}:${minute}:${second}Z`;
      const read = Date.parse(text);
      const same = !Number.isNaN(read) && `${new Date(read).toISOString().slice(0, 19)}Z` === text;
      assert.equal(isWireTime(text), same, text);
    }),
  );
});
