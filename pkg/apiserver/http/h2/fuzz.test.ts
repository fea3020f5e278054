import assert from "node:assert/strict";
import { test } from "node:test";
import {
  frame,
  FrameReader,
  type FrameSink,
  HpackDecoder,
  Http2Error,
  PREFACE,
  settingsFrame,
} from "#pkg/http2/index.ts";
import { SeededRandom } from "#pkg/util/index.ts";
import { encodeHeaders } from "./hpack-encoder.ts";
import { RequestHeads } from "./request-head.ts";

const random = new SeededRandom(7);
const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.int(256)));

test("random header blocks are read or refused, never anything else", () => {
  for (let round = 0; round < 20_000; round++) {
    const heads = new RequestHeads(4096);
    try {
      for (let block = 0; block < 3; block++) heads.read(bytes(random.int(40)));
    } catch (error) {
      assert.ok(error instanceof Http2Error, String(error));
    }
  }
});

test("frames arrive the same however the bytes are cut", () => {
  const frames = Array.from({ length: 200 }, () => {
    const type = [0, 1, 2, 3, 6, 8, 42][random.int(7)]!;
    const length = { 2: 5, 3: 4, 6: 8, 8: 4 }[type] ?? random.int(3000);
    return frame(type, type === 1 ? 4 : random.int(2), type === 6 ? 0 : 1 + random.int(50), bytes(length));
  });
  const stream = Buffer.concat([PREFACE, settingsFrame([[4, 1000]]), ...frames]);
  const read = (cut: () => number): string[] => {
    const seen: string[] = [];
    const note =
      (name: string) =>
      (...values: unknown[]) =>
        seen.push(`${name} ${values.map(String).join()}`);
    const sink = {
      onHeaders: note("headers"),
      onData: note("data"),
      onResetStream: note("reset"),
      onWindowUpdate: note("window"),
      onSetting: note("setting"),
      onSettingsEnd: note("settings"),
      onPing: note("ping"),
      onGoAway: note("goaway"),
    } as FrameSink;
    const reader = new FrameReader(sink, 65_536, "client");
    for (let at = 0; at < stream.length;) {
      const end = at + cut();
      reader.read(stream.subarray(at, end));
      at = end;
    }
    return seen;
  };
  const whole = read(() => stream.length);
  assert.ok(whole.length > 100);
  assert.deepEqual(
    read(() => 1),
    whole,
  );
  for (let round = 0; round < 20; round++)
    assert.deepEqual(
      read(() => 1 + random.int(5000)),
      whole,
    );
});

test("what is encoded is decoded", () => {
  for (let round = 0; round < 500; round++) {
    const headers: Record<string, string> = {};
    for (let i = random.int(8); i > 0; i--) {
      headers[["content-type", "etag", "x-own", "warning", "Upper"][random.int(5)]!] = bytes(random.int(300))
        .toString("latin1")
        .replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, " ");
    }
    const status = [200, 201, 404, 409, 504][random.int(5)]!;
    const length = random.int(2) === 0 ? undefined : random.int(1e9);
    const named = random.int(2) === 0 ? undefined : "x".repeat(random.int(300));
    const block = encodeHeaders(9, status, headers, length, 0, named).subarray(9);
    const decoded: Record<string, string> = {};
    new HpackDecoder(1e6).decode(block, (name, value) => (decoded[name] = value));
    assert.deepEqual(decoded, {
      ":status": String(status),
      ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
      date: "Thu, 01 Jan 1970 00:00:00 GMT",
      ...(length === undefined ? {} : { "content-length": String(length) }),
      ...(named === undefined ? {} : { "audit-id": named }),
    });
  }
});

test("no value of an answer breaks out of its field, also by octets that are cut off", () => {
  const values: string[] = [];
  const block = encodeHeaders(0, 200, { a: "x\r\ny: z", b: "x\u010d\u010ay: z", c: "\0\u007f" }, undefined, 0);
  new HpackDecoder(1e6).decode(block, (_name, value) => values.push(value));
  assert.deepEqual(values.slice(1, 4), ["x  y: z", "x  y: z", "  "]);
});
