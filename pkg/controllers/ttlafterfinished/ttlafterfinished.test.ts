import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job } from "#pkg/api/types/batch-v1.ts";
import { EARLIER, meta, NOW, templateOf } from "../testing/objects.ts";
import { expiresInMs } from "./ttlafterfinished.ts";

function job(ttlSecondsAfterFinished: number | undefined, type: string, extra: object = {}): Job {
  const ttl = ttlSecondsAfterFinished === undefined ? {} : { ttlSecondsAfterFinished };
  return {
    metadata: meta("job", extra),
    spec: { template: templateOf({}), ...ttl },
    status: { conditions: [{ type, status: "True", lastTransitionTime: EARLIER }] },
  };
}

test("a Job goes so long after it has ended, and only then", () => {
  const day = (NOW - Date.parse(EARLIER)) / 1000;
  assert.equal(expiresInMs(job(day + 5, "Complete"), NOW), 5000);
  assert.equal(expiresInMs(job(day + 5, "Failed"), NOW), 5000);
  assert.equal(expiresInMs(job(0, "Complete"), NOW), 0);
  assert.equal(expiresInMs(job(day - 1, "Complete"), NOW), 0, "overdue is now");
  assert.equal(expiresInMs(job(5, "Suspended"), NOW), undefined, "it has not ended");
  assert.equal(expiresInMs(job(undefined, "Complete"), NOW), undefined);
  assert.equal(expiresInMs(job(0, "Complete", { deletionTimestamp: EARLIER }), NOW), undefined);
});
