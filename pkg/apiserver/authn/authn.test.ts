import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import type { Node, Pod, Secret, ServiceAccount } from "#pkg/api/types/core-v1.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { generateServiceAccountKey } from "#pkg/pki/index.ts";
import { SeededRandom } from "#pkg/util/index.ts";
import { MemorySource } from "../source/index.ts";
import { createAuthenticator, createAuthnReviews, type ReviewContext, TokenIssuer } from "./index.ts";
import { decodeJwt } from "./jwt.ts";
import { bearer, clock, request, unauthorized } from "./testing.ts";

const ISSUER = "https://kubernetes.default.svc.cluster.local";
const keys = generateServiceAccountKey();

function world() {
  const put = <T extends ServiceAccount | Pod | Secret | Node>(...objects: object[]): MemorySource<T> =>
    new MemorySource<T>(objects as T[]);
  const sources = {
    serviceAccounts: put<ServiceAccount>({ metadata: { name: "robot", namespace: "ns", uid: "sa-1" } }),
    pods: put<Pod>({
      metadata: { name: "p", namespace: "ns", uid: "pod-1" },
      spec: { serviceAccountName: "robot", nodeName: "n1", containers: [] },
    }),
    secrets: put<Secret>(),
    nodes: put<Node>({ metadata: { name: "n1", uid: "node-1" } }),
  };
  const issuer = new TokenIssuer({ issuers: [ISSUER], signingKey: keys.key, clock, random: new SeededRandom(1) });
  const uses: object[] = [];
  const authenticator = createAuthenticator({
    clock,
    serviceAccounts: { issuer, sources, noteLegacyUse: (secret, label) => uses.push({ ...secret, ...label }) },
    bootstrapTokens: { secrets: sources.secrets },
    staticTokens: '# comment\nstatic-1,carol,42,"dev,ops"\nstatic-2,dave,43\n',
  });
  const reviews = createAuthnReviews({ clock, tokens: authenticator.tokens, issuer, sources });
  return { sources, issuer, authenticator, reviews, uses };
}

const warnings: string[] = [];
const annotations = new Map<string, string>();
const context: ReviewContext = {
  user: { name: "kubelet", groups: [] },
  namespace: "ns",
  name: "robot",
  signal: new AbortController().signal,
  warn: (text) => warnings.push(text),
  annotate: (key, value) => void annotations.set(key, value),
};

type World = ReturnType<typeof world>;
async function requestToken(w: World, spec: object, more: Partial<ReviewContext> = {}): Promise<KubeObject> {
  return await w.reviews.get("/serviceaccounts/token")!({ metadata: {}, spec }, { ...context, ...more });
}
const tokenOf = (object: KubeObject): string => (object["status"] as { token: string }).token;

