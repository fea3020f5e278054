import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { connect } from "node:tls";
import { after, before, test } from "node:test";
import { createCa, issueCertificate } from "#pkg/pki/index.ts";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { eventually } from "../framework/lab.ts";
import { TestMaster } from "../framework/master.ts";

const limit = { timeout: 60_000 };
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const foreign = generateKeyPairSync("rsa", { modulusLength: 2048 });
const flagged = new TestMaster();
const configured = new TestMaster();
/** A provider of identities and a webhook that knows everybody's rights, in one. */
let outside: Server;
let outsideCa: string;
let url: string;
let asked: { spec: Record<string, Record<string, string>> }[] = [];

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
function jwt(claims: object, { key = rsa.privateKey, header = {} }: { key?: KeyObject; header?: object } = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const body = { iss: url, aud: "kubits", sub: "jane", exp: now + 600, iat: now, ...claims };
  const signed = `${encode({ alg: "RS256", kid: "one", ...header })}.${encode(body)}`;
  return `${signed}.${sign("sha256", Buffer.from(signed), key).toString("base64url")}`;
}

before(
  async () => {
    if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
    const now = Date.now();
    const ca = await createCa({ commonName: "outside-ca", validityDays: 1, now });
    outsideCa = ca.cert;
    const leaf = await issueCertificate(ca, {
      commonName: "outside",
      usages: ["server"],
      ips: ["127.0.0.1"],
      validityDays: 1,
      now,
    });
    outside = createServer(leaf, (request, response) => {
      let text = "";
      request
        .on("data", (chunk) => (text += chunk))
        .on("end", () => {
          const answer = (body: object): void => void response.end(JSON.stringify(body));
          if (request.url === "/.well-known/openid-configuration")
            return answer({ issuer: url, jwks_uri: `${url}/keys` });
          if (request.url === "/keys")
            return answer({
              keys: [{ ...rsa.publicKey.export({ format: "jwk" }), kid: "one", alg: "RS256", use: "sig" }],
            });
          const review = JSON.parse(text) as (typeof asked)[number];
          asked.push(review);
          const { spec } = review;
          if (request.url === "/images") {
            const bad = (spec["containers"] as unknown as { image: string }[]).some(({ image }) =>
              image.includes("latest"),
            );
            return answer({ status: { allowed: !bad, reason: bad ? "no latest images here" : "" } });
          }
          if (request.url === "/tokens")
            return answer({
              ...review,
              status:
                String(spec["token"]) === "magic"
                  ? { authenticated: true, user: { username: "merlin", groups: ["wizards"] } }
                  : { authenticated: false },
            });
          const { verb, resource } = spec["resourceAttributes"] ?? {};
          if (request.url === "/broken") return void response.writeHead(500).end();
          answer({
            ...review,
            status:
              verb === "list" && resource === "configmaps"
                ? { allowed: true }
                : { allowed: false, denied: resource === "secrets", reason: "the webhook says no" },
          });
        });
    });
    await new Promise<void>((resolve) => outside.listen(0, "127.0.0.1", resolve));
    url = `https://127.0.0.1:${(outside.address() as AddressInfo).port}`;
    const reviewer = (master: TestMaster, path: string) =>
      master.file(`kubeconfig${path.replace("/", "-")}`, {
        clusters: [
          {
            name: "c",
            cluster: { server: url + path, "certificate-authority-data": Buffer.from(outsideCa).toString("base64") },
          },
        ],
        users: [{ name: "u", user: {} }],
        contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
        "current-context": "x",
      });
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
    const { file } = { file: flagged.file.bind(flagged) };
    await flagged.start(
      `--oidc-issuer-url=${url}`,
      "--oidc-client-id=kubits",
      `--oidc-ca-file=${file("oidc-ca.crt", outsideCa)}`,
      "--oidc-username-prefix=oidc:",
      "--oidc-groups-claim=groups",
      "--oidc-groups-prefix=oidc:",
      "--oidc-required-claim=tenant=acme",
      `--authentication-token-webhook-config-file=${reviewer(flagged, "/tokens")}`,
      "--authorization-mode=Node,RBAC,Webhook",
      `--authorization-webhook-config-file=${reviewer(flagged, "/rights")}`,
      `--audit-log-path=${flagged.folder}/audit.log`,
      `--audit-policy-file=${file("policy.yaml", { apiVersion: "audit.k8s.io/v1", kind: "Policy", rules })}`,
    );
    const webhook = (path: string, failurePolicy: string, expression: string) => ({
      timeout: "3s",
      subjectAccessReviewVersion: "v1",
      matchConditionSubjectAccessReviewVersion: "v1",
      failurePolicy,
      connectionInfo: { type: "KubeConfigFile", kubeConfigFile: reviewer(configured, path) },
      matchConditions: [{ expression: "has(request.resourceAttributes)" }, { expression }],
    });
    const issuer = {
      url,
      audiences: ["kubits", "other"],
      audienceMatchPolicy: "MatchAny",
      certificateAuthority: outsideCa,
    };
    configured.file("limits.yaml", { limits: [{ type: "Namespace", qps: 1, burst: 5 }] });
    await configured.start(
      `--authentication-config=${configured.file("authn.yaml", {
        apiVersion: "apiserver.config.k8s.io/v1",
        kind: "AuthenticationConfiguration",
        anonymous: { enabled: true, conditions: [{ path: "/livez" }] },
        jwt: [
          {
            issuer,
            claimValidationRules: [
              { expression: "claims.exp - claims.iat <= 3600", message: "the token lives too long" },
            ],
            claimMappings: {
              username: { expression: "'jwt:' + claims.sub" },
              groups: { expression: "claims.groups" },
              extra: [{ key: "example.com/tenant", valueExpression: "claims.tenant" }],
            },
            userValidationRules: [{ expression: "!user.username.endsWith('root')", message: "root may not come in" }],
          },
        ],
      })}`,
      "--enable-admission-plugins=NamespaceAutoProvision,EventRateLimit,ImagePolicyWebhook,AlwaysPullImages,PodNodeSelector",
      `--admission-control-config-file=${configured.file("admission.yaml", {
        apiVersion: "apiserver.config.k8s.io/v1",
        kind: "AdmissionConfiguration",
        plugins: [
          { name: "EventRateLimit", path: "limits.yaml" },
          {
            name: "ImagePolicyWebhook",
            configuration: { imagePolicy: { kubeConfigFile: reviewer(configured, "/images") } },
          },
          {
            name: "PodSecurity",
            configuration: { defaults: { enforce: "baseline" }, exemptions: { namespaces: ["exempt"] } },
          },
        ],
      })}`,
      `--authorization-config=${configured.file("authz.yaml", {
        apiVersion: "apiserver.config.k8s.io/v1",
        kind: "AuthorizationConfiguration",
        authorizers: [
          {
            type: "Webhook",
            name: "rights",
            webhook: webhook("/rights", "NoOpinion", "request.resourceAttributes.namespace == 'default'"),
          },
          { type: "Webhook", name: "broken", webhook: webhook("/broken", "Deny", "'locked' in request.groups") },
          { type: "Node", name: "node" },
          { type: "RBAC", name: "rbac" },
        ],
      })}`,
    );
  },
  { timeout: 120_000 },
);
after(async () => {
  await flagged.stop();
  await configured.stop();
  outside.closeAllConnections();
  outside.close();
});

const WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const who = (master: TestMaster, token: string) => master.ask(WHO, { token, body: {} });
type Info = { username: string; groups: string[]; extra?: Record<string, string[]> };
const userOf = (reply: { json: Record<string, unknown> }): Info =>
  (reply.json["status"] as { userInfo: Info }).userInfo;

test("ID tokens make users as the --oidc-* flags say", limit, async () => {
  const reply = await who(flagged, jwt({ groups: ["dev"], tenant: "acme" }));
  assert.equal(reply.status, 201, reply.text);
  assert.equal(userOf(reply).username, "oidc:jane");
  assert.deepEqual(userOf(reply).groups, ["oidc:dev", "system:authenticated"]);
  const merlin = userOf(await who(flagged, "magic"));
  assert.deepEqual([merlin.username, merlin.groups], ["merlin", ["wizards", "system:authenticated"]]);
});

test("ID tokens make users as the configuration's expressions say", limit, async () => {
  const reply = await who(configured, jwt({ aud: "other", groups: ["dev"], tenant: "acme" }));
  assert.equal(userOf(reply).username, "jwt:jane", reply.text);
  assert.deepEqual(userOf(reply).extra?.["example.com/tenant"], ["acme"]);
  for (const claims of [{ exp: 4e9 }, { sub: "root" }]) {
    const refused = await who(configured, jwt({ groups: [], tenant: "x", ...claims }));
    assert.equal(refused.status, 401, JSON.stringify(claims));
  }
  assert.equal((await configured.ask("/livez", { client: "nobody" })).status, 200);
  assert.equal((await configured.ask("/readyz", { client: "nobody" })).status, 401);
});

