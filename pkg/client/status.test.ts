import assert from "node:assert/strict";
import { test } from "node:test";
import { notFound } from "#pkg/apimachinery/index.ts";
import { statusOf } from "./status.ts";

const answer = (status: number, body: string) => statusOf({ status, headers: {}, body: Buffer.from(body) });

test("an unsuccessful answer is an error with reason and message, whatever its body", () => {
  const cases: readonly [code: number, body: string, reason: string, message: string][] = [
    [404, JSON.stringify(notFound({ group: "", resource: "pods" }, "a").status), "NotFound", 'pods "a" not found'],
    [404, "404 page not found\n", "NotFound", "the server could not find the requested resource"],
    [404, "<html>", "NotFound", "<html>"],
    [503, "", "ServiceUnavailable", "the server responded with code 503"],
    [299, "{}", "Unknown", "{}"],
  ];
  for (const [code, body, reason, message] of cases) {
    const error = answer(code, body);
    assert.deepEqual([error.code, error.reason, error.message], [code, reason, message]);
  }
});
