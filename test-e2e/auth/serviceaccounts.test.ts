import assert from "node:assert/strict";
import { dirname } from "node:path";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

const context = useCluster("accounts");
const limit = { timeout: 120_000 };
let api: Api;
after(() => api?.close());

const at = (path: string) => `/api/v1/namespaces/${context.cluster.namespace}/${path}`;
const MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";

test("the root CA's ConfigMap comes back when it is deleted or changed", limit, async () => {
  api = await new Api(context.cluster).ready();
  const path = at("configmaps/kube-root-ca.crt");
  const ca = async () => ((await api.ask(path)).json as unknown as { data?: Record<string, string> }).data?.["ca.crt"];
  const original = await eventually("it is there", ca);
  assert.match(original, /^-----BEGIN CERTIFICATE-----/);
  const { uid } = (await api.ask(path)).json.metadata;
  await api.ask(path, { method: "DELETE" });
  await eventually("it is made again", async () => {
    const { status, json } = await api.ask(path);
    return status === 200 && json.metadata.uid !== uid ? true : undefined;
  });
  const changed = await api.ask(path, { method: "PATCH", body: { data: { "ca.crt": "" } } });
  assert.equal(changed.status, 200);
  await eventually("it is repaired", async () => ((await ca()) === original ? true : undefined));
});

test("pods get a token unless they or their account opt out", limit, async () => {
  const settings = [undefined, true, false];
  for (const account of settings) {
    const name = `mount-${String(account)}`;
    const body = { metadata: { name }, ...(account === undefined ? {} : { automountServiceAccountToken: account }) };
    assert.equal((await api.ask(at("serviceaccounts"), { body })).status, 201);
    for (const own of settings) {
      const spec = { serviceAccountName: name, ...(own === undefined ? {} : { automountServiceAccountToken: own }) };
      const made = await eventually("the account is known", async () => {
        const answer = await api.ask(at("pods?dryRun=All"), { body: pod("p", { spec }) });
        return answer.status === 201 ? answer : undefined;
      });
      const [container] = (made.json.spec as { containers: [{ volumeMounts?: { mountPath: string }[] }] }).containers;
      const mounted = container.volumeMounts?.some(({ mountPath }) => mountPath === MOUNT) === true;
      assert.equal(mounted, own ?? account ?? true, `account: ${String(account)}, pod: ${String(own)}`);
    }
  }
});

/** Checks its own token against the issuer's published keys, as any outsider could. */
const VERIFY = `
const { readFileSync } = require("node:fs");
const https = require("node:https");
const crypto = require("node:crypto");
const read = (name) => readFileSync("${MOUNT}/" + name, "utf8");
const token = read("token");
const [head, body, signature] = token.split(".");
const json = (part) => JSON.parse(Buffer.from(part, "base64url"));
const get = (url) => new Promise((resolve, reject) => {
  const headers = { authorization: "Bearer " + token };
  https.get(url, { ca: read("ca.crt"), headers }, (response) => {
    let text = "";
    response.on("data", (chunk) => (text += chunk)).on("end", () => resolve(JSON.parse(text)));
  }).on("error", reject);
});
(async () => {
  const { iss } = json(body);
  const discovery = await get(iss + "/.well-known/openid-configuration");
  const { keys } = await get(discovery.jwks_uri.replace(/^https:\\/\\/[^/]+/, "https://kubernetes.default.svc"));
  const key = crypto.createPublicKey({ key: keys.find(({ kid }) => kid === json(head).kid), format: "jwk" });
  const valid = crypto.verify("sha256", Buffer.from(head + "." + body), key, Buffer.from(signature, "base64url"));
  console.log(JSON.stringify({ valid, issuer: discovery.issuer, claims: json(body), namespace: read("namespace") }));
})();
`;

