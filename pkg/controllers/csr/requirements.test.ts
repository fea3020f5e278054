import assert from "node:assert/strict";
import { test } from "node:test";
import type { CertificateRequest } from "#pkg/pki/index.ts";
import { NOW } from "../testing/objects.ts";
import { isStale, kubeletClientFault, signerFault } from "./requirements.ts";

const request = (extra: Partial<CertificateRequest> = {}): CertificateRequest => ({
  commonName: "system:node:n1",
  organizations: ["system:nodes"],
  dnsNames: [],
  ipAddresses: [],
  emailAddresses: [],
  uris: [],
  ...extra,
});
const CLIENT = ["digital signature", "client auth"];

test("a kubelet's client certificate names the node and nothing else", () => {
  assert.equal(kubeletClientFault(request(), CLIENT), undefined);
  assert.equal(kubeletClientFault(request(), [...CLIENT, "key encipherment"]), undefined);
  for (const bad of [
    { commonName: "admin" },
    { organizations: ["system:masters"] },
    { organizations: ["system:nodes", "x"] },
    { dnsNames: ["a"] },
    { ipAddresses: ["::1"] },
    { uris: ["u:x"] },
  ])
    assert.notEqual(kubeletClientFault(request(bad), CLIENT), undefined, JSON.stringify(bad));
  assert.notEqual(kubeletClientFault(request(), [...CLIENT, "server auth"]), undefined);
  assert.notEqual(kubeletClientFault(request(), ["client auth"]), undefined);
});

test("each signer has its own rules", () => {
  const client = (usages: string[]) => signerFault("kubernetes.io/kube-apiserver-client", request(), usages);
  assert.equal(client(CLIENT), undefined);
  assert.equal(client(["server auth"]), "invalid usage for client certificate: server auth");
  assert.equal(client(["digital signature"]), "missing required usage for client certificate: client auth");
  assert.equal(
    kubeletClientFault(request(), ["client auth"]),
    "usages did not match [client auth digital signature key encipherment]",
  );
  const serving = ["digital signature", "server auth"];
  assert.equal(signerFault("kubernetes.io/kubelet-serving", request({ dnsNames: ["n1"] }), serving), undefined);
  assert.equal(
    signerFault("kubernetes.io/kubelet-serving", request(), serving),
    "DNS or IP subjectAltName is required",
  );
  assert.equal(
    signerFault("kubernetes.io/kube-apiserver-client", request({ commonName: "jane", organizations: [] }), [
      "client auth",
    ]),
    undefined,
  );
  assert.notEqual(
    signerFault("kubernetes.io/kube-apiserver-client", request(), ["server auth", "client auth"]),
    undefined,
  );
  assert.equal(signerFault("kubernetes.io/legacy-unknown", request({ commonName: "x" }), ["any"]), undefined);
  assert.notEqual(signerFault("example.com/own", request(), CLIENT), undefined);
});

test("old requests are cleared away", () => {
  const ago = (hours: number) => new Date(NOW - hours * 3600_000).toISOString();
  const csr = (type: string, hours: number, certificate = "") => ({
    metadata: { creationTimestamp: ago(hours) },
    status: { conditions: [{ type, lastUpdateTime: ago(hours) }], certificate },
  });
  assert.equal(isStale(csr("Denied", 2), false, NOW), true);
  assert.equal(isStale(csr("Failed", 0.5), false, NOW), false);
  assert.equal(isStale(csr("Approved", 2, "c"), false, NOW), true);
  assert.equal(isStale(csr("Approved", 0.5, "c"), true, NOW), true);
  assert.equal(isStale({ metadata: { creationTimestamp: ago(23) } }, false, NOW), false);
  assert.equal(isStale({ metadata: { creationTimestamp: ago(25) } }, false, NOW), true);
});
