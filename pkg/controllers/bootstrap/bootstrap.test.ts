import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import type { Secret } from "#pkg/api/types/core-v1.ts";
import { meta, NOW } from "../testing/objects.ts";
import { expiryOf, signedData, signingTokens } from "./bootstrap.ts";

const token = (id: string, data: Record<string, string> = {}): Secret => ({
  metadata: meta(`bootstrap-token-${id}`),
  type: "bootstrap.kubernetes.io/token",
  data: Object.fromEntries(
    Object.entries({
      "token-id": id,
      "token-secret": "0123456789abcdef",
      "usage-bootstrap-signing": "true",
      ...data,
    }).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
  ),
});

test("cluster-info is signed for every token that may sign, and for no other", () => {
  const tokens = signingTokens(
    [
      token("abcdef"),
      token("nosign", { "usage-bootstrap-signing": "false" }),
      token("ghijkl", { expiration: "2020-01-01T00:00:00Z" }),
      token("BAD"),
      { ...token("mnopqr"), metadata: meta("misnamed") },
    ],
    NOW,
  );
  assert.deepEqual([...tokens.keys()], ["abcdef"]);
  const info = { metadata: meta("cluster-info"), data: { kubeconfig: "content", "jws-kubeconfig-gone": "old" } };
  const data = signedData(info, tokens);
  assert.deepEqual(Object.keys(data).sort(), ["jws-kubeconfig-abcdef", "kubeconfig"]);
  const [header, payload, signature] = data["jws-kubeconfig-abcdef"]!.split(".");
  assert.equal(payload, "", "the content is not repeated");
  assert.deepEqual(JSON.parse(Buffer.from(header!, "base64url").toString()), { alg: "HS256", kid: "abcdef" });
  const input = `${header}.${Buffer.from("content").toString("base64url")}`;
  assert.equal(signature, createHmac("sha256", "0123456789abcdef").update(input).digest("base64url"));
  assert.deepEqual(signedData({ ...info, data }, tokens), data);
});

test("a token without an end stays, one whose end cannot be read has ended", () => {
  assert.equal(expiryOf(token("abcdef")), Infinity);
  assert.equal(expiryOf(token("abcdef", { expiration: "2026-01-01T00:00:00Z" })), NOW);
  assert.equal(expiryOf(token("abcdef", { expiration: "soon" })), 0);
});
