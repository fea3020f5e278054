import assert from "node:assert/strict";
import { createPublicKey, generateKeyPairSync, sign, verify, type webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as connectPlain } from "node:net";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { eventually } from "../framework/lab.ts";
import { TestMaster } from "../framework/master.ts";
import { encode, Outside, userOf, who } from "./outside.ts";

const limit = { timeout: 60_000 };
const foreign = generateKeyPairSync("rsa", { modulusLength: 2048 });
/** Its gatekeepers are set up by flags. */
const master = new TestMaster();
let outside: Outside;

before(
  async () => {
    if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
    outside = await Outside.start();
    const rules = [
      { level: "None", nonResourceURLs: ["/readyz*"] },
      { level: "Metadata", resources: [{ group: "", resources: ["secrets"] }] },
      {
        level: "RequestResponse",
        resources: [{ group: "", resources: ["configmaps"] }],
        omitStages: ["RequestReceived"],
        omitManagedFields: true,
      },
      { level: "Request", userGroups: ["system:unauthenticated", "oidc:dev"] },
    ];
    await master.start(
      `--oidc-issuer-url=${outside.url}`,
      "--oidc-client-id=kubits",
      `--oidc-ca-file=${master.file("oidc-ca.crt", outside.ca)}`,
      "--oidc-username-prefix=oidc:",
      "--oidc-groups-claim=groups",
      "--oidc-groups-prefix=oidc:",
      "--oidc-required-claim=tenant=acme",
      `--authentication-token-webhook-config-file=${outside.kubeconfig(master, "/tokens")}`,
      "--authorization-mode=Node,RBAC,Webhook",
      `--authorization-webhook-config-file=${outside.kubeconfig(master, "/rights")}`,
      `--audit-log-path=${master.folder}/audit.log`,
      `--audit-policy-file=${master.file("policy.yaml", { apiVersion: "audit.k8s.io/v1", kind: "Policy", rules })}`,
    );
  },
  { timeout: 120_000 },
);
after(async () => {
  await master.stop();
  outside.stop();
});

test("ID tokens make users as the --oidc-* flags say", limit, async () => {
  const reply = await who(master, outside.jwt({ groups: ["dev"], tenant: "acme" }));
  assert.equal(reply.status, 201, reply.text);
  assert.equal(userOf(reply).username, "oidc:jane");
  assert.deepEqual(userOf(reply).groups, ["oidc:dev", "system:authenticated"]);
  const merlin = userOf(await who(master, "magic"));
  assert.deepEqual([merlin.username, merlin.groups], ["merlin", ["wizards", "system:authenticated"]]);
});

test("the webhook is asked last of all about what somebody may do", limit, async () => {
  const token = outside.jwt({ groups: ["dev"], tenant: "acme" });
  assert.equal((await master.ask("/api/v1/namespaces/default/configmaps", { token })).status, 200);
  const refused = await master.ask("/api/v1/namespaces/default/secrets", { token });
  assert.equal(refused.status, 403);
  assert.match(refused.text, /the webhook says no/);
});

const core = (path: string) => `/api/v1/namespaces/default/${path}`;
async function make(path: string, body: object): Promise<{ name: string; uid: string }> {
  const { status, json, text } = await master.ask(path, { body });
  assert.equal(status, 201, text);
  return json["metadata"] as { name: string; uid: string };
}

