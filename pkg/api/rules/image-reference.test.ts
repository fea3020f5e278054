import assert from "node:assert/strict";
import { test } from "node:test";
import { parseImageReference } from "./image-reference.ts";

test("takes references apart", () => {
  const digest = `sha256:${"0".repeat(64)}`;
  const none = { host: undefined, tag: undefined, digest: undefined };
  assert.deepEqual(parseImageReference("nginx"), { ...none, path: "nginx" });
  assert.deepEqual(parseImageReference("nginx:1.2"), { ...none, path: "nginx", tag: "1.2" });
  assert.deepEqual(parseImageReference("library/nginx"), { ...none, host: "library", path: "nginx" });
  assert.deepEqual(parseImageReference("registry:5000/a/b:t"), {
    ...none,
    host: "registry:5000",
    path: "a/b",
    tag: "t",
  });
  assert.deepEqual(parseImageReference("[::1]:5000/a"), { ...none, host: "[::1]:5000", path: "a" });
  assert.deepEqual(parseImageReference(`a:t@${digest}`), { host: undefined, path: "a", tag: "t", digest });
});

test("refuses what is none, what could be an identifier, and paths that no registry has", () => {
  const identifier = "0a".repeat(32);
  for (const bad of ["", "Nginx", "a b", "nginx:", "-x", "a//b", identifier, "x".repeat(5000)])
    assert.equal(parseImageReference(bad), undefined, bad);
  assert.ok(parseImageReference("x".repeat(255 - "library/".length)) !== undefined);
  assert.equal(parseImageReference("x".repeat(256 - "library/".length)), undefined);
});
