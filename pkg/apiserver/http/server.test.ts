import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { after, before, test } from "node:test";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { createCa, issueCertificate, type KeyPair } from "#pkg/pki/index.ts";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { ApiRequest, ApiResponse } from "../contract.ts";
import { type Listener, listenHttp, type TlsOptions } from "./server.ts";

const now = Date.now();
let authority: KeyPair;
let listener: Listener;

/** Tells who the client is and what it wants. */
async function handle({ url, peer, headers, repeated }: ApiRequest, response: ApiResponse): Promise<void> {
  if (url === "/broken") throw new Error("broken");
  if (url === "/lines") {
    response.send(200, {}, Buffer.from(JSON.stringify([headers["x-a"], ...(repeated ?? [])])));
    return;
  }
  const who = peer.certificate === undefined ? "nobody" : peer.certificateVerified === true ? "known" : "unknown";
  response.send(200, {}, Buffer.from(`${who} ${url}`));
}
async function servingCertificate(commonName: string, clients: KeyPair): Promise<TlsOptions> {
  const pair = await issueCertificate(authority, {
    commonName,
    usages: ["server"],
    dnsNames: ["localhost"],
    validityDays: 1,
    now,
  });
  return { ...pair, clientCa: clients.cert };
}
const clientCertificate = (of: KeyPair) =>
  issueCertificate(of, { commonName: "client", usages: ["client"], validityDays: 1, now });

before(async () => {
  authority = await createCa({ commonName: "test", validityDays: 1, now });
  const tls = await servingCertificate("first", authority);
  listener = await listenHttp(
    { handle },
    { host: "127.0.0.1", port: 0, tls },
    new RealClock(),
    silentLogger,
    new SeededRandom(1),
  );
});
after(() => listener.close(0));

function start(options: ConnectionOptions = {}): TLSSocket {
  return connect({ port: listener.port, host: "localhost", ca: authority.cert, ...options });
}
async function open(options?: ConnectionOptions): Promise<TLSSocket> {
  const socket = start(options);
  await once(socket, "secureConnect");
  return socket;
}
/** Sends a request as it stands; returns status and body. */
async function say(socket: TLSSocket, request: string): Promise<string> {
  socket.write(request);
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return `${text.slice(9, 12)} ${text.slice(text.indexOf("\r\n\r\n") + 4)}`;
}
const get = (target: string, more = "Host: x\r\n") => `GET ${target} HTTP/1.1\r\n${more}Connection: close\r\n\r\n`;

test("clients without HTTP/2 are served, whatever they say of protocols", async () => {
  assert.equal(await say(await open(), get("/a")), "200 nobody /a");
  assert.equal(await say(await open({ ALPNProtocols: ["http/1.1"] }), get("/a")), "200 nobody /a");
});

test("a target may be a whole URL; what two readers would read differently is refused", async () => {
  assert.equal(await say(await open(), get("https://x/a?b=c")), "200 nobody /a?b=c");
  assert.equal(await say(await open(), get("https://x?b=c")), "200 nobody /?b=c");
  assert.match(await say(await open(), get("/a", "Host: x\r\nhOST: y\r\n")), /^400 [^]*too many Host headers/);
  const bodies = ["Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"];
  for (const fields of bodies) assert.match(await say(await open(), get("/a", `Host: x\r\n${fields}`)), /^400 /);
});

test("a handler that fails is an answer, too", async () => {
  assert.match(await say(await open(), get("/broken")), /^500 /);
  const session = connectHttp2(`https://localhost:${listener.port}`, { ca: authority.cert });
  const [head] = await once(session.request({ ":path": "/broken" }), "response");
  assert.equal(head[":status"], 500);
  session.close();
});

test("a connection stays who it was when it began", async () => {
  const client = await clientCertificate(authority);
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    const first = start({ ...client, maxVersion });
    const session = new Promise<Buffer>((resolve) => first.once("session", resolve));
    assert.equal(await say(first, get("/")), "200 known /");
    const resumed = await open({ ...client, maxVersion, session: await session });
    assert.equal(resumed.isSessionReused(), true);
    assert.equal(await say(resumed, get("/")), "200 known /");
    assert.equal(await say(await open({ maxVersion }), get("/")), "200 nobody /");
  }
  const socket = await open({ maxVersion: "TLSv1.2" });
  const refused = once(socket, "close").catch((error: Error) => error);
  socket.renegotiate({}, () => undefined);
  assert.match(String(await refused), /no renegotiation/);
});

test("another certificate holds for new connections, with all else as it was", async () => {
  const old = await clientCertificate(authority);
  const before = await open(old);
  const session = new Promise<Buffer>((resolve) => before.once("session", resolve));
  assert.equal(before.getPeerCertificate().subject.CN, "first");
  const ticket = await session;

  const others = await createCa({ commonName: "others", validityDays: 1, now });
  listener.setCertificate(await servingCertificate("second", others));
  assert.equal(await say(before, get("/")), "200 known /");
  const behind = await open(await clientCertificate(others));
  assert.equal(behind.getPeerCertificate().subject.CN, "second");
  assert.equal(behind.getCipher().standardName, "TLS_AES_128_GCM_SHA256");
  assert.equal(await say(behind, get("/")), "200 known /");
  // What the old authority vouched for is not carried over.
  assert.equal(await say(await open({ ...old, session: ticket }), get("/")), "200 unknown /");
});

test("headers that are sent several times keep their lines", async () => {
  const expected = JSON.stringify(["1, 2, 3", ["x-a", ["1, 2", "3"]]]);
  assert.equal(await say(await open(), get("/lines", "Host: x\r\nX-A: 1, 2\r\nX-A: 3\r\n")), `200 ${expected}`);
  const session = connectHttp2(`https://localhost:${listener.port}`, { ca: authority.cert });
  const stream = session.request({ ":path": "/lines", "x-a": ["1, 2", "3"] });
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  session.close();
  assert.equal(text, expected);
});
