import assert from "node:assert/strict";
import { test } from "node:test";
import type { Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { meta } from "../testing/objects.ts";
import { fill } from "./serviceaccounttoken.ts";

const account: ServiceAccount = { metadata: meta("robot") };
const base64 = (text: string) => Buffer.from(text).toString("base64");
const bare: Secret = { metadata: meta("token"), type: "kubernetes.io/service-account-token" };

test("a token secret gets what it lacks and keeps what it has", () => {
  const full = fill(bare, account, "root", () => "signed")!;
  assert.deepEqual(full.data, { "ca.crt": base64("root"), namespace: base64("ns"), token: base64("signed") });
  assert.equal(full.metadata.annotations?.["kubernetes.io/service-account.uid"], "uid-robot");
  const again = fill(full, account, "root", () => assert.fail("its token is good"));
  assert.equal(again, undefined);
  const rotated = fill(full, account, "other root", () => assert.fail("its token is good"))!;
  assert.equal(rotated.data?.["ca.crt"], base64("other root"));
  assert.equal(rotated.data?.["token"], base64("signed"));
});
