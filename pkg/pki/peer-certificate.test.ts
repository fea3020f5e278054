import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { createCa, issuedBy, parsePeerCertificate, type PeerCertificate } from "./index.ts";

const { cert } = await createCa({ commonName: "fuzz", organizations: ["a", "b"], validityDays: 1, now: Date.now() });
const der = new X509Certificate(cert).raw;

function parse(bytes: Uint8Array): PeerCertificate | undefined {
  try {
    return parsePeerCertificate(bytes);
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    return undefined;
  }
}

test("any bytes are a certificate with a readable validity, or a RangeError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      parse(bytes);
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }), (changes) => {
      const mutated = Uint8Array.from(der);
      for (const [index, byte] of changes) mutated[index] = byte;
      assert.equal(issuedBy(mutated, [new X509Certificate(cert)]) && !Buffer.from(mutated).equals(der), false);
      const parsed = parse(mutated);
      if (parsed !== undefined) assert.ok(Number.isFinite(parsed.notBefore) && Number.isFinite(parsed.notAfter));
    }),
    { numRuns: 2000 },
  );
});

test("every prefix of a certificate is refused", () => {
  for (let length = 0; length < der.length; length += 7) assert.equal(parse(der.subarray(0, length)), undefined);
});
