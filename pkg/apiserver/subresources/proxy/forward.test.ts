import assert from "node:assert/strict";
import { createServer, request, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { deflateSync, gzipSync } from "node:zlib";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { Http1Request, Http1Response } from "../../http/http1.ts";
import { LiveRequests } from "../../http/live-requests.ts";
import { forward, type ForwardCall } from "./forward.ts";
import { linksThrough } from "./links.ts";

const PREFIX = "/prefix/proxy";
const PAGE = `<a href="/next">é</a>`;
const THROUGH = `<a href="${PREFIX}/next">é</a>`;
const html = { "content-type": "text/html; charset=utf-8" };

const answers: Record<string, RequestListener> = {
  "/plain": (_, res) => res.writeHead(200, { ...html, "content-length": Buffer.byteLength(PAGE) }).end(PAGE),
  "/gzip": (_, res) => res.writeHead(200, { ...html, "content-encoding": "gzip" }).end(gzipSync(PAGE)),
  "/deflate": (_, res) => res.writeHead(200, { ...html, "content-encoding": "deflate" }).end(deflateSync(PAGE)),
  "/unchanged": (_, res) => res.writeHead(304, { ...html, "content-encoding": "gzip" }).end(),
  "/other": (_, res) => res.writeHead(200, { "content-type": "text/plain" }).end(PAGE),
  "/moved": (_, res) => res.writeHead(302, { ...html, location: "/next" }).end(PAGE),
  "/open": (_, res) => res.writeHead(200, { "access-control-allow-origin": "*", "x-own": "1" }).end("open"),
  "/asked": (req, res) => res.writeHead(200).end(req.headers["x-forwarded-uri"]),
};

const servers: Server[] = [];
async function listen(listener: RequestListener): Promise<number> {
  const server = createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

let port = 0;
before(async () => {
  const backend = await listen((req, res) => answers[req.url!]!(req, res));
  const live = new LiveRequests(new RealClock(), new SeededRandom(1));
  port = await listen((req, res) => {
    const call: ForwardCall = {
      request: new Http1Request(req, res, {}, live),
      response: new Http1Response(res, req.method === "HEAD", "a1"),
      target: { name: "p", resource: "pods" } as ForwardCall["target"],
      services: { log: silentLogger },
    };
    const options = { links: linksThrough(PREFIX, []), forwardedUri: `${PREFIX}${req.url}` };
    // Nobody listens on port 1.
    const target = { tls: undefined, host: "127.0.0.1", port: req.url === "/refused" ? 1 : backend, path: req.url! };
    forward(call, target, options).catch((error: Error) => res.writeHead(503).end(error.message));
  });
});
after(() => {
  for (const server of servers) server.close();
});

async function ask(path: string, method = "GET") {
  return new Promise<{ status?: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, path, method, agent: false }, (incoming) => {
      const { statusCode, headers } = incoming;
      text(incoming).then((body) => resolve({ status: statusCode!, headers, body }), reject);
    });
    outgoing.once("error", reject).end();
  });
}

test("links of a page lead back through the proxy, however it is packed", async () => {
  for (const path of ["/plain", "/gzip", "/deflate"]) {
    const { body, headers } = await ask(path);
    assert.equal(body, THROUGH, path);
    assert.equal(headers["content-encoding"], undefined);
    assert.equal(headers["content-type"], html["content-type"]);
    const head = await ask(path, "HEAD");
    assert.deepEqual([head.status, head.body, head.headers["content-length"]], [200, "", undefined], path);
  }
  assert.equal((await ask("/unchanged")).status, 304);
  assert.equal((await ask("/other")).body, PAGE);
});

test("a redirect leads back, and its page is left alone", async () => {
  const { headers, body } = await ask("/moved");
  assert.deepEqual([headers["location"], body], [`${PREFIX}/next`, PAGE]);
});

test("a backend learns what was asked for, and does not say who else may show its answers", async () => {
  assert.equal((await ask("/asked")).body, `${PREFIX}/asked`);
  const { headers } = await ask("/open");
  assert.deepEqual([headers["x-own"], headers["access-control-allow-origin"]], ["1", undefined]);
});

test("who cannot be reached is told of in Go's words", async () => {
  const signal = AbortSignal.timeout(60_000);
  const upgrading = { upgrade: { protocol: "SPDY/3.1" }, method: "POST", headers: {}, remoteAddress: "", signal };
  const call = { request: upgrading, services: { log: silentLogger } } as unknown as ForwardCall;
  await assert.rejects(forward(call, { tls: undefined, host: "127.0.0.1", port: 1, path: "/" }), {
    message: "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused",
    code: 500,
  });
  const { body } = await ask("/refused");
  assert.equal(body, "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused");
});