test("authorization webhooks are asked in their place, about what their conditions match", limit, async () => {
  const token = jwt({ groups: ["dev"], tenant: "acme" });
  const list = (master: TestMaster, path: string, as = token) =>
    master.ask(`/api/v1/namespaces/${path}`, { token: as });
  for (const master of [flagged, configured]) {
    asked = [];
    assert.equal((await list(master, "default/configmaps")).status, 200);
    assert.deepEqual(
      asked.map(({ spec }) => spec["resourceAttributes"]!["verb"]),
      ["list"],
    );
    const refused = await list(master, "default/secrets");
    assert.equal(refused.status, 403);
    assert.match(refused.text, /the webhook says no/);
  }
  asked = [];
  assert.equal((await list(configured, "kube-system/configmaps")).status, 403);
  assert.equal(asked.length, 0);
  const locked = jwt({ groups: ["locked"], tenant: "acme" });
  assert.equal((await list(configured, "default/configmaps", locked)).status, 200);
  const path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
  const subjects = [{ kind: "Group", name: "locked", apiGroup: "rbac.authorization.k8s.io" }];
  const roleRef = { kind: "ClusterRole", name: "cluster-admin", apiGroup: "rbac.authorization.k8s.io" };
  assert.equal((await configured.ask(path, { body: { metadata: { name: "locked" }, roleRef, subjects } })).status, 201);
  // RBAC would allow it, but a webhook that fails closed stands before it.
  assert.equal((await list(configured, "kube-system/pods", locked)).status, 403);
  assert.equal((await configured.ask("/metrics", { token: locked })).status, 200);
});

test("admission plugins that are off by default do their work once they are on", limit, async () => {
  const at = (namespace: string, plural: string) => `/api/v1/namespaces/${namespace}/${plural}`;
  const pod = (name: string, image: string, spec: object = {}) => ({
    metadata: { name },
    spec: { automountServiceAccountToken: false, containers: [{ name: "c", image }], ...spec },
  });
  const account = (namespace: string) =>
    configured.ask(at(namespace, "serviceaccounts"), { body: { metadata: { name: "default" } } });
  assert.equal((await account("sprung-up")).status, 201);
  const namespace = await configured.ask("/api/v1/namespaces/sprung-up");
  assert.equal(namespace.status, 200);
  const selector = { metadata: { annotations: { "scheduler.alpha.kubernetes.io/node-selector": "zone=a" } } };
  const merge = { "content-type": "application/merge-patch+json" };
  await configured.ask("/api/v1/namespaces/sprung-up", { method: "PATCH", body: selector, headers: merge });
  const made = await eventually("the selector counts", async () => {
    const reply = await configured.ask(`${at("sprung-up", "pods")}?dryRun=All`, { body: pod("p", "nginx:1.14.2") });
    assert.equal(reply.status, 201, reply.text);
    return (reply.json["spec"] as { nodeSelector?: object }).nodeSelector === undefined ? undefined : reply;
  });
  const { nodeSelector, containers } = made.json["spec"] as {
    nodeSelector: object;
    containers: [{ imagePullPolicy: string }];
  };
  assert.deepEqual(nodeSelector, { zone: "a" });
  assert.equal(containers[0].imagePullPolicy, "Always");
  const denied = await configured.ask(at("sprung-up", "pods"), { body: pod("p", "nginx:latest") });
  assert.equal(denied.status, 403);
  assert.equal(
    denied.json["message"],
    'pods "p" is forbidden: image policy webhook backend denied one or more images: no latest images here',
  );
  const hostile = pod("p", "nginx:1.14.2", { hostNetwork: true });
  assert.match(
    (await configured.ask(at("sprung-up", "pods"), { body: hostile })).text,
    /violates PodSecurity \\"baseline:latest/,
  );
  await account("exempt");
  assert.equal((await configured.ask(`${at("exempt", "pods")}?dryRun=All`, { body: hostile })).status, 201);
  const event = (index: number) => ({
    metadata: { name: `e${index}` },
    involvedObject: { kind: "Pod", namespace: "sprung-up", name: "p" },
    reason: "Tested",
  });
  const events = await Promise.all(
    Array.from({ length: 12 }, (_, index) => configured.ask(at("sprung-up", "events"), { body: event(index) })),
  );
  const refused = events.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 4 && refused.length <= 7, events.map(({ status }) => status).join());
  assert.match(refused[0]!.text, /limit reached on type Namespace for key sprung-up/);
});

