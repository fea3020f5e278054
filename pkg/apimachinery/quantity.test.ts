import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseQuantity, Quantity } from "./index.ts";

test("canonical forms", () => {
  const table: [string | number, string][] = [
    ["0", "0"],
    ["0m", "0"],
    ["100m", "100m"],
    ["0.1", "100m"],
    ["1000m", "1"],
    ["1500m", "1500m"],
    ["1.5", "1500m"],
    ["1.500", "1.500"],
    ["12.5Gi", "12800Mi"],
    ["1024", "1024"],
    ["1024Ki", "1Mi"],
    ["1025Ki", "1025Ki"],
    ["0.5Ki", "512"],
    ["1e3", "1e3"],
    ["1E", "1E"],
    ["1e-3", "1e-3"],
    ["1100e-3", "1100e-3"],
    ["1000000", "1M"],
    ["100k", "100k"],
    ["0.1n", "1n"],
    ["1.0000000001", "1000000001n"],
    ["-1.5", "-1500m"],
    [0.25, "250m"],
    [3, "3"],
    ["9223372036854775808Ki", "9223372036854775807"],
    ["123456789012345678901234567890", "123456789012345678901234567890"],
  ];
  for (const [text, canonical] of table) assert.equal(parseQuantity(text).toString(), canonical, String(text));
});

test("values round away from zero", () => {
  assert.equal(parseQuantity("1m").value(), 1);
  assert.equal(parseQuantity("1500m").value(), 2);
  assert.equal(parseQuantity("-1500m").value(), -2);
  assert.equal(parseQuantity("1u").milliValue(), 1);
  assert.equal(parseQuantity("1.5Gi").value(), 1610612736);
  assert.equal(parseQuantity("2500m").toNumber(), 2.5);
  assert.equal(parseQuantity("1234u").roundUp(-3).toString(), "2m");
  assert.equal(parseQuantity("8Ei").bigValue(), 2n ** 63n - 1n);
});

test("texts that are no quantities fail with upstream's messages", () => {
  const format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  for (const text of ["", "x", ".", "1.1.M", "1 1", "m"]) {
    assert.throws(() => parseQuantity(text), { name: "QuantityError", message: format }, text);
  }
  for (const text of ["1i", "--1", "1K", "1mi", "1e", "1Mii", "1e99999999999"]) {
    assert.throws(() => parseQuantity(text), { message: "unable to parse quantity's suffix" }, text);
  }
});

const decimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }), fc.constantFrom("n", "u", "m", "", "k", "M", "G"))
  .map(([number, suffix]) => `${number}${suffix}`);

test("sums and differences are exact, and comparisons agree with them", () => {
  fc.assert(
    fc.property(decimal, decimal, (left, right) => {
      const a = parseQuantity(left);
      const b = parseQuantity(right);
      assert.ok(a.add(b).sub(b).equals(a));
      assert.equal(a.cmp(b), a.sub(b).sign);
      assert.ok(parseQuantity(a.toString()).equals(a));
    }),
  );
});

test("canonical texts are fixed points", () => {
  fc.assert(
    fc.property(decimal, (text) => {
      const canonical = parseQuantity(text).roundUp(-9).toString();
      assert.equal(parseQuantity(canonical).toString(), canonical);
    }),
  );
});

test("the short way and the long way agree", () => {
  const digits = fc.oneof(fc.nat(2000).map(String), fc.bigInt({ min: 0n, max: 10n ** 17n }).map(String));
  const suffix = fc.constantFrom("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei");
  fc.assert(
    fc.property(digits, suffix, (number, unit) => {
      // Surrounding blanks are allowed, and only the long way knows that.
      const long = parseQuantity(` ${number}${unit}`);
      const short = parseQuantity(`${number}${unit}`);
      assert.ok(short.equals(long));
      assert.deepEqual([short.toString(), short.format], [long.toString(), long.format]);
    }),
    { numRuns: 1000 },
  );
});

test("a sum keeps the format of its first part unless that is zero", () => {
  assert.equal(parseQuantity("1Gi").add(parseQuantity("1Gi")).toString(), "2Gi");
  assert.equal(Quantity.zero.add(parseQuantity("1Gi")).toString(), "1Gi");
});
