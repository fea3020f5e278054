import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { RealClock } from "#pkg/util/index.ts";
import { HttpsTransport } from "./https-transport.ts";

/** A server that refuses with `status` and `retryAfter` as often as told, and then agrees. */
async function refusing(t: TestContext, refusals: number, status: number, retryAfter: string) {
  let asked = 0;
  const server = createServer((_incoming, response) => {
    asked++;
    if (asked > refusals) response.end("yes");
    else response.writeHead(status, { "retry-after": retryAfter }).end("no");
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const ask = async (timeoutMs: number) => {
    const response = await new HttpsTransport(new RealClock()).post({ url, body: Buffer.from("{}"), timeoutMs });
    return [response.status, response.body.toString(), asked];
  };
  return ask;
}
const AMPLE_MS = 60_000;

test("a server that says when to come back is asked again", async (t) => {
  assert.deepEqual(await (await refusing(t, 3, 503, "0"))(AMPLE_MS), [200, "yes", 4]);
  assert.deepEqual(await (await refusing(t, 1, 429, "1"))(AMPLE_MS), [200, "yes", 2]);
});

test("ten times at most, and only after refusals that may pass", async (t) => {
  assert.deepEqual(await (await refusing(t, 99, 500, "0"))(AMPLE_MS), [500, "no", 11]);
  assert.deepEqual(await (await refusing(t, 99, 400, "0"))(AMPLE_MS), [400, "no", 1]);
  assert.deepEqual(await (await refusing(t, 99, 503, "tomorrow"))(AMPLE_MS), [503, "no", 1]);
});

test("a call is over when its time is, however long the server wants to be left alone", async (t) => {
  await assert.rejects((await refusing(t, 99, 503, "3600"))(500), /^Error: context deadline exceeded$/);
});

test("redirections are followed: with the question where they say so, without it and without the token elsewhere", async (t) => {
  const server = createServer((incoming, response) => {
    const [, status, rest = ""] = /^\/(\d+)(.*)/.exec(incoming.url!) ?? [];
    if (status !== undefined) response.writeHead(Number(status), { location: rest }).end();
    else
      void text(incoming).then((body) => response.end(`${incoming.method} ${body} ${incoming.headers.authorization}`));
  });
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const ask = async (path: string) => {
    const url = new URL(`http://127.0.0.1:${port}${path}`);
    const credentials = { token: "t" };
    const call = { url, body: Buffer.from("{}"), timeoutMs: AMPLE_MS, credentials };
    const { status, body } = await new HttpsTransport(new RealClock()).post(call);
    return `${status} ${body.toString()}`;
  };
  const localhost = `http://localhost:${port}`;
  assert.equal(await ask("/307/308/end"), "200 POST {} Bearer t");
  assert.equal(await ask("/307/302/end"), "200 GET  Bearer t");
  assert.equal(await ask(`/307${localhost}/end`), "200 POST {} undefined");
  assert.equal(await ask("/304/end"), "304 ");
  assert.equal(await ask(`${"/307".repeat(9)}/end`), "200 POST {} Bearer t");
  await assert.rejects(ask("/307".repeat(10)), /^Error: stopped after 10 redirects$/);
});