test("tokens bound to a pod, a node or a secret die with it, and only they do", limit, async () => {
  await make(core("serviceaccounts"), { metadata: { name: "bound" } });
  const spec = { serviceAccountName: "bound", automountServiceAccountToken: false };
  const objects = {
    Pod: await make(core("pods"), {
      metadata: { name: "p" },
      spec: { ...spec, containers: [{ name: "c", image: "i" }] },
    }),
    Node: await make("/api/v1/nodes", { metadata: { name: "n" } }),
    Secret: await make(core("secrets"), { metadata: { name: "s" } }),
  };
  const tokens: Record<string, string> = {};
  for (const [kind, { name, uid }] of Object.entries(objects)) {
    const bind = (boundUid: string) =>
      master.ask(core("serviceaccounts/bound/token"), {
        body: { spec: { boundObjectRef: { apiVersion: "v1", kind, name, uid: boundUid } } },
      });
    assert.equal((await bind("00000000-0000-0000-0000-000000000000")).status, 409, kind);
    tokens[kind] = ((await bind(uid)).json["status"] as { token: string }).token;
    const { extra } = userOf(await who(master, tokens[kind]));
    const named = kind === "Secret" ? undefined : extra?.[`authentication.kubernetes.io/${kind.toLowerCase()}-name`];
    assert.deepEqual(named, kind === "Secret" ? undefined : [name]);
  }
  const paths = { Pod: core("pods/p?gracePeriodSeconds=0"), Node: "/api/v1/nodes/n", Secret: core("secrets/s") };
  const alive = new Set(Object.keys(paths));
  for (const [kind, path] of Object.entries(paths)) {
    await master.ask(path, { method: "DELETE" });
    await eventually(`the token of the ${kind} is refused`, async () =>
      (await who(master, tokens[kind]!)).status === 401 ? true : undefined,
    );
    alive.delete(kind);
    for (const other of alive) assert.equal((await who(master, tokens[other]!)).status, 201, other);
  }
});

test("tokens are judged for the audiences somebody asks about", limit, async () => {
  await make(core("serviceaccounts"), { metadata: { name: "reviewed" } });
  const issue = async (spec: object): Promise<string> =>
    ((await master.ask(core("serviceaccounts/reviewed/token"), { body: { spec } })).json["status"] as { token: string })
      .token;
  const review = async (spec: object): Promise<Record<string, unknown>> => {
    const path = "/apis/authentication.k8s.io/v1/tokenreviews";
    const { status, json, text } = await master.ask(path, { body: { spec } });
    assert.equal(status, 201, text);
    return json["status"] as Record<string, unknown>;
  };
  const issuer = "https://kubernetes.default.svc.cluster.local";
  const [own, vault] = [await issue({}), await issue({ audiences: ["vault", "bank"] })];
  assert.deepEqual((await review({ token: own }))["audiences"], [issuer]);
  assert.deepEqual((await review({ token: vault, audiences: ["bank", "shop", "vault"] }))["audiences"], [
    "bank",
    "vault",
  ]);
  for (const [token, audiences] of [
    [vault, undefined],
    [own, ["vault"]],
    ["nonsense", undefined],
  ] as const) {
    const status = await review({ token, ...(audiences === undefined ? {} : { audiences }) });
    assert.notEqual(status["authenticated"], true);
    assert.equal(status["user"] === undefined || Object.keys(status["user"] as object).length === 0, true);
    assert.match(String(status["error"]), /invalid/);
  }
});

