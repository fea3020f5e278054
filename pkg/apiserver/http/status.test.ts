import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreFailedError } from "#pkg/storage/index.ts";
import { asStatusError } from "./status.ts";

test("a failure of the database is told in its own words, without a reason", () => {
  const { status } = asStatusError(new StoreFailedError("etcdserver: request timed out"));
  assert.deepEqual(status, {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    code: 500,
    message: "etcdserver: request timed out",
  });
});