test("a pod's token is bound to it, verifiable by the published keys, and good for a TokenReview", limit, async () => {
  const { cluster } = context;
  const node = { name: "node", hostPath: { path: dirname(process.execPath) } };
  const projected = {
    name: "extra",
    projected: { sources: [{ serviceAccountToken: { path: "token", audience: "vault", expirationSeconds: 600 } }] },
  };
  const verifier = pod("verifier", {
    image: "kubits/runtime:1.0",
    command: ["/node/node", "-e", `${VERIFY}; setTimeout(() => {}, 600000)`],
    spec: { volumes: [node, projected] },
    container: {
      volumeMounts: [
        { name: "node", mountPath: "/node", readOnly: true },
        { name: "extra", mountPath: "/extra" },
      ],
    },
  });
  assert.equal((await api.ask(at("pods"), { body: verifier })).status, 201);
  await cluster.ready("pod/verifier");
  const said = await eventually("the pod has verified its token", async () => {
    const text = await cluster.kubectl(["logs", "verifier"]);
    return text.includes("\n") ? text : undefined;
  });
  const { valid, issuer, claims, namespace } = JSON.parse(said) as {
    valid: boolean;
    issuer: string;
    namespace: string;
    claims: { sub: string; "kubernetes.io": { pod: { name: string }; node: { name: string } } };
  };
  assert.deepEqual(
    [valid, issuer, namespace],
    [true, "https://kubernetes.default.svc.cluster.local", cluster.namespace],
  );
  assert.equal(claims.sub, `system:serviceaccount:${cluster.namespace}:default`);
  assert.equal(claims["kubernetes.io"].pod.name, "verifier");
  assert.match(claims["kubernetes.io"].node.name, /^node-\d$/);

  const review = async (token: string, audiences?: string[]) =>
    (
      (await api.ask("/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec: { token, audiences } } }))
        .json as unknown as {
        status: {
          authenticated?: boolean;
          user?: { username: string; extra: object };
          audiences?: string[];
          error?: string;
        };
      }
    ).status;
  const vault = await cluster.exec("verifier", "cat", "/extra/token");
  assert.deepEqual((await review(vault, ["vault"])).audiences, ["vault"]);
  const elsewhere = await review(vault);
  assert.equal(elsewhere.authenticated ?? false, false);
  assert.match(elsewhere.error!, /token audiences \["vault"\] is invalid for the target audiences/);
  const own = await cluster.exec("verifier", "cat", `${MOUNT}/token`);
  const { user } = await review(own);
  assert.equal(user?.username, claims.sub);
  assert.deepEqual(Object.keys(user?.extra ?? {}).sort(), [
    "authentication.kubernetes.io/credential-id",
    "authentication.kubernetes.io/node-name",
    "authentication.kubernetes.io/node-uid",
    "authentication.kubernetes.io/pod-name",
    "authentication.kubernetes.io/pod-uid",
  ]);
  await api.ask(at("pods/verifier?gracePeriodSeconds=0"), { method: "DELETE" });
  const orphaned = await eventually("the token dies with its pod", async () => {
    const status = await review(own);
    return status.authenticated === true ? undefined : status;
  });
  assert.match(orphaned.error!, /pod|invalid bearer token/i);
});

test("a Secret made for an account's token is filled, used, and goes with the account", limit, async () => {
  const { cluster } = context;
  const account = { metadata: { name: "legacy" } };
  assert.equal((await api.ask(at("serviceaccounts"), { body: account })).status, 201);
  const annotations = { "kubernetes.io/service-account.name": "legacy" };
  const body = { metadata: { name: "legacy", annotations }, type: "kubernetes.io/service-account-token" };
  assert.equal((await api.ask(at("secrets"), { body })).status, 201);
  type Secret = { data?: Record<string, string>; metadata: { labels?: Record<string, string> } };
  const secret = async () => (await api.ask(at("secrets/legacy"))).json as unknown as Secret;
  const data = await eventually("the secret is filled", async () => {
    const { data: filled } = await secret();
    return filled?.["token"] === undefined ? undefined : filled;
  });
  const text = (key: string) => Buffer.from(data[key] ?? "", "base64").toString();
  assert.match(text("ca.crt"), /^-----BEGIN CERTIFICATE-----/);
  assert.equal(text("namespace"), cluster.namespace);
  const review = async () => {
    const spec = { token: text("token") };
    const { json } = await api.ask("/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec } });
    return (json as unknown as { status: { authenticated?: boolean; user?: { username: string } } }).status;
  };
  assert.equal((await review()).user?.username, `system:serviceaccount:${cluster.namespace}:legacy`);
  const used = await eventually(
    "its use is noted",
    async () => (await secret()).metadata.labels?.["kubernetes.io/legacy-token-last-used"],
  );
  assert.match(used, /^\d{4}-\d{2}-\d{2}$/);
  await api.ask(at("serviceaccounts/legacy"), { method: "PATCH", body: { secrets: [{ name: "legacy" }] } });
  await eventually("a user of a token the account lists is warned", async () => {
    const spec = { token: text("token") };
    const { headers } = await api.ask("/apis/authentication.k8s.io/v1/tokenreviews", { body: { spec } });
    return headers["warning"]?.includes("Use tokens from the TokenRequest API") === true ? true : undefined;
  });
  await api.ask(at("serviceaccounts/legacy"), { method: "DELETE" });
  await eventually("the secret goes", async () =>
    (await api.ask(at("secrets/legacy"))).status === 404 ? true : undefined,
  );
  assert.notEqual((await review()).authenticated, true);
});

test("reviews answer what the requests themselves would be answered", limit, async () => {
  const { cluster } = context;
  const user = `system:serviceaccount:${cluster.namespace}:default`;
  const resourceAttributes = { verb: "list", resource: "configmaps", version: "v1", namespace: cluster.namespace };
  const root = "/apis/authorization.k8s.io/v1";
  const allowed = async (path: string) => {
    const { status, json, text } = await api.ask(path, { body: { metadata: {}, spec: { user, resourceAttributes } } });
    assert.equal(status, 201, text);
    return (json as unknown as { status: { allowed: boolean } }).status.allowed;
  };
  const impersonated = () => api.ask(at("configmaps"), { headers: { "impersonate-user": user } });
  const local = `${root}/namespaces/${cluster.namespace}/localsubjectaccessreviews`;
  for (const [expected, status] of [
    [false, 403],
    [true, 200],
  ] as const) {
    if (expected) {
      await cluster.kubectl([
        "create",
        "rolebinding",
        "viewer",
        "--clusterrole=view",
        `--serviceaccount=${cluster.namespace}:default`,
      ]);
      await eventually("the binding counts", async () => ((await impersonated()).status === 200 ? true : undefined));
    }
    assert.equal(await allowed(`${root}/subjectaccessreviews`), expected);
    assert.equal(await allowed(local), expected);
    assert.equal((await impersonated()).status, status);
  }
});
