import assert from "node:assert/strict";
import { test } from "node:test";
import { StatusError } from "#pkg/apimachinery/index.ts";
import { FakeClock, SeededRandom } from "#pkg/util/index.ts";
import { LiveRequests } from "./live-requests.ts";

test("a body has a minute to arrive", async () => {
  const clock = new FakeClock();
  const live = new LiveRequests(clock, new SeededRandom(1));
  assert.equal((await live.inTime(Promise.resolve(Buffer.from("x")))).toString(), "x");
  const gone = new Error("the client closed the request");
  await assert.rejects(live.inTime(Promise.reject(gone)), gone);
  const slow = live.inTime(new Promise(() => undefined));
  const refused = assert.rejects(slow, (error: unknown) => {
    assert.ok(error instanceof StatusError);
    assert.equal(error.code, 504);
    assert.equal(error.message, "Timeout: request did not complete within the allotted timeout");
    return true;
  });
  await clock.advance(60_000);
  await refused;
});
