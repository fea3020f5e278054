import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import {
  ErrorCode,
  Flag,
  frame,
  FrameType,
  HpackDecoder,
  numberFrame,
  PREFACE,
  Setting,
  settingsFrame,
} from "#pkg/http2/index.ts";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import type { ApiRequest, ApiResponse, ResponseStream } from "../../contract.ts";
import { type Listener, listenHttp } from "../server.ts";
import { LOOK_MS } from "./patience.ts";

const clock = new FakeClock();
let listener: Listener;
let ca: string;
/** What the handler of /gate waits for, what came of the body it then asked for, and the answer of /stream. */
let gate = Promise.withResolvers<void>();
let gated = Promise.withResolvers<string>();
let streaming = Promise.withResolvers<ResponseStream>();

async function handle(request: ApiRequest, response: ApiResponse): Promise<void> {
  if (request.url === "/gate") {
    await gate.promise;
    request.body().then(
      (body) => gated.resolve(`body of ${body.length}`),
      (error: Error) => gated.resolve(error.message),
    );
  } else if (request.url === "/stream") {
    const stream = response.stream(200, {});
    stream.write(Buffer.alloc(100));
    streaming.resolve(stream);
  } else if (request.url === "/large") response.send(200, {}, Buffer.alloc(1000));
  else if (request.url === "/early") response.send(403, {}, Buffer.from("no"));
  else response.send(200, { "x-host": request.headers["host"] ?? "" }, await request.body());
}

before(async () => {
  const now = Date.now();
  const authority = await createCa({ commonName: "test", validityDays: 1, now });
  ca = authority.cert;
  const tls = await issueCertificate(authority, {
    commonName: "localhost",
    usages: ["server"],
    dnsNames: ["localhost"],
    validityDays: 1,
    now,
  });
  listener = await listenHttp(
    { handle },
    { host: "127.0.0.1", port: 0, tls },
    clock,
    silentLogger,
    new SeededRandom(1),
  );
});
after(async () => {
  const closed = listener.close(0);
  for (let round = 0; round < 3; round++) await clock.advance(1000);
  await closed;
});

/** A client that says what the test wants, and notes what it is answered. */
class RawClient {
  readonly seen: string[] = [];
  readonly #socket: TLSSocket;
  readonly #decoder = new HpackDecoder(65_536);
  #bytes = Buffer.alloc(0);
  #changed = Promise.withResolvers<void>();

  constructor(...frames: Buffer[]) {
    this.#socket = connectTls({ port: listener.port, host: "localhost", ca, ALPNProtocols: ["h2"] });
    this.#socket.on("secureConnect", () => this.send(...frames));
    this.#socket.on("error", (error) => this.#note(String(error)));
    this.#socket.on("close", () => this.#note("closed"));
    this.#socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }
  send(...frames: Buffer[]): void {
    this.#socket.write(Buffer.concat(frames));
  }
  close(): void {
    this.#socket.destroy();
  }
  /** Waits until the answer has been seen, or the connection is over. */
  async sees(answer: string): Promise<void> {
    while (!this.seen.includes(answer) && !this.seen.includes("closed")) await this.#changed.promise;
    assert.ok(this.seen.includes(answer), `${answer}, not ${this.seen.join("; ")}`);
  }

  #read(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 9 && this.#bytes.length >= 9 + this.#bytes.readUIntBE(0, 3)) {
      const end = 9 + this.#bytes.readUIntBE(0, 3);
      this.#frame(this.#bytes[3]!, this.#bytes[4]!, this.#bytes.readUInt32BE(5), this.#bytes.subarray(9, end));
      this.#bytes = this.#bytes.subarray(end);
    }
  }
  #frame(type: number, flags: number, id: number, payload: Buffer): void {
    if (type === FrameType.GoAway) this.#note(`goaway ${payload.readUInt32BE(4)}`);
    else if (type === FrameType.ResetStream) this.#note(`reset ${id} ${payload.readUInt32BE(0)}`);
    else if (type === FrameType.Data) this.#note(`data ${id} ${payload.length}${(flags & 1) === 1 ? " end" : ""}`);
    else if (type === FrameType.Ping && flags === Flag.Ack) this.#note(`pong ${payload.toString("latin1")}`);
    else if (type === FrameType.Settings && flags === Flag.Ack) this.#note("settings acknowledged");
    else if (type === FrameType.Headers) {
      this.#decoder.decode(payload, (name, value) => {
        if (name === ":status" || name === "x-host") this.#note(`${name} ${id} ${value}`);
      });
    }
  }
  #note(what: string): void {
    this.seen.push(what);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

