import assert from "node:assert/strict";
import { test } from "node:test";
import { variableOf } from "./env-file.ts";

const FILE = `# written by an init container

  INDENTED='in'
PLAIN='a $b \\n "c"' # said literally
LINES='first
# second
third'
EMPTY=
SPACED= 'ignored'
`;

test("environment files: quoted values, literal and over several lines", () => {
  const values = ["INDENTED", "PLAIN", "LINES", "EMPTY", "SPACED", "ABSENT"].map((key) => variableOf(FILE, key));
  assert.deepEqual(values, ["in", 'a $b \\n "c"', "first\n# second\nthird", "", "", undefined]);
});

for (const [text, what] of [
  ["A='1'\nB", "line 2: missing '='"],
  ["='1'", "line 1: empty variable name"],
  ["A ='1'", "line 1: whitespace before '=' is not allowed"],
  ["A=1", "line 1: values must be enclosed in single quotes"],
  ["A='1\n2", "line 1: unterminated single quote"],
  ["A='1'2", "line 1: unexpected content after the closing quote"],
] as const) {
  test(`environment files: ${what}`, () => {
    assert.throws(() => variableOf(text, "Z"), { message: `invalid environment variable format at ${what}` });
  });
}