describe("service account tokens", () => {
  let w: World;
  const bound = { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "p", uid: "pod-1" } };
  beforeEach(() => {
    w = world();
    warnings.length = 0;
  });

  test("a bound token authenticates with pod and node claims", async () => {
    const token = tokenOf(await requestToken(w, bound));
    const user = await w.authenticator.authenticate(bearer(token));
    assert.equal(user.name, "system:serviceaccount:ns:robot");
    assert.equal(user.uid, "sa-1");
    assert.deepEqual(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
    const { "authentication.kubernetes.io/credential-id": credential, ...extra } = user.extra!;
    assert.match(credential![0]!, /^JTI=[0-9a-f-]{36}$/);
    assert.deepEqual(extra, {
      "authentication.kubernetes.io/node-name": ["n1"],
      "authentication.kubernetes.io/node-uid": ["node-1"],
      "authentication.kubernetes.io/pod-name": ["p"],
      "authentication.kubernetes.io/pod-uid": ["pod-1"],
    });
    assert.equal(await w.authenticator.authenticate(bearer(token)), user, "one identity object per token");
  });

  test("dies with what it is bound to", async () => {
    const token = tokenOf(await requestToken(w, bound));
    const alive = async (): Promise<boolean> =>
      w.authenticator.authenticate(bearer(token)).then(
        () => true,
        () => false,
      );
    assert.equal(await alive(), true);
    const pod = w.sources.pods.get("ns", "p")!;
    w.sources.pods.set({ ...pod, metadata: { ...pod.metadata, uid: "pod-2" } });
    assert.equal(await alive(), false, "same name, new pod");
    w.sources.pods.set(pod);
    assert.equal(await alive(), true);
    w.sources.pods.delete("ns", "p");
    assert.equal(await alive(), false);
    w.sources.pods.set(pod);
    const account = w.sources.serviceAccounts.get("ns", "robot")!;
    w.sources.serviceAccounts.set({ ...account, metadata: { ...account.metadata, uid: "sa-2" } });
    assert.equal(await alive(), false, "account made anew");
  });

  test("expires to the second, also when it was verified before", async () => {
    const token = tokenOf(await requestToken(w, { expirationSeconds: 600 }));
    await w.authenticator.authenticate(bearer(token));
    await clock.advance(599_000);
    await w.authenticator.authenticate(bearer(token));
    await clock.advance(1_000);
    await assert.rejects(w.authenticator.authenticate(bearer(token)), unauthorized);
  });

  test("is refused for other audiences", async () => {
    const token = tokenOf(await requestToken(w, { audiences: ["vault"] }));
    await assert.rejects(w.authenticator.authenticate(bearer(token)), unauthorized);
  });

  test("forgeries are refused", async () => {
    const good = tokenOf(await requestToken(w, bound));
    const [header, payload, signature] = good.split(".") as [string, string, string];
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = decodeJwt(good)!.claims;
    const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const none = `${encode({ alg: "none" })}.${payload}.`;
    const tampered = `${header}.${encode({ ...claims, sub: "system:serviceaccount:kube-system:admin" })}.${signature}`;
    const foreign = `${header}.${payload}.${sign("sha256", Buffer.from(`${header}.${payload}`), other).toString("base64url")}`;
    const hmacHeader = encode({ alg: "HS256" });
    const confused = `${hmacHeader}.${payload}.${createHmac("sha256", keys.publicKey).update(`${hmacHeader}.${payload}`).digest("base64url")}`;
    const oversized = `${header}.${payload}.${"A".repeat(20_000)}`;
    const wrongAlgorithm = `${encode({ alg: "RS512" })}.${payload}.${sign("sha512", Buffer.from(`${encode({ alg: "RS512" })}.${payload}`), keys.key).toString("base64url")}`;
    for (const token of [
      none,
      tampered,
      foreign,
      confused,
      oversized,
      wrongAlgorithm,
      `${good}x`,
      "a.b.c",
      "garbage",
    ]) {
      await assert.rejects(w.authenticator.authenticate(bearer(token)), unauthorized, token.slice(0, 40));
    }
  });

  test("whatever bytes a token has, it is accepted as issued or refused with 401", async () => {
    const good = tokenOf(await requestToken(w, bound));
    const signatureAt = good.lastIndexOf(".") + 1;
    const alphabet = "ABCabc019-_.=%";
    await fc.assert(
      fc.asyncProperty(fc.nat(signatureAt + 300), fc.nat(alphabet.length - 1), async (index, letter) => {
        const forged = good.slice(0, index) + alphabet[letter] + good.slice(index + 1);
        if (forged === good) return;
        await assert.rejects(w.authenticator.authenticate(bearer(forged)), unauthorized);
      }),
      { numRuns: 300 },
    );
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1, unit: "grapheme-ascii" }), async (text) => {
        if (text.trim() !== "") await assert.rejects(w.authenticator.authenticate(bearer(text)), unauthorized);
      }),
    );
  });

  test("a legacy secret token works until its secret changes", async () => {
    const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = {
      iss: "kubernetes/serviceaccount",
      "kubernetes.io/serviceaccount/namespace": "ns",
      "kubernetes.io/serviceaccount/secret.name": "old",
      "kubernetes.io/serviceaccount/service-account.name": "robot",
      "kubernetes.io/serviceaccount/service-account.uid": "sa-1",
      sub: "system:serviceaccount:ns:robot",
    };
    const input = `${encode({ alg: "RS256" })}.${encode(claims)}`;
    const token = `${input}.${sign("sha256", Buffer.from(input), keys.key).toString("base64url")}`;
    await assert.rejects(w.authenticator.authenticate(bearer(token)), unauthorized);
    const secret = {
      metadata: { name: "old", namespace: "ns" },
      data: { token: Buffer.from(token).toString("base64") },
    };
    w.sources.secrets.set(secret as unknown as Secret);
    assert.equal((await w.authenticator.authenticate(bearer(token))).name, "system:serviceaccount:ns:robot");
    annotations.clear();
    await w.authenticator.authenticate(bearer(token), context);
    assert.deepEqual([...annotations], [["authentication.k8s.io/legacy-token-manual-secret", "old"]]);
    assert.deepEqual(warnings, []);
    const day = (time: number): string => new Date(time).toISOString().slice(0, 10);
    const used = "kubernetes.io/legacy-token-last-used";
    assert.deepEqual(w.uses, [{ namespace: "ns", name: "old", [used]: day(clock.now()) }], "noted once a day");
    const labelled = (labels: object): void =>
      w.sources.secrets.set({ ...secret, metadata: { ...secret.metadata, labels } } as unknown as Secret);
    labelled({ "kubernetes.io/legacy-token-invalid-since": "2026-01-01" });
    annotations.clear();
    await assert.rejects(w.authenticator.authenticate(bearer(token), context), unauthorized);
    assert.deepEqual([...annotations], [["authentication.k8s.io/legacy-token-invalidated", "old/ns"]]);
    labelled({ [used]: day(clock.now()) });
    await w.authenticator.authenticate(bearer(token));
    assert.equal(w.uses.length, 1);
    w.sources.serviceAccounts.set({
      metadata: { name: "robot", namespace: "ns", uid: "sa-1" },
      secrets: [{ name: "old" }],
    } as ServiceAccount);
    annotations.clear();
    await w.authenticator.authenticate(bearer(token), context);
    assert.deepEqual([...annotations], [["authentication.k8s.io/legacy-token-autogenerated-secret", "old"]]);
    assert.match(warnings.pop()!, /^Use tokens from the TokenRequest API .* instead of auto-generated secret-based/);
    const counted = (name: string): string =>
      w.authenticator.metrics().split(`\nserviceaccount_${name} `)[1]!.split("\n")[0]!;
    assert.equal(counted("legacy_tokens_total"), "4");
    assert.equal(counted("legacy_manual_token_uses_total"), "3");
    assert.equal(counted("legacy_auto_token_uses_total"), "1");
    assert.equal(counted("invalid_legacy_auto_token_uses_total"), "1");
    w.sources.secrets.set({ ...secret, data: { token: "" } } as unknown as Secret);
    await assert.rejects(w.authenticator.authenticate(bearer(token)), unauthorized);
  });

  test("TokenRequest: defaults, extension, errors", async () => {
    const plain = await requestToken(w, {});
    assert.equal((plain["spec"] as { expirationSeconds: number }).expirationSeconds, 3600);
    assert.deepEqual((plain["spec"] as { audiences: string[] }).audiences, [ISSUER]);
    const extended = tokenOf(await requestToken(w, { ...bound, expirationSeconds: 3607 }));
    const { claims } = decodeJwt(extended)!;
    const issued = "authentication.kubernetes.io/issued-credential-id";
    assert.equal(annotations.get(issued), `JTI=${claims["jti"] as string}`);
    const own = claims["kubernetes.io"] as { warnafter: number };
    assert.equal((claims["exp"] as number) - (claims["iat"] as number), 365 * 24 * 3600);
    assert.equal(own.warnafter - (claims["iat"] as number), 3607);
    annotations.clear();
    await w.authenticator.authenticate(bearer(extended), context);
    assert.deepEqual([...annotations], []);
    await clock.advance(3700_000);
    await w.authenticator.authenticate(bearer(extended), context);
    assert.match(
      w.authenticator.metrics(),
      /\nserviceaccount_stale_tokens_total 1\n[^]*\nserviceaccount_valid_tokens_total 1\n/,
    );
    const stale = annotations.get("authentication.k8s.io/stale-token");
    assert.match(stale!, /^subject: system:serviceaccount:ns:robot, seconds after warning threshold: 9[2-4]$/);
    await assert.rejects(
      requestToken(w, { expirationSeconds: 599 }),
      /may not specify a duration less than 10 minutes/,
    );
    await assert.rejects(requestToken(w, {}, { name: "nobody" }), /serviceaccounts "nobody" not found/);
    await assert.rejects(
      requestToken(w, { boundObjectRef: { apiVersion: "v1", kind: "Pod", name: "x" } }),
      /pods "x" not found/,
    );
    await assert.rejects(
      requestToken(w, { boundObjectRef: { ...bound.boundObjectRef, uid: "old" } }),
      /the UID in the bound object reference \(old\)/,
    );
    await assert.rejects(
      requestToken(w, { boundObjectRef: { apiVersion: "v1", kind: "ConfigMap", name: "x" } }),
      /cannot bind token/,
    );
    w.sources.serviceAccounts.set({ metadata: { name: "other", namespace: "ns", uid: "sa-9" } } as ServiceAccount);
    await assert.rejects(requestToken(w, bound, { name: "other" }), /pod running with different serviceaccount name/);
  });

  test("TokenReview judges for the audiences asked about", async () => {
    const review = async (spec: object): Promise<Record<string, unknown>> =>
      (await w.reviews.get("authentication.k8s.io/tokenreviews")!({ metadata: {}, spec }, context))["status"] as Record<
        string,
        unknown
      >;
    const vault = tokenOf(await requestToken(w, { audiences: ["vault", "other"] }));
    const good = await review({ token: vault, audiences: ["vault", "x"] });
    assert.equal(good["authenticated"], true);
    assert.deepEqual(good["audiences"], ["vault"]);
    assert.equal((good["user"] as { username: string }).username, "system:serviceaccount:ns:robot");
    const bad = await review({ token: vault });
    assert.equal(bad["authenticated"], undefined);
    assert.match(bad["error"] as string, /token audiences \["vault" "other"\] is invalid for the target audiences/);
    assert.deepEqual((await review({ token: "static-2" }))["audiences"], [ISSUER]);
    assert.equal((await review({ token: "static-2", audiences: ["vault"] }))["authenticated"], undefined);
    assert.equal((await review({ token: "nonsense" }))["authenticated"], undefined);
    await assert.rejects(review({ token: "" }), /token is required for TokenReview/);
  });

  test("publishes keys that verify its tokens", async () => {
    const discovery = JSON.parse(w.issuer.oidcDiscovery("/.well-known/openid-configuration")!.body) as Record<
      string,
      unknown
    >;
    assert.equal(discovery["issuer"], ISSUER);
    assert.equal(discovery["jwks_uri"], `${ISSUER}/openid/v1/jwks`);
    const { keys: published } = JSON.parse(w.issuer.oidcDiscovery("/openid/v1/jwks")!.body) as {
      keys: Record<string, string>[];
    };
    const header = decodeJwt(tokenOf(await requestToken(w, {})))!.header;
    assert.deepEqual(
      published.map(({ kid, alg, kty, use }) => ({ kid, alg, kty, use })),
      [{ kid: header["kid"], alg: "RS256", kty: "RSA", use: "sig" }],
    );
    assert.equal("d" in published[0]!, false, "no private key");
    assert.equal(w.issuer.oidcDiscovery("/openid/v1/other"), undefined);
  });
});

