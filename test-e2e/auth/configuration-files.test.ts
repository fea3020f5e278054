import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { eventually } from "../framework/lab.ts";
import { TestMaster } from "../framework/master.ts";
import { Outside, userOf, who } from "./outside.ts";

const limit = { timeout: 60_000 };
/** Its gatekeepers are set up by files. */
const master = new TestMaster();
let outside: Outside;

/** --authentication-config with one issuer, whose users get a prefix. */
const authentication = (prefix: string) => ({
  apiVersion: "apiserver.config.k8s.io/v1",
  kind: "AuthenticationConfiguration",
  anonymous: { enabled: true, conditions: [{ path: "/livez" }] },
  jwt: [
    {
      issuer: {
        url: outside.url,
        audiences: ["kubits", "other"],
        audienceMatchPolicy: "MatchAny",
        certificateAuthority: outside.ca,
      },
      claimValidationRules: [{ expression: "claims.exp - claims.iat <= 3600", message: "the token lives too long" }],
      claimMappings: {
        username: { expression: `'${prefix}:' + claims.sub` },
        groups: { expression: "claims.groups" },
        extra: [{ key: "example.com/tenant", valueExpression: "claims.tenant" }],
      },
      userValidationRules: [{ expression: "!user.username.endsWith('root')", message: "root may not come in" }],
    },
  ],
});
const webhook = (path: string, failurePolicy: string, expression: string) => ({
  timeout: "3s",
  subjectAccessReviewVersion: "v1",
  matchConditionSubjectAccessReviewVersion: "v1",
  failurePolicy,
  unauthorizedTTL: "1s",
  connectionInfo: { type: "KubeConfigFile", kubeConfigFile: outside.kubeconfig(master, path) },
  matchConditions: [{ expression: "has(request.resourceAttributes)" }, { expression }],
});
/** --authorization-config with webhooks in front; the first one is asked about one namespace. */
const authorization = (namespace: string) => ({
  apiVersion: "apiserver.config.k8s.io/v1",
  kind: "AuthorizationConfiguration",
  authorizers: [
    {
      type: "Webhook",
      name: "rights",
      webhook: webhook("/rights", "NoOpinion", `request.resourceAttributes.namespace == '${namespace}'`),
    },
    { type: "Webhook", name: "broken", webhook: webhook("/broken", "Deny", "'locked' in request.groups") },
    { type: "Node", name: "node" },
    { type: "RBAC", name: "rbac" },
  ],
});
const admission = () => ({
  apiVersion: "apiserver.config.k8s.io/v1",
  kind: "AdmissionConfiguration",
  plugins: [
    { name: "EventRateLimit", path: "limits.yaml" },
    {
      name: "ImagePolicyWebhook",
      configuration: { imagePolicy: { kubeConfigFile: outside.kubeconfig(master, "/images"), retryBackoff: 10 } },
    },
    {
      name: "PodNodeSelector",
      configuration: { podNodeSelectorPluginConfig: { clusterDefaultNodeSelector: "pool=shared" } },
    },
    {
      name: "PodSecurity",
      configuration: { defaults: { enforce: "baseline" }, exemptions: { namespaces: ["exempt"] } },
    },
  ],
});

before(
  async () => {
    if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
    outside = await Outside.start();
    master.file("limits.yaml", { limits: [{ type: "Namespace", qps: 1, burst: 5 }] });
    await master.start(
      `--authentication-config=${master.file("authn.yaml", authentication("jwt"))}`,
      "--enable-admission-plugins=NamespaceAutoProvision,EventRateLimit,ImagePolicyWebhook,AlwaysPullImages,PodNodeSelector",
      `--admission-control-config-file=${master.file("admission.yaml", admission())}`,
      `--authorization-config=${master.file("authz.yaml", authorization("default"))}`,
    );
  },
  { timeout: 120_000 },
);
after(async () => {
  await master.stop();
  outside.stop();
});

test("ID tokens make users as the configuration's expressions say", limit, async () => {
  const reply = await who(master, outside.jwt({ aud: "other", groups: ["dev"], tenant: "acme" }));
  assert.equal(userOf(reply).username, "jwt:jane", reply.text);
  assert.deepEqual(userOf(reply).extra?.["example.com/tenant"], ["acme"]);
  for (const claims of [{ exp: 4e9 }, { sub: "root" }]) {
    const refused = await who(master, outside.jwt({ groups: [], tenant: "x", ...claims }));
    assert.equal(refused.status, 401, JSON.stringify(claims));
  }
  assert.equal((await master.ask("/livez", { client: "nobody" })).status, 200);
  assert.equal((await master.ask("/readyz", { client: "nobody" })).status, 401);
});

const list = (path: string, token: string) => master.ask(`/api/v1/namespaces/${path}`, { token });

