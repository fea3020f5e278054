import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { labelSelectorAsSelector, parseLabelSelector, selectorFromSet } from "./index.ts";

const NAME_HELP =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

test("selector texts select what they say", () => {
  const table: [string, Record<string, string>, boolean][] = [
    ["", {}, true],
    ["x=a", { x: "a" }, true],
    ["x==a", { x: "b" }, false],
    ["x!=a", {}, true],
    ["x!=a", { x: "a" }, false],
    ["x in (a,b)", { x: "b" }, true],
    ["x in (a,b)", {}, false],
    ["x notin (a,b)", {}, true],
    ["x notin (a,b)", { x: "a" }, false],
    ["x", { x: "" }, true],
    ["!x", { x: "" }, false],
    ["!x", {}, true],
    ["x>1", { x: "2" }, true],
    ["x>1", { x: "a" }, false],
    ["x<10", { x: "9" }, true],
    ["x<9223372036854775807", { x: "9223372036854775806" }, true],
    ["x=", { x: "" }, true],
    ["x=a,y=b", { x: "a", y: "b" }, true],
    ["x=a,y=b", { x: "a" }, false],
    ["in=notin", { in: "notin" }, true],
    ["constructor", {}, false],
  ];
  for (const [text, labels, expected] of table) assert.equal(parseLabelSelector(text).matches(labels), expected, text);
});

test("selectors print in their canonical form, sorted by key", () => {
  const table: [string, string][] = [
    ["b=2,a=1", "a=1,b=2"],
    [" x  in ( c , a,b ) ", "x in (a,b,c)"],
    ["x in (a,,b)", "x in (,a,b)"],
    ["x in (,)", "x in ()"],
    ["x in ( )", "x in ()"],
    ["!x , y", "!x,y"],
    ["x notin(a)", "x notin (a)"],
    ["n>1,n<5", "n>1,n<5"],
  ];
  for (const [text, printed] of table) assert.equal(parseLabelSelector(text).toString(), printed);
});

test("bad selector texts fail with upstream's messages", () => {
  const table: [string, string][] = [
    ["a=b c", "found 'c', expected: ',' or 'end of string'"],
    ["a=b,", "found '', expected: identifier after ','"],
    ["!a=b", "found '=', expected: ',' or 'end of string'"],
    ["x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"],
    ["x in a", "unable to parse requirement: found 'a' expected: '('"],
    ["x in (a", "unable to parse requirement: found '', expected: ',' or ')'"],
    [
      "x>y",
      `unable to parse requirement: values[0]: Invalid value: "y": for 'Gt', 'Lt' operators, the value must be an integer`,
    ],
    [
      "x<9223372036854775808",
      `unable to parse requirement: values[0]: Invalid value: "9223372036854775808": for 'Gt', 'Lt' operators, the value must be an integer`,
    ],
    [
      `x=${"a".repeat(64)}`,
      `unable to parse requirement: values[0][x]: Invalid value: "${"a".repeat(64)}": must be no more than 63 bytes`,
    ],
    ["(", "found '(', expected: !, identifier, or 'end of string'"],
    ["_=x", `unable to parse requirement: <nil>: Invalid value: "_": ${NAME_HELP}`],
  ];
  for (const [text, message] of table)
    assert.throws(() => parseLabelSelector(text), { name: "SelectorError", message }, text);
});

test("LabelSelector objects: absent selects nothing, empty everything", () => {
  assert.equal(labelSelectorAsSelector(undefined).matches({}), false);
  assert.equal(labelSelectorAsSelector({}).matches({ a: "b" }), true);
  const selector = labelSelectorAsSelector({
    matchLabels: { app: "web" },
    matchExpressions: [
      { key: "tier", operator: "In", values: ["a", "b"] },
      { key: "old", operator: "DoesNotExist" },
    ],
  });
  assert.equal(selector.toString(), "app=web,!old,tier in (a,b)");
  assert.equal(selector.matches({ app: "web", tier: "b" }), true);
  assert.throws(() => labelSelectorAsSelector({ matchExpressions: [{ key: "a", operator: "Is" }] }), {
    message: '"Is" is not a valid label selector operator',
  });
});

test("a selector made from labels matches them and survives printing", () => {
  const word = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
  fc.assert(
    fc.property(fc.dictionary(word, word, { maxKeys: 5 }), (labels) => {
      const selector = selectorFromSet(labels);
      assert.ok(selector.matches({ ...labels, extra: "x" }));
      assert.equal(parseLabelSelector(selector.toString()).toString(), selector.toString());
    }),
  );
});
