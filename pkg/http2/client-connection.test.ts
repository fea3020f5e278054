import assert from "node:assert/strict";
import { once } from "node:events";
import {
  constants,
  createServer as createHttp2,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { setImmediate as turn } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { FakeClock, type Clock, RealClock } from "#pkg/util/index.ts";
import type { ClientConnection } from "./client-connection.ts";
import type { ClientStream, ResponseFailure, ResponseSink } from "./client-stream.ts";
import { dial } from "./dial.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { Flag, frame, FrameType, Setting, settingsFrame } from "./protocol.ts";
import type { Fields } from "./request-fields.ts";

const POST: Fields = [
  [":method", "POST"],
  [":path", "/echo"],
  ["x-kind", "test"],
];

async function listen(t: TestContext, server: Server | Http2Server): Promise<URL> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  return new URL(`http://127.0.0.1:${address.port}`);
}

async function open(t: TestContext, endpoint: URL, clock: Clock = new RealClock()) {
  let retired = false;
  const onRetired = () => (retired = true);
  const connection = await dial({ endpoint, tls: {}, timeoutMs: 10_000, clock, onRetired });
  t.after(() => connection.destroy(new Error("the test is over")));
  return { connection, retired: () => retired };
}

interface Answer {
  readonly fields: Record<string, string>;
  readonly body: Buffer;
  readonly failure: ResponseFailure | undefined;
}

/** A request and its whole answer. */
function ask(
  connection: ClientConnection,
  body: Buffer,
  { end = true } = {},
): Promise<Answer> & { stream: ClientStream } {
  let stream: ClientStream | undefined;
  const answer = new Promise<Answer>((resolve) => {
    const fields: Record<string, string> = {};
    const parts: Buffer[] = [];
    const sink: ResponseSink = {
      onField: (name, value) => (fields[name] = value),
      onData: (data) => {
        parts.push(data);
        stream!.taken(data.length);
      },
      onEnd: (failure) => resolve({ fields, body: Buffer.concat(parts), failure }),
    };
    stream = connection.request(POST, body, end, sink);
  });
  return Object.assign(answer, { stream: stream! });
}

/** Answers with what it was sent, and with trailers. */
function echoServer(settings = {}): Http2Server {
  const server = createHttp2({ settings });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => undefined); // The client may cancel.
    stream.respond({ ":status": 200, "x-kind": headers["x-kind"] }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-status": "done" }));
    stream.pipe(stream);
  });
  return server;
}

test("requests and answers of all sizes, many at a time, beyond every window", async (t) => {
  const { connection } = await open(t, await listen(t, echoServer()));
  const bodies = Array.from({ length: 60 }, (_, i) => Buffer.alloc([0, 1, 900, 16_384, 16_385, 700_000][i % 6]!, i));
  const answers = await Promise.all(bodies.map((body) => ask(connection, body)));
  for (const [index, answer] of answers.entries()) {
    assert.equal(answer.failure, undefined);
    assert.deepEqual(answer.fields, {
      ":status": "200",
      "x-kind": "test",
      "x-status": "done",
      date: answer.fields["date"],
    });
    assert.ok(answer.body.equals(bodies[index]!));
  }
});

test("opens no more requests at a time than the server takes, and forgets those that are cancelled", async (t) => {
  const heard: string[] = [];
  const sink = {
    onHeaders: (id) => heard.push(`open ${id}`),
    onResetStream: (id) => heard.push(`cancel ${id}`),
    onData() {},
    onWindowUpdate() {},
    onSetting() {},
    onSettingsEnd() {},
    onPing() {},
    onGoAway() {},
  } as FrameSink;
  const server = createServer((socket) => {
    const reader = new FrameReader(sink, 65_536, "client");
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      reader.read(chunk);
      server.emit("heard", socket);
    });
    socket.write(settingsFrame([[Setting.MaxConcurrentStreams, 2]]));
  });
  const until = async (what: string[]) => {
    while (heard.length < what.length) await once(server, "heard");
    assert.deepEqual(heard, what);
  };
  const { connection } = await open(t, await listen(t, server));
  const asked = Array.from({ length: 5 }, (_, i) => ask(connection, Buffer.from(`${i}`)));
  const [socket] = (await once(server, "heard")) as [Socket];
  await until(["open 1", "open 3"]);
  asked[2]!.stream.cancel(); // Has not begun: the server hears nothing of it.
  asked[0]!.stream.cancel();
  await until(["open 1", "open 3", "cancel 1", "open 5"]);
  socket.write(frame(FrameType.Headers, Flag.EndHeaders | Flag.EndStream, 3, Buffer.from([0x88])));
  assert.deepEqual((await asked[1]!).fields, { ":status": "200" });
  await until(["open 1", "open 3", "cancel 1", "open 5", "open 7"]);
});

test("knows which requests a server that goes away has not looked at", async (t) => {
  const server = createHttp2();
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream) => stream.on("error", () => undefined));
  const { connection, retired } = await open(t, await listen(t, server));
  const asked = ask(connection, Buffer.from("1"));
  await once(server, "stream");
  const later = ask(connection, Buffer.from("2"));
  sessions[0]!.goaway(constants.NGHTTP2_NO_ERROR, 1);
  assert.equal((await later).failure?.refused, true);
  assert.ok(retired() && !connection.usable);
  sessions[0]!.destroy();
  assert.equal((await asked).failure?.refused, false);
});

test("a refused stream is told from one that was reset", async (t) => {
  const server = createHttp2();
  const codes = [constants.NGHTTP2_REFUSED_STREAM, constants.NGHTTP2_INTERNAL_ERROR];
  server.on("stream", (stream) => {
    stream.on("error", () => undefined);
    stream.close(codes.shift());
  });
  const { connection } = await open(t, await listen(t, server));
  assert.equal((await ask(connection, Buffer.from("1"))).failure?.refused, true);
  assert.equal((await ask(connection, Buffer.from("2"))).failure?.refused, false);
});

test("answers pings, though not at once, and more of them at once", async (t) => {
  const clock = new FakeClock();
  const server = echoServer();
  const session = once(server, "session") as Promise<[ServerHttp2Session]>;
  const { connection } = await open(t, await listen(t, server), clock);
  const [peer] = await session;
  const pings = (count: number) =>
    Array.from({ length: count }, () => new Promise((resolve) => peer.ping((error) => resolve(error))));
  let answered = 0;
  const first = pings(1)[0]!.then((error) => {
    answered++;
    assert.equal(error, null);
  });
  assert.equal((await ask(connection, Buffer.from("x"))).failure, undefined);
  assert.equal(answered, 0);
  clock.advance(1000);
  await first;
  assert.deepEqual(await Promise.all(pings(4)), [null, null, null, null]);
});

test("gives up a server that falls silent, and one that speaks something else", async (t) => {
  const clock = new FakeClock();
  const silent = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write(settingsFrame([]));
  });
  const { connection } = await open(t, await listen(t, silent), clock);
  const answer = ask(connection, Buffer.from("x"));
  for (let i = 0; i < 300; i++) {
    clock.advance(100);
    await turn();
  }
  assert.match(String((await answer).failure?.cause), /does not answer/);
  for (const greeting of [
    Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"),
    frame(FrameType.Ping, 0, 0, Buffer.alloc(8)),
  ]) {
    const stranger = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.write(greeting);
    });
    await assert.rejects(open(t, await listen(t, stranger)), /frame/);
  }
});
