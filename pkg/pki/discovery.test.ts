import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { detachedSignature, hasDetachedSignature, parseBootstrapToken, publicKeyPin } from "./discovery.ts";
import { createCa } from "./issue.ts";

const token = { id: "abcdef", secret: "0123456789abcdef" };

test("a token is six characters, a dot and sixteen", () => {
  assert.deepEqual(parseBootstrapToken("abcdef.0123456789abcdef"), token);
  for (const text of ["", "abcdef", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcde", " abcdef.0123456789abcdef"])
    assert.equal(parseBootstrapToken(text), undefined, text);
});

test("only the content that was signed, under the token that signed it, is believed", () => {
  const signature = detachedSignature("content", token);
  assert.ok(hasDetachedSignature("content", signature, token));
  assert.ok(!hasDetachedSignature("other", signature, token));
  assert.ok(!hasDetachedSignature("content", signature, { ...token, secret: "f".repeat(16) }));
  assert.ok(!hasDetachedSignature("content", signature, { ...token, id: "fedcba" }));
  for (const forged of ["", "..", "a.b.c", signature.slice(0, -2), `${signature}.x`, signature.replace("..", ".e30.")])
    assert.ok(!hasDetachedSignature("content", forged, token), forged);
});

test("the order of the header's fields does not matter, the algorithm does", () => {
  const sign = (header: object) => {
    const head = Buffer.from(JSON.stringify(header)).toString("base64url");
    const body = Buffer.from("content").toString("base64url");
    return `${head}..${createHmac("sha256", token.secret).update(`${head}.${body}`).digest("base64url")}`;
  };
  assert.ok(hasDetachedSignature("content", sign({ kid: "abcdef", alg: "HS256" }), token));
  assert.ok(!hasDetachedSignature("content", sign({ kid: "abcdef", alg: "none" }), token));
});

test("a pin names a key, not a certificate", async () => {
  const ca = await createCa({ commonName: "ca", validityDays: 1, now: Date.now() });
  const other = await createCa({ commonName: "ca", validityDays: 1, now: Date.now() });
  assert.match(publicKeyPin(ca.cert), /^sha256:[0-9a-f]{64}$/);
  assert.notEqual(publicKeyPin(ca.cert), publicKeyPin(other.cert));
});