test("forged, expired, foreign, unsigned and oversized tokens are refused", limit, async () => {
  const account = await flagged.ask("/api/v1/namespaces/default/serviceaccounts", {
    body: { metadata: { name: "robot" } },
  });
  assert.equal(account.status, 201, account.text);
  const request = (spec: object) =>
    flagged.ask("/api/v1/namespaces/default/serviceaccounts/robot/token", { body: { spec } });
  const tokenOf = async (spec: object) => ((await request(spec)).json["status"] as { token: string }).token;
  const good = await tokenOf({});
  assert.equal(userOf(await who(flagged, good)).username, "system:serviceaccount:default:robot");
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
    "expired ID token": jwt({ tenant: "acme", exp: Math.floor(Date.now() / 1000) - 60 }),
    "ID token for others": jwt({ tenant: "acme", aud: "them" }),
    "ID token without the required claim": jwt({}),
    "ID token of another key": jwt({ tenant: "acme" }, { key: foreign.privateKey }),
    "ID token of an unknown issuer": jwt({ tenant: "acme", iss: "https://127.0.0.1:1" }),
    nonsense: "a.b.c",
    empty: ".",
  };
  for (const [name, token] of Object.entries(tokens)) {
    const reply = await who(flagged, token);
    assert.equal(reply.status, 401, `${name}: ${reply.text}`);
    assert.equal(reply.json["message"], "Unauthorized", name);
  }
  const huge = await flagged.ask("/api", { token: "x".repeat(200_000) }).then(
    ({ status }) => status,
    () => 431, // the connection may close before the request is written whole
  );
  assert.ok(huge === 431 || huge === 401, String(huge));
  await flagged.ask("/api/v1/namespaces/default/serviceaccounts/robot", { method: "DELETE" });
  await eventually("the token dies with its account", async () =>
    (await who(flagged, good)).status === 401 ? true : undefined,
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
  const reply = await flagged.ask("/api/v1/namespaces", { client: stranger });
  assert.equal(reply.status, 401);
  const headers = { "x-remote-user": "admin", "x-remote-group": "system:masters" };
  assert.equal((await flagged.ask("/api/v1/namespaces", { client: "nobody", headers })).status, 403);
  assert.equal((await flagged.ask("/api/v1/namespaces", { client: stranger, headers })).status, 401);
  const token = jwt({ groups: ["dev"], tenant: "acme" });
  const borrowed = await flagged.ask("/api/v1/namespaces", {
    token,
    headers: { "impersonate-user": "admin", "impersonate-group": "system:masters" },
  });
  assert.equal(borrowed.status, 403);
  assert.match(borrowed.text, /cannot impersonate resource/);
  const onlyGroup = await flagged.ask("/api/v1/namespaces", { headers: { "impersonate-group": "x" } });
  assert.ok(onlyGroup.status >= 400, onlyGroup.text);
});

/** What a server answers to bytes as they are, until it closes. */
function raw(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: flagged.port, ca: flagged.ca, ALPNProtocols: ["http/1.1"] }, () =>
      socket.write(bytes),
    );
    let text = "";
    socket.setTimeout(5000, () => socket.destroy()).on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => resolve(text)).on("error", reject);
  });
}

test("tricks with paths and headers reach nothing that is not theirs", limit, async () => {
  const token = jwt({ groups: ["dev"], tenant: "acme" });
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
    const { status, text } = await flagged.ask(path, { token });
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
    const socket = connectPlain(flagged.port, "127.0.0.1", () =>
      socket.write("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"),
    );
    let text = "";
    socket
      .setTimeout(5000, () => socket.destroy())
      .on("data", (chunk) => (text += chunk.toString()))
      .on("error", reject);
    socket.on("close", () => resolve(text));
  });
  assert.ok(!unencrypted.includes("200 OK"), unencrypted);
  assert.equal((await flagged.ask("/livez")).text, "ok");
});

test("the audit log holds what the policy asks for", limit, async () => {
  const at = "/api/v1/namespaces/default";
  const data = { audited: "yes" };
  await flagged.ask(`${at}/configmaps`, { body: { metadata: { name: "audited" }, data } });
  await flagged.ask(`${at}/secrets`, { body: { metadata: { name: "audited" }, stringData: { password: "hidden" } } });
  await flagged.ask(`${at}/configmaps/missing`, {
    headers: { "impersonate-user": "system:admin", "impersonate-group": "system:masters" },
  });
  const token = jwt({ groups: ["dev"], tenant: "acme" });
  await flagged.ask(`${at}/pods`, { token, body: { metadata: { name: "p" } } });
  type Event = Record<string, never> & { stage: string; verb: string; requestURI: string; level: string };
  const events = (): Event[] =>
    readFileSync(`${flagged.folder}/audit.log`, "utf8")
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
  assert.ok(!readFileSync(`${flagged.folder}/audit.log`, "utf8").includes("hidden"));
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
