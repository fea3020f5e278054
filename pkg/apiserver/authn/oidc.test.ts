import assert from "node:assert/strict";
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { FakeClock, RealClock, silentLogger } from "#pkg/util/index.ts";
import { fetchJsonOverHttps, InvalidTokenError, OidcAuthenticator, type OidcOptions } from "./index.ts";

const keyPair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const rotated = generateKeyPairSync("rsa", { modulusLength: 2048 });
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("OIDC over real TLS", () => {
  let server: Server;
  let issuerUrl: string;
  let ca: string;
  let keys: { kid: string; key: KeyObject }[];
  let fetched = 0;
  let clock: FakeClock;

  before(async () => {
    const now = Date.now();
    const authority = await createCa({ commonName: "provider-ca", validityDays: 1, now });
    ca = authority.cert;
    const pair = await issueCertificate(authority, {
      commonName: "provider",
      usages: ["server"],
      ips: ["127.0.0.1"],
      validityDays: 1,
      now,
    });
    server = createServer(pair, (request, response) => {
      if (request.url === "/.well-known/openid-configuration") {
        fetched++;
        response.end(JSON.stringify({ issuer: issuerUrl, jwks_uri: `${issuerUrl}/keys` }));
      } else if (request.url === "/keys") {
        response.end(
          JSON.stringify({
            keys: keys.map(({ kid, key }) => ({ ...key.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" })),
          }),
        );
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    issuerUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    keys = [{ kid: "one", key: keyPair.publicKey }];
    fetched = 0;
    clock = new FakeClock(Date.now());
  });

  const make = (more: Partial<OidcOptions> = {}): OidcAuthenticator =>
    new OidcAuthenticator({
      options: { issuerUrl, clientId: "kubits", ca, groupsClaim: "groups", groupsPrefix: "oidc:", ...more },
      fetchJson: fetchJsonOverHttps(new RealClock()),
      clock,
      log: silentLogger,
    });
  const token = (claims: object = {}, header: object = {}, key: KeyObject = keyPair.privateKey): string => {
    const now = Math.floor(clock.now() / 1000);
    const input = `${encode({ alg: "RS256", kid: "one", ...header })}.${encode({ iss: issuerUrl, aud: "kubits", sub: "jane", exp: now + 600, groups: ["dev"], ...claims })}`;
    return `${input}.${sign("sha256", Buffer.from(input), key).toString("base64url")}`;
  };

  test("maps claims to a user and asks the provider once", async () => {
    const oidc = make();
    const good = token();
    const result = await oidc.authenticateToken(good);
    assert.deepEqual(result?.user, { name: `${issuerUrl}#jane`, groups: ["oidc:dev", "system:authenticated"] });
    assert.equal(await oidc.authenticateToken(good), result);
    await oidc.authenticateToken(token({ sub: "joe" }));
    assert.equal(fetched, 1);
    assert.equal((await make({ usernamePrefix: "-" }).authenticateToken(good))?.user.name, "jane");
    assert.equal((await make({ usernameClaim: "email" }).authenticateToken(token({ email: "j@x" })))?.user.name, "j@x");
  });

  test("refuses what does not hold", async () => {
    const oidc = make({ requiredClaims: { hd: "example.com" } });
    const refused = async (bad: string, message: RegExp): Promise<void> => {
      await assert.rejects(oidc.authenticateToken(bad), (error: Error) => {
        assert.ok(error instanceof InvalidTokenError);
        assert.match(error.message, message);
        return true;
      });
    };
    const hd = { hd: "example.com" };
    await oidc.authenticateToken(token(hd));
    await refused(token(), /required claim hd value does not match/);
    await refused(token({ ...hd, aud: "other" }), /expected audience "kubits"/);
    await refused(token({ ...hd, exp: 1 }), /token is expired/);
    await refused(token({ ...hd, nbf: clock.now() / 1000 + 3600 }), /not valid yet/);
    await refused(token(hd, {}, rotated.privateKey), /failed to verify/);
    await refused(`${token(hd).split(".").slice(0, 2).join(".")}.`, /failed to verify/);
    await refused(token(hd, { alg: "none" }), /unsupported algorithm/);
    const hmac = `${encode({ alg: "HS256", kid: "one" })}.${token(hd).split(".")[1]}`;
    const pem = createPublicKey(keyPair.privateKey).export({ type: "spki", format: "pem" });
    await refused(`${hmac}.${createHmac("sha256", pem).update(hmac).digest("base64url")}`, /unsupported algorithm/);
    await assert.rejects(
      make({ usernameClaim: "email" }).authenticateToken(token({ email: "j@x", email_verified: false })),
      /email not verified/,
    );
    assert.equal(await oidc.authenticateToken("abc"), undefined);
    assert.equal(await oidc.authenticateToken(token({ iss: "https://elsewhere" })), undefined);
  });

  test("a cached token still ends", async () => {
    const oidc = make();
    const short = token({ exp: clock.now() / 1000 + 60 });
    await oidc.authenticateToken(short);
    await clock.advance(60_000);
    await assert.rejects(oidc.authenticateToken(short), /token is expired/);
  });

  test("follows key rotation, without being driven by forged key ids", async () => {
    const oidc = make();
    await oidc.authenticateToken(token());
    for (let i = 0; i < 5; i++)
      await assert.rejects(oidc.authenticateToken(token({}, { kid: `forged-${i}` }, rotated.privateKey)));
    assert.equal(fetched, 1);
    keys = [{ kid: "two", key: rotated.publicKey }];
    await clock.advance(11_000);
    assert.ok(await oidc.authenticateToken(token({}, { kid: "two" }, rotated.privateKey)));
    assert.equal(fetched, 2);
  });

  test("a provider that cannot be trusted or reached yields 401s, and is tried again", async () => {
    const foreign = await createCa({ commonName: "other", validityDays: 1, now: Date.now() });
    await assert.rejects(make({ ca: foreign.cert }).authenticateToken(token()), /failed to verify/);
    assert.throws(() => make({ issuerUrl: "http://plain" }), /must use https/);
    assert.throws(() => make({ signingAlgorithms: ["HS256"] }), /unsupported OIDC signing algorithm HS256/);
  });
});
