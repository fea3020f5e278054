import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { adler32, DICTIONARY, HeaderReader, HeaderWriter } from "./spdy-headers.ts";
import { SpdySession } from "./spdy.ts";
import type { SpdyStream } from "./spdy.ts";

test("the dictionary is SPDY's", () => {
  assert.deepEqual([DICTIONARY.length, adler32(DICTIONARY).toString(16)], [1423, "e3c6a7c2"]);
});

test("header blocks of one connection are read in order, also as Go compresses them", async () => {
  const writer = new HeaderWriter();
  const reader = new HeaderReader();
  assert.deepEqual({ ...(await reader.decode(writer.encode({ StreamType: "stdin" }))) }, { streamtype: "stdin" });
  assert.deepEqual(
    { ...(await reader.decode(writer.encode({ port: "80", requestid: "1" }))) },
    { port: "80", requestid: "1" },
  );
  reader.close();
  const other = new HeaderReader();
  assert.deepEqual({ ...(await other.decode(Buffer.from("78f9e3c6a7c26260606000000000ffff", "hex"))) }, {});
  other.close();
});

test("streams carry data both ways, half-close, and keep what came before the end", async () => {
  const [a, b] = duplexPair();
  const served: SpdyStream[] = [];
  const server = new SpdySession(a, {
    role: "server",
    onStream: (stream) => {
      served.push(stream);
      stream.pipe(stream);
    },
  });
  const client = new SpdySession(b, { role: "client" });
  const first = client.open({ streamtype: "one" });
  const second = client.open({ streamtype: "two" });
  const large = Buffer.alloc(1_000_000, "x");
  second.end(large);
  first.end("hello");
  const read = async (stream: SpdyStream) => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    return Buffer.concat(chunks);
  };
  const [one, two] = await Promise.all([read(first), read(second)]);
  assert.equal(one.toString(), "hello");
  assert.ok(two.equals(large));
  assert.deepEqual(
    served.map(({ headers }) => headers["streamtype"]),
    ["one", "two"],
  );
  client.close();
  server.close();
});

/** A frame of data as a peer sends it. */
function dataFrame(id: number, data: Buffer, fin: boolean): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(id, 0);
  head.writeUInt32BE(data.length | (fin ? 1 << 24 : 0), 4);
  return Buffer.concat([head, data]);
}

test(
  "what a full stream held up comes once it is read, also when the stream has ended meanwhile",
  { timeout: 10_000 },
  async () => {
    const [peer, socket] = duplexPair();
    const session = new SpdySession(socket, { role: "client" });
    const output = session.open({ streamtype: "stdout" });
    const status = session.open({ streamtype: "error" });
    peer.write(
      Buffer.concat([
        dataFrame(output.id, Buffer.alloc(100_001, "x"), false),
        dataFrame(output.id, Buffer.alloc(0), true),
      ]),
    );
    peer.write(dataFrame(status.id, Buffer.from("Success"), true));
    const length = async (stream: SpdyStream) => {
      let bytes = 0;
      for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
      return bytes;
    };
    assert.deepEqual(await Promise.all([length(output), length(status)]), [100_001, 7]);
    session.close();
  },
);
