import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestBody } from "./request-body.ts";

const gone = new Error("gone");

test("crumbs are swept together, in order, and credited once", async () => {
  let credited = 0;
  const body = new RequestBody((bytes) => (credited += bytes));
  const sent = Buffer.from(Array.from({ length: 10_000 }, (_, at) => at));
  for (let at = 0; at < sent.length; at++) body.push(sent.subarray(at, at + 1));
  body.push(Buffer.alloc(5000, 1));
  body.end();
  const pieces: Buffer[] = [];
  for await (const piece of body.stream()) pieces.push(piece);
  assert.ok(pieces.length < 400, `${pieces.length} pieces`);
  assert.ok(Buffer.concat(pieces).equals(Buffer.concat([sent, Buffer.alloc(5000, 1)])));
  assert.equal(credited, 15_000);
});

test("a client that leaves fails every way of reading, also when all had arrived", async () => {
  const leave = (body: RequestBody): void => {
    body.fail(gone);
    body.discard();
  };
  const whole = (): RequestBody => {
    const body = new RequestBody(() => undefined);
    body.push(Buffer.from("all of it"));
    body.end();
    return body;
  };
  const unread = whole();
  leave(unread);
  await assert.rejects(unread.gather(undefined), gone);

  const waiting = new RequestBody(() => undefined);
  const gathered = waiting.gather(undefined);
  waiting.push(Buffer.from("all of it"));
  waiting.end();
  leave(waiting);
  await assert.rejects(gathered, gone);

  const streamed = whole();
  leave(streamed);
  await assert.rejects(streamed.stream().next(), gone);
});
