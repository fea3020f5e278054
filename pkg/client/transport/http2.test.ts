import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import type { Http2SecureServer, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createConnection, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { configMaps } from "#pkg/api/refs.ts";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { FakeClock, RealClock } from "#pkg/util/index.ts";
import { createClient } from "../client.ts";
import { waitFor } from "../wait.ts";
import { http2Transport } from "./http2.ts";

const wait = { clock: new RealClock(), intervalMs: 5, timeoutMs: 120_000 };

interface Seen {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

/** A TLS server whose behaviour each test chooses. */
class Server {
  readonly seen: Seen[] = [];
  readonly sessions = new Set<ServerHttp2Session>();
  readonly certificates: (string | undefined)[] = [];
  respond: (stream: ServerHttp2Stream, seen: Seen) => void = (stream) => answer(stream, { ok: true });
  url = "";
  ca = "";
  client = { cert: "", key: "" };
  #server: Http2SecureServer | undefined;

  async start(settings: { maxConcurrentStreams?: number } = {}): Promise<void> {
    const now = Date.now();
    const ca = await createCa({ commonName: "ca", validityDays: 1, now });
    const serving = await issueCertificate(ca, {
      commonName: "server",
      usages: ["server"],
      ips: ["127.0.0.1"],
      validityDays: 1,
      now,
    });
    this.client = await issueCertificate(ca, { commonName: "jane", usages: ["client"], validityDays: 1, now });
    this.ca = ca.cert;
    const server = createSecureServer({
      ...serving,
      ca: ca.cert,
      requestCert: true,
      rejectUnauthorized: false,
      settings,
    });
    this.#server = server;
    server.on("session", (session) => {
      this.sessions.add(session);
      const { subject } = (
        session.socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } }
      ).getPeerCertificate();
      this.certificates.push(subject?.CN);
      session.on("close", () => this.sessions.delete(session));
      session.on("error", () => undefined);
    });
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      const chunks: Buffer[] = [];
      stream.on("error", () => undefined);
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const seen = {
          path: String(headers[":path"]),
          authorization: headers.authorization,
          body: Buffer.concat(chunks).toString(),
        };
        this.seen.push(seen);
        this.respond(stream, seen);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }
  close(): void {
    for (const session of this.sessions) session.destroy();
    this.#server?.close();
  }
}
function answer(stream: ServerHttp2Stream, body: unknown, status = 200): void {
  stream.respond({ ":status": status, "content-type": "application/json" });
  stream.end(JSON.stringify(body));
}

