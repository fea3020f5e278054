import assert from "node:assert/strict";
import { test } from "node:test";
import { requestProblem } from "./pkcs10.ts";

const EC =
  "MIHYMH8CAQAwHTENMAsGA1UEAwwEamFuZTEMMAoGA1UECgwDZGV2MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEmLT/HcPDLUcMiFK1BWgyOS6R8CpyVRf40Gqm0mciQb1M1OSIpT00B6uRHdFkBmUqD3m6NqUOquWkaGny+sweqaAAMAoGCCqGSM49BAMCA0kAMEYCIQDYNYymg4koPvxKtweF/nonoAtx2MUNEQPuz9uXexKi2AIhAJ6ETEu1wId6tLS5Syjmp+sZ7V/A+2lhLe8eNZMiJbCY";
const ED25519 =
  "MIGOMEICAQAwDzENMAsGA1UEAwwEamFuZTAqMAUGAytlcAMhAOrFw8WsGEfRdrnsCPI6miG4HvotRMkg3yhu5sIrxMZToAAwBQYDK2VwA0EAru6IDpX0hqwUX3kbf34ZX/KcXZYVDHPFcijAuz/rK6lbxcylzfaM4VPR91SLMFESROJm523yxaK3xGRBnBieDw==";
const RSA =
  "MIIBTjCBuAIBADAPMQ0wCwYDVQQDDARqYW5lMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDEgnrgUztT1kxqKFfTU37fCXoH3JyYNBcGwu0S4Ud8sLQQin9Nb2MFqLBL/m9eHf+5IW8IG84JskL5RoYWiwYiRS5pvKbvHUCBzDpDI3Rb0fSFjBnQVdyNcXky/DYNokvinWudEj/J/cp27VWz4oNnU6T6YdlJ1ROub+3bsploCQIDAQABoAAwDQYJKoZIhvcNAQELBQADgYEAobgAU4EQqdxC5aEVSC1PPT0Gi74Zmuxen2gvs2dX7rkcOG+BGlAOqSyRrnLwxKBM/Dzx4W9NQ6so69VOLZA0P9E23eY3hyv+VSpi2Tex4vUcSsnh8nWvcexVvd3uXluk2Ilcy+kEivCywy1X78OUCoRxMAx1JcEHW2cyidXr6Os=";

const pem = (der: Buffer): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;

for (const [name, body, failure] of [
  ["ECDSA", EC, "x509: ECDSA verification failure"],
  ["Ed25519", ED25519, "x509: Ed25519 verification failure"],
  ["RSA", RSA, "crypto/rsa: verification error"],
] as const) {
  const der = Buffer.from(body, "base64");
  const with1 = (at: number): Buffer => {
    const changed = Buffer.from(der);
    changed[at]! ^= 1;
    return changed;
  };

  test(`a request signed with ${name} has to be signed by its own key`, () => {
    assert.equal(requestProblem(pem(der)), undefined);
    assert.equal(requestProblem(`of jane\n${pem(der)}more`), undefined);
    assert.equal(requestProblem(pem(with1(der.length - 1))), failure);
    assert.equal(requestProblem(pem(with1(der.indexOf("jane")))), failure, "another subject");
  });

  test(`what is broken about a request with a key of ${name} is said`, () => {
    assert.equal(requestProblem(pem(der.subarray(0, -5))), "asn1: syntax error: data truncated");
    assert.equal(requestProblem(pem(Buffer.concat([der, Buffer.from([0])]))), "asn1: syntax error: trailing data");
    // Everything up to the public key, which is signed.
    for (let at = 0; at < 60; at++) assert.equal(typeof requestProblem(pem(with1(at))), "string", `byte ${at}`);
  });
}

test("other texts are no requests", () => {
  const why = "PEM block type must be CERTIFICATE REQUEST";
  const good = pem(Buffer.from(EC, "base64"));
  for (const text of ["", "hello", good.replaceAll("CERTIFICATE REQUEST", "CERTIFICATE"), good.slice(0, -20)])
    assert.equal(requestProblem(text), why);
  assert.equal(requestProblem(pem(Buffer.alloc(0))), "asn1: syntax error: sequence truncated");
  assert.match(requestProblem(pem(Buffer.from("hello world")))!, /^asn1: /);
});
