import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isConfigMapKey,
  isDns1035Label,
  isDns1123Label,
  isDns1123Subdomain,
  isEnvVarName,
  isQualifiedName,
  isValidLabelValue,
  isValidPathSegmentName,
  isValidPortName,
  validateAnnotations,
  validateLabels,
} from "./index.ts";

test("good names pass", () => {
  assert.deepEqual(isDns1123Label("a-1"), []);
  assert.deepEqual(isDns1123Subdomain("a.b-c.d1"), []);
  assert.deepEqual(isDns1035Label("a1"), []);
  assert.deepEqual(isQualifiedName("example.com/My_name"), []);
  assert.deepEqual(isValidLabelValue(""), []);
  assert.deepEqual(isConfigMapKey("..a".slice(1)), []);
  assert.deepEqual(isEnvVarName("a.b-c d"), []);
  assert.deepEqual(isValidPathSegmentName("system:node"), []);
});

test("bad names get upstream's messages", () => {
  assert.deepEqual(isDns1123Label("A"), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.deepEqual(isDns1123Label("a.b"), ["must not contain dots"]);
  assert.deepEqual(isDns1123Label("a".repeat(64)), ["must be no more than 63 characters"]);
  assert.deepEqual(isDns1123Subdomain("-"), [
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
  ]);
  assert.deepEqual(isDns1035Label("1a"), [
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.equal(isQualifiedName("/a")[0], "prefix part must be non-empty");
  assert.equal(isQualifiedName("a/b/c").length, 1);
  assert.match(isQualifiedName("")[0]!, /^name part must be non-empty$/);
  assert.equal(isValidLabelValue("a".repeat(64))[0], "must be no more than 63 bytes");
  assert.deepEqual(isConfigMapKey("..a"), ["must not start with '..'"]);
  assert.deepEqual(isEnvVarName("a=b"), [
    "a valid environment variable name must consist only of printable ASCII characters other than '='",
  ]);
  assert.deepEqual(isValidPortName("a--b-"), [
    "must not contain consecutive hyphens",
    "must not begin or end with a hyphen",
  ]);
  assert.deepEqual(isValidPathSegmentName("a/b%"), ["may not contain '/'", "may not contain '%'"]);
});

test("a hostile name is judged in linear time", () => {
  assert.equal(isDns1123Subdomain(`${"a-".repeat(50_000)}!`).length, 2);
});

test("maps of labels and annotations", () => {
  const errors = validateLabels({ "a b": "x", ok: "-" }, "metadata.labels");
  assert.deepEqual(
    errors.map(({ field, type }) => [field, type]),
    [
      ["metadata.labels", "FieldValueInvalid"],
      ["metadata.labels", "FieldValueInvalid"],
    ],
  );
  assert.deepEqual(validateAnnotations({ "UPPER/Case": "x" }, "metadata.annotations"), []);
  assert.deepEqual(validateAnnotations({ a: "x".repeat(256 * 1024) }, "metadata.annotations"), [
    {
      type: "FieldValueTooLong",
      field: "metadata.annotations",
      message: "Too long: may not be more than 262144 bytes",
    },
  ]);
});
