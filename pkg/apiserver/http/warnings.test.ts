import assert from "node:assert/strict";
import { test } from "node:test";
import { warningHeader } from "./warnings.ts";

test("warnings are told once, without empty texts and those with control characters", () => {
  assert.equal(warningHeader(["a", "", "b\nc", 'say "x"', "a"]), '299 - "a", 299 - "say \\"x\\""');
  assert.equal(warningHeader(["\u0000"]), "");
});

test("long warnings are cut, and too many end", () => {
  const long = "x".repeat(3000);
  assert.equal(warningHeader([long]), `299 - "${long}"`);
  assert.equal(warningHeader([long, `${long}y`]), `299 - "${"x".repeat(256)}", 299 - "${"x".repeat(256)}"`);
  const many = Array.from({ length: 100 }, (_, i) => `${i} ${"é".repeat(300)}`);
  assert.equal(warningHeader(many).split(", ").length, 16);
});
