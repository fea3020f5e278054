import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, gunzipSync } from "node:zlib";
import fc from "fast-check";
import { combineCrc, deflateSegment, gzipBody, storedSegment } from "./gzip-segments.ts";

test("the checksum of two texts in a row follows from theirs", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), fc.uint8Array({ maxLength: 2000 }), (first, second) => {
      const whole = crc32(Buffer.concat([first, second]));
      assert.equal(combineCrc(crc32(first), crc32(second), second.length), whole);
    }),
  );
});

test("segments in any order make one gzip member", async () => {
  const texts = ["", "a", "x".repeat(100_000), '{"kind":"PodList","items":['].map((text) => Buffer.from(text));
  const deflated = await Promise.all(texts.map((text) => deflateSegment([text, text])));
  const stored = texts.map(storedSegment);
  const pieces = [
    ...texts.map((text, at) => ({ text: Buffer.concat([text, text]), segment: deflated[at]! })),
    ...texts.map((text, at) => ({ text, segment: stored[at]! })),
  ];
  await fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (chosen) => {
      const body = Buffer.concat(gzipBody(chosen.map(({ segment }) => segment)));
      assert.ok(gunzipSync(body).equals(Buffer.concat(chosen.map(({ text }) => text))));
    }),
    { numRuns: 50 },
  );
});
