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
});