test("authorization webhooks are asked in their place, about what their conditions match", limit, async () => {
  const token = outside.jwt({ groups: ["dev"], tenant: "acme" });
  outside.asked.length = 0;
  assert.equal((await list("default/configmaps", token)).status, 200);
  assert.deepEqual(
    outside.asked.map(({ spec }) => spec["resourceAttributes"]!["verb"]),
    ["list"],
  );
  const refused = await list("default/secrets", token);
  assert.equal(refused.status, 403);
  assert.match(refused.text, /the webhook says no/);
  outside.asked.length = 0;
  assert.equal((await list("kube-system/configmaps", token)).status, 403);
  assert.equal(outside.asked.length, 0);
  const locked = outside.jwt({ groups: ["locked"], tenant: "acme" });
  assert.equal((await list("default/configmaps", locked)).status, 200);
  const path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
  const subjects = [{ kind: "Group", name: "locked", apiGroup: "rbac.authorization.k8s.io" }];
  const roleRef = { kind: "ClusterRole", name: "cluster-admin", apiGroup: "rbac.authorization.k8s.io" };
  assert.equal((await master.ask(path, { body: { metadata: { name: "locked" }, roleRef, subjects } })).status, 201);
  // RBAC would allow it, but a webhook that fails closed stands before it.
  assert.equal((await list("kube-system/pods", locked)).status, 403);
  assert.equal((await master.ask("/metrics", { token: locked })).status, 200);
});

test("admission plugins that are off by default do their work once they are on", limit, async () => {
  const at = (namespace: string, plural: string) => `/api/v1/namespaces/${namespace}/${plural}`;
  const pod = (name: string, image: string, spec: object = {}) => ({
    metadata: { name },
    spec: { automountServiceAccountToken: false, containers: [{ name: "c", image }], ...spec },
  });
  const account = (namespace: string) =>
    master.ask(at(namespace, "serviceaccounts"), { body: { metadata: { name: "default" } } });
  assert.equal((await account("sprung-up")).status, 201);
  const namespace = await master.ask("/api/v1/namespaces/sprung-up");
  assert.equal(namespace.status, 200);
  const selector = { metadata: { annotations: { "scheduler.alpha.kubernetes.io/node-selector": "zone=a" } } };
  const merge = { "content-type": "application/merge-patch+json" };
  await master.ask("/api/v1/namespaces/sprung-up", { method: "PATCH", body: selector, headers: merge });
  const made = await eventually("the selector counts", async () => {
    const reply = await master.ask(`${at("sprung-up", "pods")}?dryRun=All`, { body: pod("p", "nginx:1.14.2") });
    assert.equal(reply.status, 201, reply.text);
    const { nodeSelector } = reply.json["spec"] as { nodeSelector: Record<string, string> };
    if (nodeSelector["zone"] !== undefined) return reply;
    assert.deepEqual(nodeSelector, { pool: "shared" }, "without one of its own the namespace has the cluster's");
    return undefined;
  });
  const { nodeSelector, containers } = made.json["spec"] as {
    nodeSelector: object;
    containers: [{ imagePullPolicy: string }];
  };
  assert.deepEqual(nodeSelector, { zone: "a" });
  assert.equal(containers[0].imagePullPolicy, "Always");
  const denied = await master.ask(at("sprung-up", "pods"), { body: pod("p", "nginx:latest") });
  assert.equal(denied.status, 403);
  assert.equal(
    denied.json["message"],
    'pods "p" is forbidden: image policy webhook backend denied one or more images: no latest images here',
  );
  const hostile = pod("p", "nginx:1.14.2", { hostNetwork: true });
  assert.match(
    (await master.ask(at("sprung-up", "pods"), { body: hostile })).text,
    /violates PodSecurity \\"baseline:latest/,
  );
  await account("exempt");
  assert.equal((await master.ask(`${at("exempt", "pods")}?dryRun=All`, { body: hostile })).status, 201);
  const event = (index: number) => ({
    metadata: { name: `e${index}` },
    involvedObject: { kind: "Pod", namespace: "sprung-up", name: "p" },
    reason: "Tested",
  });
  const events = await Promise.all(
    Array.from({ length: 12 }, (_, index) => master.ask(at("sprung-up", "events"), { body: event(index) })),
  );
  const refused = events.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 4 && refused.length <= 7, events.map(({ status }) => status).join());
  assert.match(refused[0]!.text, /limit reached on type Namespace for key sprung-up/);
});

test("issuers and authorization webhooks follow their files", limit, async () => {
  const token = outside.jwt({ groups: ["dev"], tenant: "acme" });
  const reloads = async (what: string, status: string): Promise<number> => {
    const pattern = `apiserver_${what}_config_controller_automatic_reloads_total\\{[^}]*status="${status}"\\} (\\d+)`;
    return Number(new RegExp(pattern).exec((await master.ask("/metrics")).text)?.[1] ?? 0);
  };
  const seen = (what: string, status: string, count: number) =>
    eventually(`${what}: ${count} ${status}`, async () => ((await reloads(what, status)) >= count ? true : undefined));

  master.file("authn.yaml", authentication("changed"));
  await eventually("users have another prefix", async () => {
    const reply = await who(master, token);
    return reply.status === 201 && userOf(reply).username === "changed:jane" ? true : undefined;
  });
  master.file("authn.yaml", "kind: Nonsense");
  await seen("authentication", "failure", 1);
  assert.equal(userOf(await who(master, token)).username, "changed:jane", "the last good file stays in force");

  assert.equal((await list("kube-public/configmaps", token)).status, 403);
  const { authorizers, ...rest } = authorization("kube-public");
  master.file("authz.yaml", { ...rest, authorizers: authorizers.slice(0, 2) });
  await seen("authorization", "failure", 1);
  assert.equal((await list("default/configmaps", token)).status, 200);
  master.file("authz.yaml", authorization("kube-public"));
  await eventually("another namespace is the webhook's", async () =>
    (await list("kube-public/configmaps", token)).status === 200 ? true : undefined,
  );
  assert.equal((await list("default/configmaps", token)).status, 403);
  assert.equal(await reloads("authorization", "success"), 1);
});
