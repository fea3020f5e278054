import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { encodeValue, Slab } from "./encode.ts";
import { Entry } from "./entry.ts";

const PLACE = { key: "/registry/things/a", namespace: "", name: "a" };
const slab = new Slab();
const encode = (object: KubeObject, before?: Entry) =>
  encodeValue(object, "v1", "Thing", slab, before && ((field, value) => before.bytesOf(field, value)));
const parsed = (bytes: Buffer): unknown => JSON.parse(bytes.toString());

const field = fc.oneof(
  fc.constantFrom<unknown>("short", 7, null, undefined, {}),
  fc.string({ unit: "grapheme", minLength: 260, maxLength: 400 }).map((text) => ({ text, list: [1, text] })),
);
const object = fc.record({ spec: field, status: field, data: field });

test("what stays the same is copied from the version before, byte for byte what writing it would give", () => {
  const property = fc.property(object, object, fc.subarray(["spec", "status", "data"]), (first, second, kept) => {
    const old: KubeObject = { apiVersion: "v1", kind: "Thing", metadata: { name: "a" }, ...first };
    const { bytes, ...about } = encode(old);
    const entry = Entry.fromValue(PLACE, Buffer.from(bytes), 7, { object: old, ...about });
    assert.deepEqual(Entry.fromValue(PLACE, Buffer.from(bytes), 7).json, entry.json);
    const metadata = { name: "a", labels: { ü: "1" }, managedFields: [{ manager: "m" }], resourceVersion: "7" };
    const next: KubeObject = { apiVersion: "v1", kind: "Thing", metadata, ...second };
    for (const name of kept) next[name] = entry.object[name];
    const written = encode(next, entry);
    assert.deepEqual(written, encode(next));
    const { resourceVersion: _revision, ...stored } = metadata;
    assert.deepEqual(parsed(written.bytes), JSON.parse(JSON.stringify({ ...next, metadata: stored })));
    // And so on from there.
    const after = Entry.fromValue(PLACE, written.bytes, 123456, { object: next, ...written });
    const { managedFields: _managed, ...lean } = { ...metadata, resourceVersion: "123456" };
    assert.deepEqual(parsed(Buffer.concat(after.leanJson)), JSON.parse(JSON.stringify({ ...next, metadata: lean })));
    assert.deepEqual(parsed(Buffer.concat(after.deletedAt(9).leanJson)), {
      ...(parsed(Buffer.concat(after.leanJson)) as object),
      metadata: { ...lean, resourceVersion: "9" },
    });
    const again: KubeObject = { ...after.object, metadata: { name: "a" } };
    assert.deepEqual(encode(again, after), encode(again));
  });
  fc.assert(property, { numRuns: 300 });
});

test("a field is copied only while it is the same one", () => {
  const old: KubeObject = { apiVersion: "v1", kind: "Thing", metadata: { name: "a" }, spec: { text: "x".repeat(300) } };
  const { bytes, ...about } = encode(old);
  const entry = Entry.fromValue(PLACE, bytes, 7, { object: old, ...about });
  assert.deepEqual(parsed(entry.bytesOf("spec", entry.object["spec"])!), old["spec"]);
  assert.equal(entry.bytesOf("spec", { text: "x".repeat(300) }), undefined);
  assert.equal(entry.bytesOf("status", undefined), undefined);
});

test("values share slabs, each at a place of its own", () => {
  const own = new Slab();
  const taken = Array.from({ length: 100 }, (_, index) => own.take(5000).fill(index));
  for (const [index, bytes] of taken.entries())
    assert.ok(bytes.length === 5000 && bytes.every((byte) => byte === index));
  assert.ok(new Set(taken.map(({ buffer }) => buffer)).size < 5);
  assert.equal(own.take(1024 * 1024).length, 1024 * 1024);
});
