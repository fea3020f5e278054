import assert from "node:assert/strict";
import { test } from "node:test";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import { EARLIER, meta } from "../testing/objects.ts";
import { lacksAccount } from "./serviceaccount.ts";

const space = (phase: string, extra: object = {}): Namespace => ({
  metadata: meta("ns", extra),
  spec: {},
  status: { phase },
});
const account = { metadata: meta("default") };

test("a namespace that lives lacks its account until it is there", () => {
  assert.equal(lacksAccount(space("Active"), undefined), true);
  assert.equal(lacksAccount({ metadata: meta("ns"), spec: {} }, undefined), true, "its phase has not been written yet");
  assert.equal(lacksAccount(space("Active"), account), false);
});

test("a namespace that goes or has gone lacks nothing", () => {
  assert.equal(lacksAccount(undefined, undefined), false);
  assert.equal(lacksAccount(space("Terminating"), undefined), false);
  assert.equal(lacksAccount(space("Active", { deletionTimestamp: EARLIER }), undefined), false);
});
