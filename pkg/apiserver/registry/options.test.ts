import assert from "node:assert/strict";
import { test } from "node:test";
import { parseListOptions, parseWriteOptions } from "./options.ts";

const query = (text: string): URLSearchParams => new URLSearchParams(text);

test("all that is wrong with the options of a write is said at once", () => {
  const table: [kind: string, text: string, patch: string | undefined, problems: string][] = [
    ["PatchOptions", "", "apply", "fieldManager: Required value: is required for apply patch"],
    [
      "PatchOptions",
      "fieldValidation=x&dryRun=Q",
      "apply",
      '[fieldManager: Required value: is required for apply patch, dryRun: Unsupported value: ["Q"]: supported values: "All", fieldValidation: Unsupported value: "x": supported values: "", "Ignore", "Strict", "Warn"]',
    ],
    ["PatchOptions", "force=false", "merge", "force: Forbidden: may not be specified for non-apply patch"],
    ["CreateOptions", "dryRun=", undefined, 'dryRun: Unsupported value: [""]: supported values: "All"'],
  ];
  for (const [kind, text, patch, problems] of table) {
    const message = `${kind}.meta.k8s.io "" is invalid: ${problems}`;
    assert.throws(() => parseWriteOptions(kind, query(text), patch), { message }, text);
  }
  assert.equal(parseWriteOptions("PatchOptions", query("fieldManager=a&force=1"), "apply").force, true);
});

test("options of a list that do not go together are refused", () => {
  const number = "99999999999999999999";
  assert.throws(() => parseListOptions(query(`limit=${number}`), false), {
    message: `strconv.ParseInt: parsing "${number}": value out of range`,
  });
  assert.throws(() => parseListOptions(query("resourceVersion=5&resourceVersionMatch=Bogus"), false), {
    message:
      'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Unsupported value: "Bogus": supported values: "Exact", "NotOlderThan", ""',
  });
  assert.throws(() => parseListOptions(query("sendInitialEvents=true&resourceVersionMatch=Exact"), true), {
    message:
      'ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"]',
  });
  assert.throws(() => parseListOptions(query("limit="), false), {
    message: 'strconv.ParseInt: parsing "": invalid syntax',
  });
  const forbidden = "resourceVersionMatch is forbidden";
  assert.throws(() => parseListOptions(query("resourceVersionMatch=x&continue=y"), true), {
    message: `ListOptions.meta.k8s.io "" is invalid: [resourceVersionMatch: Forbidden: ${forbidden} for watch unless sendInitialEvents is provided, resourceVersionMatch: Unsupported value: "x": supported values: "NotOlderThan", resourceVersionMatch: Forbidden: ${forbidden} when continue is provided]`,
  });
  assert.throws(() => parseListOptions(query("resourceVersion=0&continue=y"), true), {
    message: `ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: ${forbidden} when continue is provided`,
  });
});

test("every character of a field manager that cannot be printed is named", () => {
  const manager = 'fieldManager: Invalid value: "\\u200b\\x01x\\u00a0"';
  const bad = (code: string, at: number): string => `${manager}: invalid character U+${code} (at position ${at})`;
  assert.throws(() => parseWriteOptions("CreateOptions", query("fieldManager=%E2%80%8B%01x%C2%A0")), {
    message: `CreateOptions.meta.k8s.io "" is invalid: [${bad("200B", 0)}, ${bad("0001", 3)}, ${bad("00A0", 5)}]`,
  });
});