type FieldList = readonly (readonly [name: string, value: string])[];

/** A header block of literals. */
function block(fields: FieldList): Buffer {
  const texts = fields.flatMap(([name, value]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name, "latin1"),
    Buffer.from([value.length]),
    Buffer.from(value, "latin1"),
  ]);
  return Buffer.concat(texts);
}
const GET: FieldList = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
];
const POST: FieldList = [[":method", "POST"], ...GET.slice(1)];
const at = (path: string): FieldList => [[":method", "POST"], [":scheme", "https"], [":path", path]]; // prettier-ignore
const headers = (id: number, fields: FieldList, flags: number = Flag.EndHeaders) =>
  frame(FrameType.Headers, flags, id, block(fields));
const whole = (id: number, fields: FieldList) => headers(id, fields, Flag.EndHeaders | Flag.EndStream);
const data = (id: number, text: string, flags = 0) => frame(FrameType.Data, flags, id, Buffer.from(text));
const hello = [PREFACE, settingsFrame([])];
const bytes = (...values: number[]) => Buffer.from(values);
const without = (fields: FieldList, name: string) => fields.filter(([key]) => key !== name);
const goaway = (code: number) => `goaway ${code}`;
const malformed = "reset 1 1";
const { Protocol, FrameSize, StreamClosed, FlowControl, Compression } = ErrorCode;

