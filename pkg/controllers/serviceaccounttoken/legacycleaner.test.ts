import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import { meta, NOW, podOf } from "../testing/objects.ts";
import { planToken } from "./legacycleaner.ts";

const LAST_USED = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since";
const account: ServiceAccount = { metadata: meta("robot"), secrets: [{ name: "token" }] };
const token = (labels: Record<string, string> = {}, creationTimestamp = "2024-01-01T00:00:00Z"): Secret => ({
  metadata: meta("token", { labels, creationTimestamp }),
});
const YEAR_MS = 365 * 24 * 3600_000;
const plan = (secret: Secret, of: ServiceAccount | undefined = account, pods: readonly Pod[] = []) =>
  planToken(secret, of, () => pods, NOW - YEAR_MS);

test("a token that nobody used for a year is made invalid, and removed another year later", () => {
  assert.equal(plan(token()), "invalidate");
  assert.equal(plan(token({ [LAST_USED]: "2024-12-31" })), "invalidate");
  assert.equal(plan(token({ [INVALID_SINCE]: "2025-06-01" })), "keep", "its maker may still object");
  assert.equal(plan(token({ [INVALID_SINCE]: "2024-12-31" })), "remove");
  assert.equal(plan(token({ [INVALID_SINCE]: "once" })), "invalidate", "the year begins when it can be told");
});

test("tokens that are young, used, mounted or made by hand are kept", () => {
  assert.equal(plan(token({}, "2025-01-02T00:00:00Z")), "keep");
  assert.equal(plan(token({ [LAST_USED]: "2025-01-02", [INVALID_SINCE]: "2024-06-01" })), "keep");
  assert.equal(plan(token(), { metadata: meta("robot") }), "keep", "its account does not list it");
  assert.equal(
    planToken(token(), undefined, () => [], NOW - YEAR_MS),
    "keep",
    "it has no account",
  );
  const pod = podOf("user");
  const mounting = (secretName: string): Pod => ({
    ...pod,
    spec: { ...pod.spec, volumes: [{ name: "token", secret: { secretName } }] },
  });
  assert.equal(plan(token(), account, [mounting("token")]), "keep");
  assert.equal(plan(token(), account, [mounting("other")]), "invalidate");
});
