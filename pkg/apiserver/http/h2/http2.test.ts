import assert from "node:assert/strict";
import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type SecureClientSessionOptions,
} from "node:http2";
import { after, before, describe, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { ErrorCode, Flag, frame, FrameType, numberFrame, PREFACE, Setting, settingsFrame } from "#pkg/http2/index.ts";
import { createCa, issueCertificate, type KeyPair } from "#pkg/pki/index.ts";
import { RealClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { ApiRequest, ApiResponse } from "../../contract.ts";
import { type Listener, listenHttp } from "../server.ts";

type Handler = (request: ApiRequest, response: ApiResponse) => Promise<void>;

const routes = new Map<string, Handler>();
let listener: Listener;
let ca: string;
let serving: KeyPair;

async function makeCertificates(): Promise<void> {
  const now = Date.now();
  const authority = await createCa({ commonName: "test", validityDays: 1, now });
  ca = authority.cert;
  serving = await issueCertificate(authority, {
    commonName: "localhost",
    usages: ["server"],
    dnsNames: ["localhost"],
    validityDays: 1,
    now,
  });
}
function listen(): Promise<Listener> {
  const handle: Handler = (request, response) => routes.get(request.url)!(request, response);
  return listenHttp(
    { handle },
    { host: "127.0.0.1", port: 0, tls: serving },
    new RealClock(),
    silentLogger,
    new SeededRandom(1),
  );
}
before(async () => {
  await makeCertificates();
  listener = await listen();
});
after(() => listener.close(0));

function open(options: SecureClientSessionOptions = {}): ClientHttp2Session {
  const session = connect(`https://localhost:${listener.port}`, { ca, ...options });
  session.on("error", () => undefined); // seen by the streams
  return session;
}

async function bytesOf(stream: ClientHttp2Stream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe("HTTP/2 beside Node's client", () => {
  test("keeps apart what connections send that share memory, also when one of them does not read", async () => {
    const size = 8 * 1024 * 1024;
    for (const [path, fill] of [
      ["/lazy", "a"],
      ["/eager", "b"],
    ] as const) {
      routes.set(path, async (_request, response) => response.send(200, {}, Buffer.alloc(size, fill)));
    }
    // Its windows have room for everything; that it does not read, only TCP says.
    const lazy = connectTls({ port: listener.port, host: "localhost", ca, ALPNProtocols: ["h2"] });
    await once(lazy, "secureConnect");
    const settings = settingsFrame([[Setting.InitialWindowSize, 2 * size]]);
    const windows = numberFrame(FrameType.WindowUpdate, 0, 2 * size);
    const block = Buffer.from([0x82, 0x87, 0x01, 9, ...Buffer.from("localhost"), 0x04, 5, ...Buffer.from("/lazy")]);
    lazy.write(Buffer.concat([PREFACE, settings, windows, frame(FrameType.Headers, 0x05, 1, block)]));
    await once(lazy, "readable");
    const eager = open();
    for (let round = 0; round < 3; round++) {
      const bytes = await bytesOf(eager.request({ ":path": "/eager" }));
      assert.ok(bytes.equals(Buffer.alloc(size, "b")));
    }
    eager.close();
    const parts: Buffer[] = [];
    const ended = Promise.withResolvers<void>();
    let missing = size;
    lazy.on("error", ended.reject).on("close", ended.resolve);
    lazy.on("data", (chunk: Buffer) => {
      parts.push(chunk);
      missing -= chunk.length;
      // Heads of frames are not data.
      if (missing <= 0 && dataOf(Buffer.concat(parts)).length === size) ended.resolve();
    });
    await ended.promise;
    lazy.destroy();
    assert.ok(dataOf(Buffer.concat(parts)).equals(Buffer.alloc(size, "a")));
  });
  test("understands every octet that a header may have, however it was compressed", async () => {
    const seen: ApiRequest["headers"][] = [];
    routes.set("/headers", async (request, response) => {
      seen.push(request.headers);
      response.send(200, { "x-back": request.headers["x-all"] ?? "", Mixed: "case" }, Buffer.from("ok"));
    });
    const octets = Array.from({ length: 0x100 - 0x21 }, (_, at) => at + 0x21).filter((octet) => octet !== 0x7f);
    const all = String.fromCharCode(...octets);
    const session = open();
    // Repeated requests refer to fields of earlier ones; many different values push those out of the table.
    for (let round = 0; round < 200; round++) {
      const stream = session.request({
        ":path": "/headers",
        "x-all": all,
        [`x-${round % 7}`]: `${round}-${"v".repeat(round * 3)}`,
        "x-twice": ["a", "b"],
        accept: "application/json",
      });
      const [headers] = await once(stream, "response");
      assert.equal(headers["x-back"], all);
      assert.equal(headers["mixed"], "case");
      assert.match(headers["date"], /GMT$/);
      assert.equal(headers["content-length"], "2");
      assert.equal((await bytesOf(stream)).toString(), "ok");
      assert.equal(seen[round]!["x-twice"], "a, b");
      assert.equal(seen[round]![`x-${round % 7}`], `${round}-${"v".repeat(round * 3)}`);
    }
    session.close();
  });

  test("sends large answers through small windows, and small ones beside them", async () => {
    const large = Buffer.alloc(3_000_000, "0123456789");
    const pieces = [large.subarray(0, 10), large.subarray(10, 2_000_000), large.subarray(2_000_000)];
    routes.set("/large", async (_request, response) => response.send(200, {}, pieces));
    routes.set("/small", async (_request, response) => response.send(200, {}, Buffer.from("small")));
    const session = open({ settings: { initialWindowSize: 20_000, headerTableSize: 0 } });
    const stream = session.request({ ":path": "/large" });
    stream.pause();
    await once(stream, "response");
    assert.equal((await bytesOf(session.request({ ":path": "/small" }))).toString(), "small");
    assert.ok((await bytesOf(stream)).equals(large));
    session.close();
  });

  test("reads bodies whole and in pieces, and refuses one that is too large", async () => {
    routes.set("/whole", async (request, response) => response.send(200, {}, await request.body()));
    routes.set("/pieces", async (request, response) => {
      const answer = response.stream(200, {});
      for await (const piece of request.bodyStream!()) if (!answer.write(piece)) await answer.drained();
      answer.end();
    });
    routes.set("/refused", async (request, response) => {
      await assert.rejects(request.body(), { code: 413 });
      response.send(413, {}, Buffer.from("too large"));
    });
    const body = Buffer.alloc(2_900_000, "abc");
    const session = open();
    const send = (path: string, bytes: Buffer) => {
      const stream = session.request({ ":path": path, ":method": "POST" });
      stream.on("error", () => undefined);
      stream.end(bytes);
      return stream;
    };
    assert.ok((await bytesOf(send("/whole", body))).equals(body));
    const more = Buffer.alloc(9_000_000, "xyz");
    assert.ok((await bytesOf(send("/pieces", more))).equals(more));
    const [head] = await once(send("/refused", more), "response");
    assert.equal(head[":status"], 413);
    // The windows are whole again afterwards.
    for (let round = 0; round < 8; round++) {
      assert.equal((await bytesOf(send("/whole", body))).length, body.length);
    }
    session.close();
  });

  test("refuses a head that is too large, and goes on with the next request", async () => {
    routes.set("/ok", async (_request, response) => response.send(200, {}, Buffer.from("ok")));
    const session = open({ maxSendHeaderBlockLength: 1024 * 1024 });
    for (let round = 0; round < 3; round++) {
      // Remembered in the table of compression, also from a head that is refused.
      const fields = { [`x-round-${round}`]: "remembered", "x-large": "v".repeat(round === 1 ? 1000 : 70_000) };
      const stream = session.request({ ":path": "/ok", ...fields });
      const [headers] = await once(stream, "response");
      assert.equal(headers[":status"], round === 1 ? 200 : 431);
      assert.equal((await bytesOf(stream)).toString(), round === 1 ? "ok" : "431 Request Header Fields Too Large");
    }
    session.close();
  });

  test("tells the handler when the client goes away, and cuts off one that does not read", async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<unknown>();
    routes.set("/watch", async (request, response) => {
      const stream = response.stream(200, {});
      stream.write(Buffer.from("first\n"));
      request.signal.addEventListener("abort", () => resolve(request.signal.reason));
      await aborted;
      assert.equal(stream.write(Buffer.from("late")), false);
      await stream.drained();
    });
    const session = open();
    const watch = session.request({ ":path": "/watch" });
    watch.on("error", () => undefined);
    await once(watch, "data");
    watch.close(constants.NGHTTP2_CANCEL);
    assert.match(String(await aborted), /client closed/);

    const written = Promise.withResolvers<number>();
    routes.set("/flood", async (_request, response) => {
      const stream = response.stream(200, {});
      const chunk = Buffer.alloc(1024 * 1024);
      let count = 1;
      while (stream.write(chunk)) count++;
      written.resolve(count);
      stream.destroy();
    });
    const flood = session.request({ ":path": "/flood" });
    flood.pause();
    const failed = once(flood, "error");
    assert.ok((await written.promise) <= 20);
    flood.resume();
    assert.match(String((await failed)[0]), /INTERNAL_ERROR/);
    session.close();
  });

  test("sends an answer whole to a client that reads slowly while it closes", async () => {
    const own = await listen();
    const large = Buffer.alloc(8_000_000, "0123456789");
    routes.set("/slowly", async (_request, response) => response.send(200, {}, large));
    const session = connect(`https://localhost:${own.port}`, { ca });
    session.on("error", () => undefined); // seen by the stream
    const stream = session.request({ ":path": "/slowly" });
    stream.pause();
    await once(stream, "response");
    const closed = own.close(60_000);
    // Longer than a server waits for one that has read everything.
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal((await bytesOf(stream)).length, large.length);
    session.close();
    await closed;
  });

  test("lets requests under way end when it closes, and takes no more", async () => {
    const own = listener;
    listener = await listen();
    const closing = listener;
    const begun = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    routes.set("/slow", async (_request, response) => {
      begun.resolve();
      await go.promise;
      response.send(200, {}, Buffer.from("done"));
    });
    const session = open();
    const stream = session.request({ ":path": "/slow" });
    await begun.promise;
    const goaway = once(session, "goaway");
    const closed = closing.close(5000);
    await goaway;
    go.resolve();
    assert.equal((await bytesOf(stream)).toString(), "done");
    await closed;
    listener = own;
  });
});

/** What the whole DATA frames among these carry. */
function dataOf(frames: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at + 9 <= frames.length;) {
    const end = at + 9 + frames.readUIntBE(at, 3);
    if (frames[at + 3] === FrameType.Data) parts.push(frames.subarray(at + 9, end));
    at = end;
  }
  return Buffer.concat(parts);
}

/** Sends raw frames; resolves with the code of the GOAWAY, or undefined when the connection just ended. */
function goAwayAfter(...frames: Buffer[]): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port: listener.port, host: "localhost", ca, ALPNProtocols: ["h2"] });
    let bytes = Buffer.alloc(0);
    socket.on("secureConnect", () => socket.write(Buffer.concat(frames)));
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
        if (bytes[3] === FrameType.GoAway) {
          resolve(bytes.readUInt32BE(13));
          socket.destroy();
          return;
        }
        bytes = bytes.subarray(9 + bytes.readUIntBE(0, 3));
      }
    });
    socket.on("close", () => resolve(undefined));
  });
}