/** By section of RFC 9113: what the client sends behind its preface, and what it must be answered. */
const demands: Record<string, Record<string, readonly [frames: readonly Buffer[], answer: string]>> = {
  "4.1 frame format": {
    "an unknown type is ignored": [[frame(0xbe, 0xff, 1, bytes(1, 2, 3)), whole(1, GET)], ":status 1 200"],
    "undefined flags are ignored": [[headers(1, GET, 0xd5 & ~Flag.Padded)], ":status 1 200"],
  },
  "4.3 field sections": {
    "a block goes on": [
      [
        frame(FrameType.Headers, Flag.EndStream, 1, block(GET.slice(0, 1))),
        frame(FrameType.Continuation, 0, 1, block(GET.slice(1, 2))),
        frame(FrameType.Continuation, Flag.EndHeaders, 1, block(GET.slice(2))),
      ],
      ":status 1 200",
    ],
    "a block goes on for another stream": [
      [headers(1, GET, 0), frame(FrameType.Continuation, Flag.EndHeaders, 3, block(GET))],
      goaway(Protocol),
    ],
    "there is nothing to go on": [[frame(FrameType.Continuation, 4, 1, block(GET))], goaway(Protocol)],
    "the table is made smaller": [
      [frame(FrameType.Headers, 5, 1, Buffer.concat([bytes(0x20, 0x3f, 0x01), block(GET)]))],
      ":status 1 200",
    ],
    "the table is made larger than allowed": [
      [frame(FrameType.Headers, 5, 1, Buffer.concat([bytes(0x3f, 0xe2, 0x1f), block(GET)]))],
      goaway(Compression),
    ],
    "the table is resized behind a field": [
      [frame(FrameType.Headers, 5, 1, Buffer.concat([block(GET), bytes(0x20)]))],
      goaway(Compression),
    ],
  },
  "5.1 stream states": {
    "data on an idle stream": [[data(1, "x")], goaway(Protocol)],
    "data on a stream of the server": [[whole(3, GET), data(2, "x")], goaway(Protocol)],
    "a reset of a stream of the server": [[whole(3, GET), numberFrame(FrameType.ResetStream, 2, 8)], goaway(Protocol)],
    "a window for an idle stream": [[numberFrame(FrameType.WindowUpdate, 1, 8)], goaway(Protocol)],
    "a window for a stream of the server": [
      [whole(3, GET), numberFrame(FrameType.WindowUpdate, 2, 8)],
      goaway(Protocol),
    ],
    "data behind the end": [[whole(1, at("/gate")), data(1, "x")], `reset 1 ${StreamClosed}`],
    "a head behind the end": [[whole(1, at("/gate")), whole(1, GET)], `reset 1 ${StreamClosed}`],
    "data behind the client's own reset": [
      [headers(1, at("/gate")), numberFrame(FrameType.ResetStream, 1, 8), data(1, "x")],
      goaway(StreamClosed),
    ],
    "a stream that was skipped": [[whole(5, GET), whole(3, GET)], goaway(StreamClosed)],
    "a head with an even number": [[whole(5, GET), whole(4, GET)], goaway(Protocol)],
    "what crosses our reset is ignored": [
      [
        headers(1, [...POST, ["Upper", "x"]]),
        data(1, "x"),
        numberFrame(FrameType.WindowUpdate, 1, 5),
        headers(1, [["x-trailer", "1"]], 5),
        whole(3, GET),
      ],
      ":status 3 200",
    ],
  },
  "6.1 data": {
    "padding is no content": [
      [headers(1, [...POST, ["content-length", "2"]]), frame(FrameType.Data, 9, 1, bytes(3, 65, 66, 0, 0, 0))],
      "data 1 2 end",
    ],
    "data of no stream": [[data(0, "x")], goaway(Protocol)],
  },
  "6.2 headers": {
    "padding and priority are passed over": [
      [frame(FrameType.Headers, 0x2d, 1, Buffer.concat([bytes(2, 0, 0, 0, 0, 7), block(GET), bytes(0, 0)]))],
      ":status 1 200",
    ],
    "headers of no stream": [[whole(0, GET)], goaway(Protocol)],
  },
  "6.3 priority": {
    "on an idle stream": [[frame(FrameType.Priority, 0, 9, bytes(0, 0, 0, 0, 7)), whole(1, GET)], ":status 1 200"],
    "of no stream": [[frame(FrameType.Priority, 0, 0, bytes(0, 0, 0, 0, 7))], goaway(Protocol)],
    "of a wrong size": [[frame(FrameType.Priority, 0, 1, bytes(0))], goaway(FrameSize)],
  },
  "6.4 resets": {
    "of no stream": [[numberFrame(FrameType.ResetStream, 0, 8)], goaway(Protocol)],
    "of a wrong size": [[headers(1, POST), frame(FrameType.ResetStream, 0, 1, bytes(0))], goaway(FrameSize)],
  },
  "6.5 settings": {
    "are acknowledged": [[], "settings acknowledged"],
    "that nobody knows are ignored": [[settingsFrame([[0xff, 1]]), whole(1, GET)], ":status 1 200"],
    "of a stream": [[frame(FrameType.Settings, 0, 1, bytes())], goaway(Protocol)],
    "an acknowledgement that says something": [[frame(FrameType.Settings, 1, 0, bytes(1))], goaway(FrameSize)],
    "that are cut off": [[frame(FrameType.Settings, 0, 0, bytes(1))], goaway(FrameSize)],
    "push that is neither yes nor no": [[settingsFrame([[Setting.EnablePush, 2]])], goaway(Protocol)],
    "frames that are too small": [[settingsFrame([[Setting.MaxFrameSize, 16_383]])], goaway(Protocol)],
    "frames that are too large": [[settingsFrame([[Setting.MaxFrameSize, 1 << 24]])], goaway(Protocol)],
  },
  "6.6 to 6.8": {
    "a push": [[frame(FrameType.PushPromise, 4, 1, bytes(0, 0, 0, 2))], goaway(Protocol)],
    "a ping is answered": [[frame(FrameType.Ping, 0, 0, Buffer.from("12345678"))], "pong 12345678"],
    "a ping of a stream": [[frame(FrameType.Ping, 0, 1, Buffer.alloc(8))], goaway(Protocol)],
    "a ping of a wrong size": [[frame(FrameType.Ping, 0, 0, Buffer.alloc(7))], goaway(FrameSize)],
    "a goodbye of a stream": [[frame(FrameType.GoAway, 0, 1, Buffer.alloc(8))], goaway(Protocol)],
    "a goodbye that is cut off": [[frame(FrameType.GoAway, 0, 0, Buffer.alloc(4))], goaway(FrameSize)],
  },
  "6.9 windows": {
    "by nothing, of the connection": [[numberFrame(FrameType.WindowUpdate, 0, 0)], goaway(Protocol)],
    "by nothing, of a stream": [[headers(1, POST), numberFrame(FrameType.WindowUpdate, 1, 0)], malformed],
    "of a wrong size": [[frame(FrameType.WindowUpdate, 0, 0, bytes(1))], goaway(FrameSize)],
    "too large, of a stream": [
      [headers(1, POST), numberFrame(FrameType.WindowUpdate, 1, 0x7fffffff)],
      `reset 1 ${FlowControl}`,
    ],
    "too large by new settings": [
      [
        headers(1, POST),
        numberFrame(FrameType.WindowUpdate, 1, 0x7fff0000),
        settingsFrame([[Setting.InitialWindowSize, 0x7fffffff]]),
      ],
      goaway(FlowControl),
    ],
    "for a stream that is closed": [
      [
        headers(1, POST),
        numberFrame(FrameType.ResetStream, 1, 8),
        numberFrame(FrameType.WindowUpdate, 1, 8),
        whole(3, GET),
      ],
      ":status 3 200",
    ],
  },
  "8.1 messages": {
    "trailers end a request": [[headers(1, POST), data(1, "ab"), headers(1, [["x-trailer", "1"]], 5)], "data 1 2 end"],
    "trailers that end nothing": [[headers(1, POST), headers(1, [["x-trailer", "1"]])], malformed],
    "trailers with a pseudo-field": [[headers(1, POST), headers(1, [[":path", "/other"]], 5)], malformed],
    "trailers in capitals": [[headers(1, POST), headers(1, [["X-Trailer", "1"]], 5)], malformed],
    "less than was announced": [
      [headers(1, [...POST, ["content-length", "3"]]), data(1, "ab", Flag.EndStream)],
      malformed,
    ],
    "more than was announced": [[headers(1, [...POST, ["content-length", "1"]]), data(1, "ab")], malformed],
    "nothing of what was announced": [[whole(1, [...POST, ["content-length", "3"]])], malformed],
  },
  "8.2 fields": {
    "capitals in a name": [[whole(1, [...GET, ["Upper", "x"]])], malformed],
    "a space in a name": [[whole(1, [...GET, ["a b", "x"]])], malformed],
    "a colon in a name": [[whole(1, [...GET, ["a:b", "x"]])], malformed],
    "a name of nothing": [[whole(1, [...GET, ["", "x"]])], malformed],
    "an octet above ASCII in a name": [[whole(1, [...GET, ["\xe9", "x"]])], malformed],
    "a line break in a value": [[whole(1, [...GET, ["a", "x\r\nx-remote-user: admin"]])], malformed],
    "a lone line feed in a value": [[whole(1, [...GET, ["a", "x\ny"]])], malformed],
    "a NUL in a value": [[whole(1, [...GET, ["a", "x\0"]])], malformed],
    // Against the RFC, as Go does; they are no part of the host, which would be another than the authority.
    "spaces around a value": [[whole(1, [...GET, [":authority", "h"], ["host", " \th \t"]])], ":status 1 200"],
    "a value of spaces": [[whole(1, [...GET, ["a", " \t "]])], ":status 1 200"],
    "a NUL between spaces": [[whole(1, [...GET, ["a", " \0 "]])], malformed],
    "spaces around a path": [[whole(1, at(" / "))], malformed],
    "spaces within a value": [[whole(1, [...GET, ["a", "x y\tz"], ["b", ""]])], ":status 1 200"],
    connection: [[whole(1, [...GET, ["connection", "close"]])], malformed],
    "transfer-encoding": [[headers(1, [...POST, ["transfer-encoding", "chunked"]])], malformed],
    "te for trailers": [[whole(1, [...GET, ["te", "trailers"]])], ":status 1 200"],
    "te for anything else": [[whole(1, [...GET, ["te", "gzip"]])], malformed],
    "two lengths": [[headers(1, [...POST, ["content-length", "1"], ["content-length", "2"]])], malformed],
    "a length that is none": [[headers(1, [...POST, ["content-length", "+1"]])], malformed],
    "two credentials": [[whole(1, [...GET, ["authorization", "a"], ["authorization", "b"]])], malformed],
  },
  "8.3 control data": {
    "no method": [[whole(1, without(GET, ":method"))], malformed],
    "no scheme": [[whole(1, without(GET, ":scheme"))], malformed],
    "no path": [[whole(1, without(GET, ":path"))], malformed],
    "a path of nothing": [[whole(1, [...without(GET, ":path"), [":path", ""]])], malformed],
    "two paths": [[whole(1, [...GET, [":path", "/"]])], malformed],
    "a line break in the path": [[whole(1, at("/ HTTP/1.1\r\nx: y"))], malformed],
    "a method that is no token": [[whole(1, [...without(GET, ":method"), [":method", "GET /"]])], malformed],
    "a pseudo-field of answers": [[whole(1, [...GET, [":status", "200"]])], malformed],
    "a pseudo-field behind others": [[whole(1, [...GET.slice(1), ["a", "x"], GET[0]!])], malformed],
    "the authority is the host": [[whole(1, [...GET, [":authority", "a.test"]])], "x-host 1 a.test"],
    "a host without an authority": [[whole(1, [...GET, ["host", "b.test"]])], "x-host 1 b.test"],
    "a host beside another authority": [[whole(1, [...GET, [":authority", "a"], ["host", "b"]])], malformed],
    "two hosts": [[whole(1, [...GET, ["host", "a"], ["host", "b"]])], malformed],
  },
};

