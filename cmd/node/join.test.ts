import assert from "node:assert/strict";
import { before, test } from "node:test";
import { createCa, detachedSignature, publicKeyPin, renderKubeconfig } from "#pkg/pki/index.ts";
import { verifiedCluster } from "./join.ts";

const token = { id: "abcdef", secret: "0123456789abcdef" };
const server = "https://10.0.0.1:6443";
let ca = "";
let data: Record<string, string> = {};

before(async () => {
  ca = (await createCa({ commonName: "kubernetes", validityDays: 1, now: Date.now() })).cert;
  const kubeconfig = renderKubeconfig({ server, ca, user: "" });
  data = { kubeconfig, "jws-kubeconfig-abcdef": detachedSignature(kubeconfig, token) };
});

test("a signed statement with the pinned CA is believed", () => {
  const { server: where, ca: trusted } = verifiedCluster(data, token, [publicKeyPin(ca)]);
  assert.deepEqual([where, trusted.trim()], [server, ca.trim()]);
  assert.equal(verifiedCluster(data, token, "any").server, server);
});

test("anything else is not, and the error says why", () => {
  const pin = publicKeyPin(ca);
  const wrongPin = `sha256:${"0".repeat(64)}`;
  assert.throws(() => verifiedCluster(data, token, [wrongPin]), new RegExp(`has the hash ${pin}`));
  assert.throws(() => verifiedCluster(data, { ...token, id: "zzzzzz" }, [pin]), /does not know the token zzzzzz/);
  assert.throws(() => verifiedCluster(data, { ...token, secret: "f".repeat(16) }, [pin]), /not signed/);
  const moved = { ...data, kubeconfig: data["kubeconfig"]!.replace("10.0.0.1", "10.0.0.66") };
  assert.throws(() => verifiedCluster(moved, token, [pin]), /not signed/);
});