describe("HTTP/2 beside clients that break it", () => {
  const hello = [PREFACE, settingsFrame([])];
  /** GET https://x/ : indexed fields and one literal authority. */
  const request = Buffer.from([0x82, 0x87, 0x84, 0x41, 0x01, 0x78]);
  const headers = (id: number, flags: number = Flag.EndHeaders | Flag.EndStream, block = request) =>
    frame(FrameType.Headers, flags, id, block);
  const empty = Buffer.alloc(0);
  const many = (count: number, one: (index: number) => Buffer) =>
    Buffer.concat(Array.from({ length: count }, (_, i) => one(i)));
  const never: Handler = () => new Promise(() => undefined);

  const cases: Record<string, [frames: Buffer[], code: number]> = {
    "another protocol": [[Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n")], ErrorCode.Protocol],
    "no settings first": [[PREFACE, frame(FrameType.Ping, 0, 0, Buffer.alloc(8))], ErrorCode.Protocol],
    "a frame that is too large": [[...hello, frame(FrameType.Data, 0, 1, Buffer.alloc(16_385))], ErrorCode.FrameSize],
    "a stream of the server": [[...hello, headers(2)], ErrorCode.Protocol],
    "data on a stream that was never opened": [[...hello, frame(FrameType.Data, 0, 5, empty)], ErrorCode.Protocol],
    "a reset of a stream that was never opened": [
      [...hello, numberFrame(FrameType.ResetStream, 7, 0)],
      ErrorCode.Protocol,
    ],
    "an interrupted header block": [
      [...hello, headers(1, 0), frame(FrameType.Ping, 0, 0, Buffer.alloc(8))],
      ErrorCode.Protocol,
    ],
    "a field that no table has": [[...hello, headers(1, 5, Buffer.from([0xff, 0x20]))], ErrorCode.Compression],
    "a string without an end": [[...hello, headers(1, 5, Buffer.from([0x41, 0x7e, 1]))], ErrorCode.Compression],
    "an integer without an end": [
      [...hello, headers(1, 5, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))],
      ErrorCode.Compression,
    ],
    "padding that is not ones": [[...hello, headers(1, 5, Buffer.from([0x41, 0x81, 0x00]))], ErrorCode.Compression],
    "more padding than frame": [
      [...hello, headers(1, 4), frame(FrameType.Data, Flag.Padded, 1, Buffer.from([9]))],
      ErrorCode.Protocol,
    ],
    "a window that overflows": [[...hello, numberFrame(FrameType.WindowUpdate, 0, 0x7fffffff)], ErrorCode.FlowControl],
    "a stream window that is too large": [
      [PREFACE, settingsFrame([[Setting.InitialWindowSize, 0x80000000]])],
      ErrorCode.FlowControl,
    ],
    "a header block without an end": [
      [...hello, headers(1, 0), many(30_000, () => frame(FrameType.Continuation, 0, 1, empty))],
      ErrorCode.EnhanceYourCalm,
    ],
    "empty frames without end": [
      [...hello, headers(1, 4), many(2000, () => frame(FrameType.Data, 0, 1, empty))],
      ErrorCode.EnhanceYourCalm,
    ],
    "requests that are abandoned as fast as they are made": [
      [
        ...hello,
        many(3000, (i) => Buffer.concat([headers(2 * i + 1), numberFrame(FrameType.ResetStream, 2 * i + 1, 8)])),
      ],
      ErrorCode.EnhanceYourCalm,
    ],
  };
  for (const [what, [frames, code]] of Object.entries(cases)) {
    test(`ends the connection on ${what}`, async () => {
      routes.set("/", never);
      assert.equal(await goAwayAfter(...frames), code);
    });
  }

  const pings = many(10_000, () => frame(FrameType.Ping, 0, 0, Buffer.alloc(8)));
  /** HEAD https://x/ and a request that is malformed. */
  const head = Buffer.concat([Buffer.from([0x02, 4]), Buffer.from("HEAD"), request.subarray(1)]);
  const askForMuch: Record<string, (round: number) => Buffer> = {
    pings: () => pings,
    "answers without bodies": (round) => many(5000, (i) => headers(2 * (5000 * round + i) + 1, 5, head)),
    "refusals of requests": (round) => many(5000, (i) => headers(2 * (5000 * round + i) + 1, 5, request.subarray(1))),
  };
  for (const [what, ask] of Object.entries(askForMuch)) {
    test(`does not go on without bound with ${what} for a client that never reads`, { timeout: 60_000 }, async () => {
      routes.set("/", async (_request, response) => response.send(200, {}, Buffer.alloc(0)));
      const socket = connectTls({ port: listener.port, host: "localhost", ca, ALPNProtocols: ["h2"] });
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
      socket.on("error", () => undefined); // it may be cut off while we write
      await once(socket, "secureConnect");
      socket.pause();
      socket.write(Buffer.concat(hello));
      // What the kernel takes for both sides comes on top of the bound.
      for (let round = 0; round < 500 && !socket.destroyed; round++) {
        if (!socket.write(ask(round))) await Promise.race([once(socket, "drain").catch(() => undefined), closed]);
      }
      socket.resume();
      await closed;
    });
  }

  test("resets only the stream of a request that is malformed", async () => {
    routes.set("/ok", async (_request, response) => response.send(200, {}, Buffer.from("ok")));
    const session = open();
    const bad = session.request({ ":path": "/ok", ":method": "POST", "content-length": "10" });
    bad.end("short");
    await assert.rejects(bytesOf(bad), /PROTOCOL_ERROR/);
    assert.equal((await bytesOf(session.request({ ":path": "/ok" }))).toString(), "ok");
    session.close();
  });
});