for (const [section, cases] of Object.entries(demands)) {
  describe(`RFC 9113, ${section}`, () => {
    for (const [what, [frames, answer]] of Object.entries(cases)) {
      test(what, async () => {
        const client = new RawClient(...hello, ...frames);
        await client.sees(answer);
        client.close();
      });
    }
  });
}

test("an acknowledgement is no greeting", async () => {
  await new RawClient(PREFACE, frame(FrameType.Settings, Flag.Ack, 0, bytes())).sees(goaway(Protocol));
});

test("an answer ends although the client has taken its window back", async () => {
  streaming = Promise.withResolvers();
  const client = new RawClient(PREFACE, settingsFrame([[Setting.InitialWindowSize, 100]]), whole(1, at("/stream")));
  const stream = await streaming.promise;
  await client.sees("data 1 100");
  client.send(settingsFrame([[Setting.InitialWindowSize, 0]]), frame(FrameType.Ping, 0, 0, Buffer.from("shrunken")));
  await client.sees("pong shrunken");
  stream.end();
  await client.sees("data 1 0 end");
  client.send(whole(3, at("/early")));
  await client.sees(":status 3 403");
  client.close();
});

test("a whole body whose client has left is not taken for an empty one", async () => {
  gate = Promise.withResolvers();
  gated = Promise.withResolvers();
  const body = [headers(1, at("/gate")), data(1, "preconditions", Flag.EndStream)];
  const client = new RawClient(...hello, ...body, numberFrame(FrameType.ResetStream, 1, 8), whole(3, GET));
  await client.sees(":status 3 200");
  gate.resolve();
  assert.match(await gated.promise, /client closed/);
  client.close();
});

