import assert from "node:assert/strict";
import { test } from "node:test";
import type { CertificateSigningRequest } from "../types/certificates-v1.ts";
import { validateRequestStatus } from "./validation.ts";

const BODY =
  "MIIBbTCCAROgAwIBAgIUaDM2J3ghkpYVG1IDtr4hBmMlwcIwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBeDAeFw0yNjExMjgyMDQ0MDZaFw0zNjExMjUyMDQ0MDZaMAwxCjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQQkJnnbEsGjhjSfEBrTIHtB/e3tJCacu2C+WRLorONI1/ajn5Y3dBzrTlUKTJYO7JOf5WIhBH7lqDDw5hivC7ro1MwUTAdBgNVHQ4EFgQUQycc4U3IFHFUBQq3aVCe5/h5SM8wHwYDVR0jBBgwFoAUQycc4U3IFHFUBQq3aVCe5/h5SM8wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBJ7EEDV2xVzwS6nI6+qynEo8qocY9uV0zm+IRp0dWSlgIhAMuMrjzCN8Jrg3MIcazMmKpPg9p7wOIGw2wIsPpTLX+q";
const block = (type: string, body: string) => `-----BEGIN ${type}-----\n${body}\n-----END ${type}-----\n`;

function refused(pem: string, before = ""): string[] {
  const request = (text: string): CertificateSigningRequest => ({
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { name: "x", uid: "u", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
    spec: { request: "", signerName: "example.com/x" },
    status: { certificate: Buffer.from(text).toString("base64") },
  });
  return validateRequestStatus(request(pem), request(before)).map(({ field, message }) => `${field}: ${message}`);
}

test("a request's status takes certificates in PEM, once", () => {
  const good = block("CERTIFICATE", BODY);
  assert.deepEqual(refused(good), []);
  assert.deepEqual(refused(`issued today\n${good}${good}`), []);
  assert.deepEqual(refused(good, good), []);
  assert.deepEqual(refused("legacy", "legacy"), [], "what is there already is let be");
  assert.deepEqual(refused(good + good, good), [
    "status.certificate: Forbidden: updates may not modify existing certificate content",
  ]);
  for (const [pem, why] of [
    ["-----BEGIN CERTIFICATE-----\nMIIBozCC", /must contain at least one CERTIFICATE PEM block/],
    [block("CERTIFICATE", ""), /found CERTIFICATE PEM block containing 0 certificates/],
    [good + block("PRIVATE KEY", BODY), /only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY"/],
    [block("CERTIFICATE", `a: b\n\n${BODY}`), /no PEM block headers are permitted/],
    [block("CERTIFICATE", BODY.slice(0, 100)), /x509: malformed certificate/],
  ] as const)
    assert.match(refused(pem).join(), why);
});
