import assert from "node:assert/strict";
import { test } from "node:test";
import { HpackDecoder } from "./hpack-decoder.ts";
import { FieldEncoder, type Fields } from "./request-fields.ts";

const COMMON: Fields = [
  [":scheme", "http"],
  [":authority", "127.0.0.1:2379"],
];
const READ: Fields = [
  [":method", "POST"],
  [":path", "/kv/read"],
  ["te", "trailers"],
];
const WRITE: Fields = [
  [":method", "POST"],
  [":path", "/kv/write"],
  ["te", "trailers"],
  ["x-long", "v".repeat(300)],
];

function pair() {
  const encoder = new FieldEncoder(COMMON);
  const decoder = new HpackDecoder(65_536);
  /** Encodes, checks what arrives, and returns how long it was. */
  const send = (fields: Fields): number => {
    const block = encoder.encode(fields);
    const arrived: [string, string][] = [];
    assert.ok(decoder.decode(block, (name, value) => arrived.push([name, value])));
    assert.deepEqual(arrived, [...COMMON, ...fields]);
    return block.length;
  };
  return { encoder, send };
}

test("every field is written out once, whatever comes between", () => {
  const { send } = pair();
  assert.ok(send(READ) > 20);
  assert.ok(send(WRITE) > 300);
  for (let round = 0; round < 3; round++) {
    assert.equal(send(READ), COMMON.length + READ.length);
    assert.equal(send(WRITE), COMMON.length + WRITE.length);
  }
});

test("a full table evicts nothing: what has no room is written out each time", () => {
  const { send } = pair();
  const heads = Array.from({ length: 40 }, (_, i): Fields => [["x-number", `${i}`.padStart(100, "0")]]);
  for (let round = 0; round < 2; round++) for (const head of heads) send(head);
  assert.equal(send(heads[0]!), COMMON.length + 1);
  assert.ok(send(heads[39]!) > 100);
});

test("a peer that wants a smaller table gets none", () => {
  const { encoder, send } = pair();
  send(READ);
  encoder.limitTable(100);
  const whole = send(READ);
  assert.ok(whole > 20);
  assert.equal(send(READ), whole - 1); // Without the notice.
  assert.equal(send(READ), whole - 1);
});