test("an answer that nobody takes is not kept for ever, unlike one that is a stream", async () => {
  streaming = Promise.withResolvers();
  const small = settingsFrame([[Setting.InitialWindowSize, 50]]);
  const client = new RawClient(PREFACE, small, whole(1, at("/large")), whole(3, at("/stream")));
  await client.sees("data 1 50");
  await client.sees("data 3 50");
  await clock.advance(2 * LOOK_MS);
  client.send(numberFrame(FrameType.WindowUpdate, 1, 50));
  await client.sees("data 1 50");
  await clock.advance(3 * LOOK_MS);
  await client.sees(`reset 1 ${ErrorCode.Cancel}`);
  client.send(numberFrame(FrameType.WindowUpdate, 3, 50));
  (await streaming.promise).end();
  await client.sees("data 3 50 end");
  client.close();
});

test("what is written at once arrives in one frame, where it fits", async () => {
  streaming = Promise.withResolvers();
  const client = new RawClient(...hello, whole(1, at("/stream")));
  const stream = await streaming.promise;
  await client.sees("data 1 100");
  for (const size of [9000, 9000, 7000, 500, 20_000]) stream.write(Buffer.alloc(size));
  stream.end();
  await client.sees("data 1 3616 end");
  const frames = client.seen.filter((note) => note.startsWith("data 1")).slice(1);
  assert.deepEqual(frames, ["data 1 9000", "data 1 16000", "data 1 500", "data 1 16384", "data 1 3616 end"]);
  client.close();
});

test("a header list that grows when it is read is refused, and the connection goes on", async () => {
  // One field of 4,000 bytes is remembered and then named a hundred times.
  const remembered = Buffer.concat([Buffer.from([0x40, 0x01, 0x61, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, "x")]);
  const bomb = Buffer.concat([block(GET), remembered, Buffer.alloc(100, 0xbe)]);
  const all = Flag.EndHeaders | Flag.EndStream;
  const client = new RawClient(...hello, frame(FrameType.Headers, all, 1, bomb), whole(3, GET));
  await client.sees(":status 1 431");
  await client.sees(":status 3 200");
  client.close();
});

test("an idle connection is told goodbye", async () => {
  const client = new RawClient(...hello, whole(1, GET));
  await client.sees(":status 1 200");
  await clock.advance(5 * LOOK_MS);
  await client.sees(goaway(ErrorCode.None));
  client.close();
});

test("a client that expects it is told to go on", async () => {
  const client = new RawClient(...hello, headers(1, [...POST, ["expect", "100-continue"]]));
  await client.sees(":status 1 100");
  client.send(data(1, "ab", Flag.EndStream));
  await client.sees("data 1 2 end");
  client.send(headers(3, [...at("/early"), ["expect", "100-continue"]]));
  await client.sees(":status 3 403");
  assert.ok(!client.seen.includes(":status 3 100"));
  client.close();
});
