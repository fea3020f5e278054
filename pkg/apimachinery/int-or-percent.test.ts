import assert from "node:assert/strict";
import { test } from "node:test";
import { intOrPercent } from "./index.ts";

test("numbers stand for themselves, percentages for a part of the total", () => {
  assert.equal(intOrPercent(3, 10, true), 3);
  assert.equal(intOrPercent("25%", 10, true), 3);
  assert.equal(intOrPercent("25%", 10, false), 2);
  assert.equal(intOrPercent("100%", 7, false), 7);
  assert.throws(() => intOrPercent("25", 10, true), {
    message: "invalid value for IntOrString: invalid type: string is not a percentage",
  });
  assert.throws(() => intOrPercent("a%", 10, true), {
    message: 'invalid value for IntOrString: invalid value "a%": strconv.Atoi: parsing "a": invalid syntax',
  });
});
