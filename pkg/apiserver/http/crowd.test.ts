import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp, type Socket } from "node:net";
import { before, test, type TestContext } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { createCa, issueCertificate, type KeyPair } from "#pkg/pki/index.ts";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { ApiRequest, ApiResponse } from "../contract.ts";
import { type Listener, listenHttp, type ListenOptions } from "./server.ts";

let authority: KeyPair;
let tls: KeyPair;
const LARGE = Buffer.alloc(64 * 1024 * 1024);

/** Resolves when the client of a large answer is gone. */
const gone = Promise.withResolvers<void>();

async function handle(request: ApiRequest, response: ApiResponse): Promise<void> {
  const { url } = request;
  if (url === "/large") request.signal.addEventListener("abort", () => gone.resolve());
  response.send(200, {}, url === "/large" ? [LARGE] : Buffer.from("ok"));
}
before(async () => {
  const now = Date.now();
  authority = await createCa({ commonName: "test", validityDays: 1, now });
  const names = { commonName: "localhost", dnsNames: ["localhost"] };
  tls = await issueCertificate(authority, { ...names, usages: ["server"], validityDays: 1, now });
});

async function listen(t: TestContext, limits: Partial<ListenOptions>): Promise<Listener> {
  const options = { host: "127.0.0.1", port: 0, tls, ...limits };
  const listener = await listenHttp({ handle }, options, new RealClock(), silentLogger, new SeededRandom(1));
  t.after(() => listener.close(0));
  return listener;
}
/** A connection that never says anything; resolves with it once it is open. */
async function silent({ port }: Listener): Promise<Socket> {
  const socket = connectTcp({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined); // it is closed in our face
  await once(socket, "connect");
  socket.resume();
  return socket;
}
async function greet({ port }: Listener): Promise<TLSSocket> {
  const socket = connectTls({ port, host: "localhost", ca: authority.cert, ALPNProtocols: ["http/1.1"] });
  await once(socket, "secureConnect");
  return socket;
}
async function ask({ port }: Listener): Promise<string> {
  const session = connectHttp2(`https://localhost:${port}`, { ca: authority.cert });
  try {
    const stream = session.request({ ":path": "/" });
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    return text;
  } finally {
    session.destroy();
  }
}

test("those who open connections and fall silent push out each other and nobody else", async (t) => {
  const listener = await listen(t, { maxHandshakes: 4 });
  const served = await greet(listener);
  const first = await silent(listener);
  const closed = once(first, "close");
  const others = await Promise.all(Array.from({ length: 12 }, () => silent(listener)));
  await closed;
  assert.equal(await ask(listener), "ok");
  served.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const [answer] = await once(served, "data");
  assert.match(String(answer), /^HTTP\/1.1 200 /);
  for (const socket of [served, ...others]) socket.destroy();
});

test("connections beyond their limit are closed at once, and those there are stay", async (t) => {
  const listener = await listen(t, { maxConnections: 2 });
  const [one, two] = [await greet(listener), await greet(listener)];
  const further = connectTcp({ port: listener.port, host: "127.0.0.1" });
  further.on("error", () => undefined); // reset or closed, as the kernel has it
  further.resume();
  await once(further, "close");
  one.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const [answer] = await once(one, "data");
  assert.match(String(answer), /^HTTP\/1.1 200 /);
  one.destroy();
  two.destroy();
});

test("a client of HTTP/1.1 that takes nothing of a large answer is cut off", async (t) => {
  const listener = await listen(t, { stalledMs: 100 });
  const lazy = await greet(listener);
  lazy.pause();
  lazy.on("error", () => undefined); // it is closed in its face
  lazy.write("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
  await gone.promise;
  lazy.destroy();
  assert.equal(await ask(listener), "ok");
});

test("those who speak plain HTTP are told that they have to speak HTTPS", async (t) => {
  const socket = await silent(await listen(t, {}));
  const texts: string[] = [];
  socket.on("data", (chunk) => texts.push(String(chunk)));
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(socket, "close");
  assert.match(
    texts.join(""),
    /^HTTP\/1\.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server\.\n$/,
  );
});