test("whoever may read them gets the keys that verify tokens, without any credential", limit, async () => {
  const documents = ["/.well-known/openid-configuration", "/openid/v1/jwks"];
  for (const path of documents) assert.equal((await master.ask(path, { client: "nobody" })).status, 403, path);
  const apiGroup = "rbac.authorization.k8s.io";
  await make(`/apis/${apiGroup}/v1/clusterrolebindings`, {
    metadata: { name: "anybody-reads-keys" },
    roleRef: { apiGroup, kind: "ClusterRole", name: "system:service-account-issuer-discovery" },
    subjects: [{ apiGroup, kind: "Group", name: "system:unauthenticated" }],
  });
  const [discovery, { keys }] = await eventually("the role counts", async () => {
    const replies = await Promise.all(documents.map((path) => master.ask(path, { client: "nobody" })));
    if (replies.some(({ status }) => status !== 200)) return undefined;
    return replies.map(({ json }) => json) as [
      Record<string, unknown>,
      { keys: (webcrypto.JsonWebKey & { kid: string })[] },
    ];
  });
  const issuer = "https://kubernetes.default.svc.cluster.local";
  assert.equal(discovery["issuer"], issuer);
  assert.match(String(discovery["jwks_uri"]), /^https:\/\/[^/]+\/openid\/v1\/jwks$/);
  assert.deepEqual(discovery["response_types_supported"], ["id_token"]);
  assert.deepEqual(discovery["subject_types_supported"], ["public"]);
  await make(core("serviceaccounts"), { metadata: { name: "signed" } });
  const reply = await master.ask(core("serviceaccounts/signed/token"), { body: { spec: {} } });
  const [head = "", body = "", signature = ""] = (reply.json["status"] as { token: string }).token.split(".");
  const { kid } = JSON.parse(Buffer.from(head, "base64url").toString()) as { kid: string };
  const key = createPublicKey({ key: keys.find((own) => own.kid === kid)!, format: "jwk" });
  assert.ok(verify("sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url")));
});