describe("other bearer tokens", () => {
  const w = world();
  test("static tokens", async () => {
    assert.deepEqual(await w.authenticator.authenticate(bearer("static-1")), {
      name: "carol",
      uid: "42",
      groups: ["dev", "ops", "system:authenticated"],
    });
    assert.throws(() => createAuthenticator({ clock, staticTokens: "a,b\n" }), /at least 3 columns/);
  });
  test("WebSocket subprotocol", async () => {
    const protocol = `base64url.bearer.authorization.k8s.io.${Buffer.from("static-2").toString("base64url")}, v5.channel.k8s.io`;
    assert.equal((await w.authenticator.authenticate(request({ "sec-websocket-protocol": protocol }))).name, "dave");
  });
  test("bootstrap tokens, until they expire", async () => {
    const data = (fields: Record<string, string>): Record<string, string> =>
      Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, Buffer.from(value).toString("base64")]));
    const fields = {
      "token-id": "abcdef",
      "token-secret": "0123456789abcdef",
      "usage-bootstrap-authentication": "true",
      "auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token",
      expiration: new Date(clock.now() + 60_000).toISOString(),
    };
    const put = (changed: Record<string, string>): void =>
      w.sources.secrets.set({
        metadata: { name: "bootstrap-token-abcdef", namespace: "kube-system" },
        type: "bootstrap.kubernetes.io/token",
        data: data({ ...fields, ...changed }),
      } as unknown as Secret);
    const good = bearer("abcdef.0123456789abcdef");
    put({});
    assert.deepEqual(await w.authenticator.authenticate(good), {
      name: "system:bootstrap:abcdef",
      groups: ["system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"],
    });
    await assert.rejects(w.authenticator.authenticate(bearer("abcdef.0123456789abcdee")), unauthorized);
    const broken: Record<string, string>[] = [
      { "usage-bootstrap-authentication": "false" },
      { "auth-extra-groups": "system:masters" },
      { expiration: new Date(clock.now() - 1).toISOString() },
      { expiration: "soon" },
      { "token-id": "xxxxxx" },
    ];
    for (const changed of broken) {
      put(changed);
      await assert.rejects(w.authenticator.authenticate(good), unauthorized, JSON.stringify(changed));
    }
  });
  test("no credential is anonymous, a bad one is 401", async () => {
    assert.deepEqual(await w.authenticator.authenticate(request()), {
      name: "system:anonymous",
      groups: ["system:unauthenticated"],
    });
    await assert.rejects(w.authenticator.authenticate(bearer("bad")), unauthorized);
    await assert.rejects(createAuthenticator({ clock, anonymous: false }).authenticate(request()), unauthorized);
  });
});
