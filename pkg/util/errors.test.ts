import assert from "node:assert/strict";
import { test } from "node:test";
import { errorMessage, hasCode, ifExists } from "./errors.ts";

test("says what went wrong, whatever was thrown", () => {
  assert.equal(errorMessage(new TypeError("no such thing")), "no such thing");
  assert.equal(errorMessage("a string"), "a string");
  assert.equal(errorMessage(undefined), "undefined");
});

test("says what each of several errors says, where they have no common message", () => {
  const refused = new AggregateError([
    new Error("connect ECONNREFUSED ::1:1"),
    new Error("connect ECONNREFUSED 127.0.0.1:1"),
  ]);
  assert.equal(errorMessage(refused), "connect ECONNREFUSED ::1:1, connect ECONNREFUSED 127.0.0.1:1");
  assert.equal(errorMessage(new AggregateError([new Error("one")], "nothing worked")), "nothing worked");
});

test("takes a missing file for undefined, and nothing else", async () => {
  const missing = Object.assign(new Error("gone"), { code: "ENOENT" });
  const forbidden = Object.assign(new Error("not yours"), { code: "EACCES" });
  assert.equal(await ifExists(Promise.reject(missing)), undefined);
  assert.equal(await ifExists(Promise.resolve("text")), "text");
  await assert.rejects(ifExists(Promise.reject(forbidden)), forbidden);
  assert.ok(hasCode(forbidden, "EPERM", "EACCES"));
  assert.ok(!hasCode({ code: "EACCES" }, "EACCES"));
});