test("forged, expired, foreign, unsigned and oversized tokens are refused", limit, async () => {
  const account = await master.ask("/api/v1/namespaces/default/serviceaccounts", {
    body: { metadata: { name: "robot" } },
  });
  assert.equal(account.status, 201, account.text);
  const request = (spec: object) =>
    master.ask("/api/v1/namespaces/default/serviceaccounts/robot/token", { body: { spec } });
  const tokenOf = async (spec: object) => ((await request(spec)).json["status"] as { token: string }).token;
  const good = await tokenOf({});
  assert.equal(userOf(await who(master, good)).username, "system:serviceaccount:default:robot");
  const [head = "", body = "", signature = ""] = good.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString()) as Record<string, unknown>;
  const resigned = (header: object, changed: object, key = foreign.privateKey): string => {
    const text = `${encode(header)}.${encode({ ...claims, ...changed })}`;
    return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`;
  };
  const header = JSON.parse(Buffer.from(head, "base64url").toString()) as object;
  const tokens: Record<string, string> = {
    "wrong signature": `${head}.${body}.${signature.slice(0, -6)}AAAAAA`,
    "another key": resigned(header, {}),
    "another subject": `${head}.${encode({ ...claims, sub: "system:serviceaccount:kube-system:admin" })}.${signature}`,
    "alg none": `${encode({ alg: "none" })}.${body}.`,
    "alg none in capitals": `${encode({ alg: "NONE" })}.${body}.${signature}`,
    "a public key used as a secret": `${encode({ ...header, alg: "HS256" })}.${body}.${signature}`,
    "wrong audience": await tokenOf({ audiences: ["vault"] }),
    "expired ID token": outside.jwt({ tenant: "acme", exp: Math.floor(Date.now() / 1000) - 60 }),
    "ID token for others": outside.jwt({ tenant: "acme", aud: "them" }),
    "ID token without the required claim": outside.jwt({}),
    "ID token of another key": outside.jwt({ tenant: "acme" }, { key: foreign.privateKey }),
    "ID token of an unknown issuer": outside.jwt({ tenant: "acme", iss: "https://127.0.0.1:1" }),
    nonsense: "a.b.c",
    empty: ".",
  };
  for (const [name, token] of Object.entries(tokens)) {
    const reply = await who(master, token);
    assert.equal(reply.status, 401, `${name}: ${reply.text}`);
    assert.equal(reply.json["message"], "Unauthorized", name);
  }
  const huge = await master.ask("/api", { token: "x".repeat(200_000) }).then(
    ({ status }) => status,
    () => 431, // the connection may close before the request is written whole
  );
  assert.ok(huge === 431 || huge === 401, String(huge));
  await master.ask("/api/v1/namespaces/default/serviceaccounts/robot", { method: "DELETE" });
  await eventually("the token dies with its account", async () =>
    (await who(master, good)).status === 401 ? true : undefined,
  );
});

test("certificates of another CA and borrowed proxy headers prove nothing", limit, async () => {
  const now = Date.now();
  const ca = await createCa({ commonName: "kubernetes", validityDays: 1, now });
  const stranger = await issueCertificate(ca, {
    commonName: "admin",
    organizations: ["system:masters"],
    usages: ["client"],
    validityDays: 1,
    now,
  });
  const reply = await master.ask("/api/v1/namespaces", { client: stranger });
  assert.equal(reply.status, 401);
  const headers = { "x-remote-user": "admin", "x-remote-group": "system:masters" };
  assert.equal((await master.ask("/api/v1/namespaces", { client: "nobody", headers })).status, 403);
  assert.equal((await master.ask("/api/v1/namespaces", { client: stranger, headers })).status, 401);
  const token = outside.jwt({ groups: ["dev"], tenant: "acme" });
  const borrowed = await master.ask("/api/v1/namespaces", {
    token,
    headers: { "impersonate-user": "admin", "impersonate-group": "system:masters" },
  });
  assert.equal(borrowed.status, 403);
  assert.match(borrowed.text, /cannot impersonate resource/);
  const onlyGroup = await master.ask("/api/v1/namespaces", { headers: { "impersonate-group": "x" } });
  assert.ok(onlyGroup.status >= 400, onlyGroup.text);
});

/** What a server answers to bytes as they are, until it closes. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: master.port, ca: master.ca, ALPNProtocols: ["http/1.1"] }, () =>
      socket.write(bytes),
    );
    let text = "";
    socket.setTimeout(5000, () => socket.destroy()).on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => resolve(text)).on("error", reject);
  });
}

test("tricks with paths and headers reach nothing that is not theirs", limit, async () => {
  const token = outside.jwt({ groups: ["dev"], tenant: "acme" });
  const paths = [
    "/api/v1/namespaces/default/configmaps/../secrets",
    "/api/v1/namespaces/default/configmaps/%2e%2e/secrets",
    "/api/v1/namespaces/default/configmaps/..%2fsecrets",
    "/api/v1/namespaces/default/configmaps/%252e%252e%252fsecrets",
    "//api/v1/namespaces/default/secrets",
    "/api/v1//namespaces/default/secrets",
    "/api/v1/namespaces/default%2fsecrets",
    "/./api/v1/secrets",
    "/livez/../api/v1/secrets",
    "/api/v1/namespaces/kube-system%00/secrets",
    "/API/V1/secrets",
    "/api/v1/secrets;x=/livez",
  ];
  for (const path of paths) {
    const { status, text } = await master.ask(path, { token });
    assert.ok(status >= 300 && status < 500, `${path}: ${status} ${text}`);
    assert.ok(!text.includes('"items"'), path);
  }
  const lines = (...all: string[]) => `${all.join("\r\n")}\r\n`;
  const start = ["GET /livez HTTP/1.1", "host: x", "connection: close"];
  const smuggled = "GET /api/v1/secrets HTTP/1.1\r\nhost: x\r\n\r\n";
  const attempts: Record<string, string> = {
    "two lengths": lines("POST /api HTTP/1.1", "host: x", "content-length: 5", "content-length: 6", "", "hello"),
    "length and chunks": lines(
      "POST /api HTTP/1.1",
      "host: x",
      "content-length: 4",
      "transfer-encoding: chunked",
      "",
      "0",
      "",
      smuggled,
    ),
    "odd encoding": lines("POST /api HTTP/1.1", "host: x", "transfer-encoding: xchunked", "", "0", "", smuggled),
    "space before the colon": lines(...start, "authorization : Bearer x", ""),
    "a folded line": lines(...start, "x-a: b", " c: d", ""),
    "a bare CR": lines(...start, "x-a: b\rx-remote-user: admin", ""),
    "a NUL": lines(...start, "x-a: b\0c", ""),
    "no host": lines("GET /livez HTTP/1.1", "connection: close", ""),
  };
  for (const [name, bytes] of Object.entries(attempts)) {
    const text = await raw(bytes);
    assert.match(text, /^(HTTP\/1\.1 400 |$)/, `${name}: ${text}`);
    assert.equal(text.split("HTTP/1.1 ").length - 1 <= 1, true, `${name}: one answer at most`);
  }
  const unencrypted = await new Promise<string>((resolve, reject) => {
    const socket = connectPlain(master.port, "127.0.0.1", () => socket.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"));
    let text = "";
    socket
      .setTimeout(5000, () => socket.destroy())
      .on("data", (chunk) => (text += chunk.toString()))
      .on("error", reject);
    socket.on("close", () => resolve(text));
  });
  assert.ok(!unencrypted.includes("200 OK"), unencrypted);
  assert.equal((await master.ask("/livez")).text, "ok");
});

test("the audit log holds what the policy asks for", limit, async () => {
  const at = "/api/v1/namespaces/default";
  const data = { audited: "yes" };
  await master.ask(`${at}/configmaps`, { body: { metadata: { name: "audited" }, data } });
  await master.ask(`${at}/secrets`, { body: { metadata: { name: "audited" }, stringData: { password: "hidden" } } });
  await master.ask(`${at}/configmaps/missing`, {
    headers: { "impersonate-user": "system:admin", "impersonate-group": "system:masters" },
  });
  const token = outside.jwt({ groups: ["dev"], tenant: "acme" });
  await master.ask(`${at}/pods`, { token, body: { metadata: { name: "p" } } });
  type Event = Record<string, never> & { stage: string; verb: string; requestURI: string; level: string };
  const events = (): Event[] =>
    readFileSync(`${master.folder}/audit.log`, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Event);
  const find = (verb: string, uri: string, stage = "ResponseComplete") =>
    eventually(
      `${verb} ${uri} is written down`,
      async () =>
        events().findLast(
          (event) => event.verb === verb && event.requestURI === uri && event.stage === stage,
        ) as unknown as Record<string, Record<string, unknown>> | undefined,
    );
  const created = await find("create", `${at}/configmaps`);
  assert.deepEqual(created["requestObject"]!["data"], data);
  assert.deepEqual(created["responseObject"]!["data"], data);
  const { uid, managedFields } = created["responseObject"]!["metadata"] as Record<string, unknown>;
  assert.ok(typeof uid === "string" && managedFields === undefined);
  assert.deepEqual(created["responseStatus"], { metadata: {}, code: 201 });
  assert.deepEqual(created["annotations"], {
    "authorization.k8s.io/decision": "allow",
    "authorization.k8s.io/reason": "",
  });
  assert.equal(
    events().some(
      ({ stage, requestURI, level }) =>
        stage === "RequestReceived" && requestURI.includes("configmaps") && level === "RequestResponse",
    ),
    false,
  );
  const secret = await find("create", `${at}/secrets`);
  assert.equal("requestObject" in secret || "responseObject" in secret, false);
  assert.ok(!readFileSync(`${master.folder}/audit.log`, "utf8").includes("hidden"));
  const missing = await find("get", `${at}/configmaps/missing`);
  assert.equal(missing["user"]!["username"], "kubernetes-admin");
  assert.equal(missing["impersonatedUser"]!["username"], "system:admin");
  const { code, reason, message } = missing["responseStatus"]!;
  assert.deepEqual([code, reason, message], [404, "NotFound", 'configmaps "missing" not found']);
  const refused = await find("create", `${at}/pods`);
  assert.equal(refused["responseStatus"]!["code"], 403);
  assert.deepEqual(refused["annotations"], {
    "authorization.k8s.io/decision": "forbid",
    "authorization.k8s.io/reason": "the webhook says no",
  });
  assert.equal((refused["requestObject"]!["metadata"] as { name: string }).name, "p");
});
