import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFieldSelector } from "./index.ts";

test("field selectors compare exactly, absent fields being empty", () => {
  const selector = parseFieldSelector("spec.nodeName=n1,status.phase!=Failed");
  const fields = (values: Record<string, string>) => (field: string) => values[field];
  assert.equal(selector.matches(fields({ "spec.nodeName": "n1" })), true);
  assert.equal(selector.matches(fields({ "spec.nodeName": "n1", "status.phase": "Failed" })), false);
  assert.equal(selector.exactValue("spec.nodeName"), "n1");
  assert.equal(selector.exactValue("status.phase"), undefined);
  for (const everything of ["", "=", "!=", ","]) assert.equal(parseFieldSelector(everything).empty, true);
  assert.equal(parseFieldSelector("a==b\\,c\\=d").toString(), "a=b\\,c\\=d");
});

test("bad field selectors fail with upstream's messages", () => {
  const table: [string, string][] = [
    ["a", "invalid selector: 'a'; can't understand 'a'"],
    ["a=b=c", "invalid field selector: unescaped character in value: 61"],
    ["a=\\x", "invalid field selector: invalid escape sequence: \\x"],
    ["a=b\\", "invalid field selector: invalid escape sequence: \\"],
  ];
  for (const [text, message] of table) assert.throws(() => parseFieldSelector(text), { message });
});