describe("http2Transport", () => {
  let server: Server;
  let directory: string;
  before(async () => {
    server = new Server();
    await server.start();
    directory = await mkdtemp(join(tmpdir(), "kubits-client-"));
  });
  after(async () => {
    server.close();
    await rm(directory, { recursive: true });
  });
  const connect = (extra: object = {}) => {
    const transport = http2Transport({ server: server.url, ca: server.ca, clock: new RealClock(), ...extra });
    return { transport, client: createClient(transport, { userAgent: "test" }) };
  };

  it("sends bodies and credentials over one connection, with the client's certificate", async () => {
    const { transport, client } = connect({ ...server.client, token: "secret" });
    server.respond = (stream, { body }) => answer(stream, { echo: body });
    const before = server.certificates.length;
    const replies = await Promise.all([1, 2, 3].map((i) => client.raw<{ echo: string }>("POST", `/x/${i}`, { i })));
    assert.deepEqual(
      replies.map(({ echo }) => echo),
      ['{"i":1}', '{"i":2}', '{"i":3}'],
    );
    assert.equal(server.seen.at(-1)?.authorization, "Bearer secret");
    assert.deepEqual(server.certificates.slice(before), ["jane"]);
    transport.close();
  });

  it("turns a Status into StatusError and a refused connection into ConnectionError", async () => {
    const { transport, client } = connect();
    server.respond = (stream) => answer(stream, { kind: "Status", reason: "Forbidden", code: 403, message: "no" }, 403);
    await assert.rejects(client.raw("GET", "/x"), { name: "StatusError", message: "no" });
    transport.close();
    const nowhere = http2Transport({ server: "https://127.0.0.1:1", clock: new RealClock() });
    await assert.rejects(createClient(nowhere, { userAgent: "t" }).raw("GET", "/x"), { name: "ConnectionError" });
  });

  it("refuses a server that the CA did not sign", async () => {
    const other = await createCa({ commonName: "other", validityDays: 1, now: Date.now() });
    const { transport, client } = connect({ ca: other.cert });
    await assert.rejects(client.raw("GET", "/x"), { name: "ConnectionError" });
    transport.close();
  });

  it("reads a watch as it comes, fails when the connection breaks, and connects again", async () => {
    const { transport, client } = connect();
    let writer: ServerHttp2Stream | undefined;
    server.respond = (stream) => {
      writer = stream;
      stream.respond({ ":status": 200 });
      stream.write('{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n{"type":"ADDED","obj');
    };
    const events = client.watch(configMaps)[Symbol.asyncIterator]();
    assert.equal((await events.next()).value.object.metadata.name, "a");
    writer!.write('ect":{"metadata":{"name":"b"}}}\n');
    assert.equal((await events.next()).value.object.metadata.name, "b");
    const next = events.next();
    for (const session of server.sessions) session.destroy();
    await assert.rejects(next, { name: "ConnectionError" });
    server.respond = (stream) => answer(stream, { again: true });
    assert.deepEqual(await client.raw("GET", "/x"), { again: true });
    transport.close();
  });

  it("stops waiting when the signal aborts, before and after the answer began", async () => {
    const { transport, client } = connect();
    server.respond = () => undefined;
    const stop = new AbortController();
    const asking = client.raw("GET", "/slow", undefined, { signal: stop.signal });
    setTimeout(() => stop.abort(new Error("too slow")), 20);
    await assert.rejects(asking, /too slow/);
    server.respond = (stream) => stream.respond({ ":status": 200 });
    const stopWatch = new AbortController();
    const watch = client.watch(configMaps, { signal: stopWatch.signal })[Symbol.asyncIterator]();
    const next = watch.next();
    setTimeout(() => stopWatch.abort(new Error("enough")), 50);
    await assert.rejects(next, /enough/);
    transport.close();
  });

  it("reads a rotated token after a minute, or after a 401", async () => {
    const clock = new FakeClock();
    const tokenFile = join(directory, "token");
    const { transport, client } = connect({ tokenFile, clock });
    const sent = async () => {
      await client.raw("GET", "/x").catch(() => undefined);
      return server.seen.at(-1)?.authorization;
    };
    server.respond = (stream) => answer(stream, {});
    await writeFile(tokenFile, "one\n");
    assert.equal(await sent(), "Bearer one");
    await writeFile(tokenFile, "two\n");
    assert.equal(await sent(), "Bearer one");
    await clock.advance(61_000);
    assert.equal(await sent(), "Bearer two");
    await writeFile(tokenFile, "three\n");
    server.respond = (stream) => answer(stream, {}, 401);
    assert.equal(await sent(), "Bearer two");
    assert.equal(await sent(), "Bearer three");
    transport.close();
  });

  it("gives up a connection that does not answer pings", async () => {
    // Between the two stands a proxy that one day passes nothing on any more.
    let stalled = false;
    const sockets: Socket[] = [];
    const proxy = createServer((near) => {
      const far = createConnection(Number(new URL(server.url).port), "127.0.0.1");
      sockets.push(near, far);
      near.on("data", (chunk) => stalled || far.write(chunk));
      far.on("data", (chunk) => stalled || near.write(chunk));
      for (const socket of [near, far]) socket.on("error", () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const clock = new FakeClock();
    const { transport, client } = connect({
      clock,
      server: `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    });
    server.respond = (stream) => {
      stream.respond({ ":status": 200 });
      stream.write('{"type":"ADDED","object":{"metadata":{"name":"a"}}}\n');
    };
    const watch = client.watch(configMaps)[Symbol.asyncIterator]();
    await watch.next();
    const next = watch.next();
    stalled = true;
    const failing = assert.rejects(next, { name: "ConnectionError" });
    await clock.advance(30_000);
    await clock.advance(15_001);
    await failing;
    transport.close();
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
});

describe("http2Transport to a server that limits streams", () => {
  it("opens a further connection instead of waiting behind watches", async () => {
    const server = new Server();
    await server.start({ maxConcurrentStreams: 2 });
    const transport = http2Transport({ server: server.url, ca: server.ca, clock: new RealClock() });
    const client = createClient(transport, { userAgent: "t" });
    server.respond = (stream, { path }) =>
      path.includes("watch") ? stream.respond({ ":status": 200 }) : answer(stream, { fine: true });
    await client.raw("GET", "/first");
    const watches = [1, 2].map(() => client.watch(configMaps)[Symbol.asyncIterator]().next());
    for (const watch of watches) watch.catch(() => undefined);
    await waitFor(() => server.seen.length === 3, wait);
    assert.deepEqual(await client.raw("GET", "/second"), { fine: true });
    assert.equal(server.sessions.size, 2);
    transport.close();
    server.close();
  });
});
