import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Reader } from "./reader.ts";
import { ReverseWriter } from "./writer.ts";

test("what is written backwards reads forwards", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true }),
      fc.uint8Array(),
      (text, number, double, bytes) => {
        const writer = new ReverseWriter(8);
        writer.bytes(bytes);
        writer.double(double);
        writer.signed(number);
        writer.string(text);
        const reader = new Reader(writer.finish());
        assert.equal(reader.string(), text.toWellFormed());
        assert.equal(reader.int64(), number);
        assert.equal(reader.double(), double);
        assert.deepEqual(Uint8Array.from(reader.bytes()), bytes);
        assert.equal(reader.position, reader.end);
      },
    ),
  );
});

test("a large message does not hold its memory", () => {
  const writer = new ReverseWriter(1024);
  writer.bytes(new Uint8Array(100_000));
  assert.equal(writer.finish().length, 100_003);
  assert.ok(writer.capacity >= 100_003, "buffers of ordinary size are kept");
  writer.bytes(new Uint8Array(9 * 1024 * 1024));
  assert.equal(writer.finish().length, 9 * 1024 * 1024 + 4);
  assert.equal(writer.capacity, 1024);
});
