import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { UserInfo } from "#pkg/apimachinery/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import type { ApiRequest } from "../contract.ts";
import { createAuthenticator, parseAuthenticationConfiguration } from "./index.ts";

const ISSUER = { url: "https://issuer.example", audiences: ["kubits"] };
const parse = (jwt: object[], more: object = {}) =>
  parseAuthenticationConfiguration({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "AuthenticationConfiguration",
    jwt,
    ...more,
  });
const map = (jwt: object, claims: Record<string, unknown>): UserInfo =>
  parse([{ issuer: ISSUER, ...jwt }]).issuers[0]!.map(claims);

describe("AuthenticationConfiguration", () => {
  test("claims with prefixes", () => {
    const claimMappings = {
      username: { claim: "sub", prefix: "oidc:" },
      groups: { claim: "roles", prefix: "role:" },
      uid: { claim: "oid" },
    };
    assert.deepEqual(map({ claimMappings }, { sub: "jane", roles: ["a", "b"], oid: "42" }), {
      name: "oidc:jane",
      uid: "42",
      groups: ["role:a", "role:b"],
    });
    assert.throws(() => map({ claimMappings }, { roles: [] }), /parse username claims "sub": claim not present/);
  });

  test("expressions, extras and rules", () => {
    const jwt = {
      claimMappings: {
        username: { expression: "claims.username + ':external'" },
        groups: { expression: "claims.roles.split(',')" },
        uid: { expression: "claims.sub" },
        extra: [
          { key: "example.com/tenant", valueExpression: "claims.tenant" },
          { key: "example.com/none", valueExpression: "''" },
        ],
      },
      claimValidationRules: [
        { claim: "hd", requiredValue: "example.com" },
        { expression: "claims.exp - claims.nbf <= 86400", message: "too long-lived" },
      ],
      userValidationRules: [{ expression: "!user.username.startsWith('system:')", message: "reserved" }],
    };
    const claims = { username: "jane", roles: "a,b", sub: "7", tenant: "t1", hd: "example.com", exp: 100, nbf: 50 };
    assert.deepEqual(map(jwt, claims), {
      name: "jane:external",
      uid: "7",
      groups: ["a", "b"],
      extra: { "example.com/tenant": ["t1"] },
    });
    assert.throws(() => map(jwt, { ...claims, hd: "x" }), /required claim hd value does not match/);
    assert.throws(() => map(jwt, { ...claims, exp: 1e6 }), /too long-lived/);
    assert.throws(() => map(jwt, { ...claims, username: "system:admin" }), /reserved/);
    assert.throws(() => map(jwt, { ...claims, roles: undefined }), /error evaluating claim expression/);
  });

  test("mistakes are named", () => {
    const username = { claim: "sub", prefix: "" };
    const table: [object[], RegExp][] = [
      [
        [{ issuer: { ...ISSUER, url: "http://x" }, claimMappings: { username } }],
        /jwt\[0\].issuer.url: Invalid value: URL scheme must be https/,
      ],
      [[{ issuer: { url: ISSUER.url }, claimMappings: { username } }], /jwt\[0\].issuer.audiences: Required value/],
      [[{ issuer: ISSUER, claimMappings: {} }], /jwt\[0\].claimMappings.username: Required value/],
      [
        [{ issuer: ISSUER, claimMappings: { username: { expression: "claims.x +" } } }],
        /claimMappings.username.expression: Invalid value: .*compilation failed/,
      ],
      [[{ issuer: ISSUER, claimMappings: { username: { expression: "1 + 1" } } }], /must evaluate to string/],
      [
        [
          { issuer: ISSUER, claimMappings: { username } },
          { issuer: ISSUER, claimMappings: { username } },
        ],
        /jwt\[1\].issuer.url: Duplicate value/,
      ],
    ];
    for (const [jwt, message] of table) assert.throws(() => parse(jwt), message);
    assert.throws(() => parseAuthenticationConfiguration({ kind: "Other" }), /must be an AuthenticationConfiguration/);
  });

  test("anonymous requests may be confined to paths", async () => {
    const { anonymous, anonymousPaths } = parse([], { anonymous: { enabled: true, conditions: [{ path: "/livez" }] } });
    const authenticator = createAuthenticator({ clock: new FakeClock(), anonymous, anonymousPaths });
    const ask = (url: string): Promise<UserInfo> =>
      authenticator.authenticate({ method: "GET", url, headers: {}, peer: {} } as unknown as ApiRequest);
    assert.equal((await ask("/livez?verbose")).name, "system:anonymous");
    await assert.rejects(ask("/livez/etcd"), { code: 401 });
    await assert.rejects(ask("/api"), { code: 401 });
    assert.equal(parse([], { anonymous: { enabled: false } }).anonymous, false);
  });
});
