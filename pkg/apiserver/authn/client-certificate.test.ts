import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { before, describe, test } from "node:test";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { createCa, issueCertificate, type KeyPair } from "#pkg/pki/index.ts";
import type { ApiRequest } from "../contract.ts";
import { createAuthenticator, DEFAULT_REQUEST_HEADERS, type RequestAuthenticator } from "./index.ts";
import { clock, request, unauthorized } from "./testing.ts";

describe("client certificates and front proxies", () => {
  let ca: KeyPair;
  let proxyCa: KeyPair;
  let authenticator: RequestAuthenticator;
  const der = (pair: KeyPair): ApiRequest["peer"] => ({ certificate: new X509Certificate(pair.cert).raw });
  const issue = (
    authority: KeyPair,
    commonName: string,
    organizations: string[] = [],
    validityDays = 1,
  ): Promise<KeyPair> =>
    issueCertificate(authority, { commonName, organizations, usages: ["client"], validityDays, now: clock.now() });

  before(async () => {
    ca = await createCa({ commonName: "kubernetes", validityDays: 10, now: clock.now() });
    proxyCa = await createCa({ commonName: "front-proxy-ca", validityDays: 10, now: clock.now() });
    authenticator = createAuthenticator({
      clock,
      clientCa: ca.cert,
      requestHeader: { ...DEFAULT_REQUEST_HEADERS, ca: proxyCa.cert, allowedNames: ["front-proxy-client"] },
    });
  });

  test("CN and O become name and groups, once per certificate", async () => {
    const peer = der(await issue(ca, "admin", ["system:masters", "ops"]));
    const user = await authenticator.authenticate(request({}, peer));
    assert.equal(user.name, "admin");
    assert.deepEqual(user.groups, ["system:masters", "ops", "system:authenticated"]);
    assert.match(user.extra!["authentication.kubernetes.io/credential-id"]![0]!, /^X509SHA256=[0-9a-f]{64}$/);
    assert.equal(await authenticator.authenticate(request({}, peer)), user);
    assert.equal(
      await authenticator.authenticate(request({}, { certificate: Uint8Array.from(peer.certificate!) })),
      user,
    );
  });

  test("a certificate of another authority, an expired one and garbage are 401", async () => {
    const impostor = await createCa({ commonName: "kubernetes", validityDays: 10, now: clock.now() });
    await assert.rejects(
      authenticator.authenticate(request({}, der(await issue(impostor, "admin", ["system:masters"])))),
      unauthorized,
    );
    await assert.rejects(
      authenticator.authenticate(request({}, { certificate: Uint8Array.of(1, 2, 3) })),
      unauthorized,
    );
    const short = der(await issue(ca, "admin"));
    await authenticator.authenticate(request({}, short));
    await clock.advance(86_400_000 + 1000);
    await assert.rejects(authenticator.authenticate(request({}, short)), unauthorized);
    const name = "apiserver_client_certificate_expiration_seconds";
    assert.match(authenticator.metrics(), new RegExp(`^${name}_bucket\\{le="0"\\} 1$`, "m"));
  });

  test("a front proxy speaks for others; nobody else's headers count", async () => {
    const headers = {
      "x-remote-user": "alice",
      "x-remote-group": ["dev", "ops, and more"],
      "x-remote-extra-scope%2fa": "x, y",
      "x-remote-uid": "7",
    };
    const proxied = await authenticator.authenticate(request(headers, der(await issue(proxyCa, "front-proxy-client"))));
    assert.deepEqual(proxied, {
      name: "alice",
      uid: "7",
      groups: ["dev", "ops, and more", "system:authenticated"],
      extra: { "scope/a": ["x, y"] },
    });
    const admin = await authenticator.authenticate(request(headers, der(await issue(ca, "admin"))));
    assert.equal(admin.name, "admin");
    await assert.rejects(
      authenticator.authenticate(request(headers, der(await issue(proxyCa, "mallory")))),
      unauthorized,
    );
    assert.equal((await authenticator.authenticate(request(headers))).name, "system:anonymous");
  });

  test("a certificate meant for somebody else does not spoil a good token", async () => {
    const withTokens = createAuthenticator({ clock, clientCa: ca.cert, staticTokens: "t,carol,1\n" });
    const foreign = der(
      await issue(await createCa({ commonName: "mesh", validityDays: 10, now: clock.now() }), "sidecar"),
    );
    assert.equal((await withTokens.authenticate(request({ authorization: "Bearer t" }, foreign))).name, "carol");
    await assert.rejects(withTokens.authenticate(request({ authorization: "Bearer x" }, foreign)), unauthorized);
    await assert.rejects(withTokens.authenticate(request({}, foreign)), unauthorized);
  });

  test("in-process callers are who they are", async () => {
    const user: UserInfo = { name: "system:kube-scheduler", groups: [] };
    const first = await authenticator.authenticate(request({ authorization: "Bearer x" }, { user }));
    assert.deepEqual(first.groups, ["system:authenticated"]);
    assert.equal(await authenticator.authenticate(request({}, { user })), first);
  });
});
