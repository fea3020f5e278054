import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { startPodServer } from "../framework/pod-server.ts";

const limit = { timeout: 120_000 };
const run = Math.random().toString(36).slice(2, 8);
const group = `wardle${run}.example.com`;
const services = "/apis/apiregistration.k8s.io/v1/apiservices";
const own = `${services}/v1alpha1.${group}`;
let api: Api;
after(async () => {
  await api?.ask(own, { method: "DELETE" });
  const { cluster } = context;
  await cluster.kubectl(["-n", "kube-system", "delete", "rolebinding", `wardle-${run}`, "--ignore-not-found"]);
  await cluster.kubectl(["delete", "clusterrolebinding", `wardle-${run}`, "--ignore-not-found"]);
  await api?.close();
});

// After the clean-up above: a namespace does not go while an API that may hold objects of it cannot be asked.
const context = useCluster("aggregation");

interface Condition {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}
const condition = async (): Promise<Condition | undefined> =>
  ((await api.ask(own)).json as unknown as { status?: { conditions?: Condition[] } }).status?.conditions?.[0];
const turns = (reason: string) =>
  eventually(`the condition turns ${reason}`, async () => {
    const now = await condition();
    return now?.reason === reason ? now : undefined;
  });

test("an extension API server runs as a pod and becomes available", limit, async () => {
  const { cluster } = context;
  api = await new Api(cluster).ready();
  const made = await api.ask(services, {
    body: {
      metadata: { name: `v1alpha1.${group}`, labels: { run } },
      spec: {
        group,
        version: "v1alpha1",
        groupPriorityMinimum: 2000,
        versionPriority: 200,
        insecureSkipTLSVerify: true,
        service: { namespace: cluster.namespace, name: "extension" },
      },
    },
  });
  assert.equal(made.status, 201, made.text);
  const missing = await turns("ServiceNotFound");
  assert.deepEqual(
    [missing.status, missing.message],
    ["False", `service/extension in "${cluster.namespace}" is not present`],
  );
  const away = await api.ask(`/apis/${group}/v1alpha1/namespaces/default/flunders`);
  assert.equal(away.status, 503);
  assert.equal(away.text, "service unavailable\n");

  const account = `--serviceaccount=${cluster.namespace}:default`;
  await cluster.kubectl([
    "-n",
    "kube-system",
    "create",
    "rolebinding",
    `wardle-${run}`,
    "--role=extension-apiserver-authentication-reader",
    account,
  ]);
  await cluster.kubectl([
    "create",
    "clusterrolebinding",
    `wardle-${run}`,
    "--clusterrole=system:auth-delegator",
    account,
  ]);
  const caBundle = await startPodServer(cluster, { name: "extension", script: "extension.ts", args: [group] });
  const secured = await api.ask(own, { method: "PATCH", body: { spec: { caBundle, insecureSkipTLSVerify: false } } });
  assert.equal(secured.status, 200, secured.text);
  const passed = await turns("Passed");
  assert.deepEqual([passed.status, passed.message], ["True", "all checks passed"]);
});

test("its objects are made, listed, watched and deleted under the rights of whoever asks", limit, async () => {
  const { cluster } = context;
  const flunders = `/apis/${group}/v1alpha1/namespaces/${cluster.namespace}/flunders`;
  const watching = api.watch(`${flunders}?watch=true`);
  const made = await api.ask(flunders, {
    body: { apiVersion: `${group}/v1alpha1`, kind: "Flunder", metadata: { name: "one" }, reference: "x" },
  });
  assert.equal(made.status, 201, made.text);
  assert.equal((made.json as unknown as { by: string }).by, "kubernetes-admin");
  await eventually("the watch has begun", async () => {
    const name = `probe-${Math.random().toString(36).slice(2, 8)}`;
    await api.ask(flunders, { body: { metadata: { name } } });
    await api.ask(`${flunders}/${name}`, { method: "DELETE" });
    return watching.events.length > 0 ? true : undefined;
  });
  assert.equal(await cluster.kubectl(["get", `flunders.${group}`, "-o", "name"]), `flunder.${group}/one\n`);
  const robot = {
    "impersonate-user": `system:serviceaccount:${cluster.namespace}:robot`,
    "x-remote-user": "root",
    "x-remote-group": "system:masters",
  };
  assert.equal((await api.ask(flunders, { headers: robot })).status, 403);
  assert.equal((await api.ask(`${flunders}/one`, { method: "DELETE" })).status, 200);
  await watching.next("DELETED", "one");
  watching.close();
  assert.equal((await api.ask(`${flunders}/one`)).status, 404);
});

test("discovery and OpenAPI show it like everything else", limit, async () => {
  const { cluster } = context;
  assert.match(
    await cluster.kubectl(["api-resources", `--api-group=${group}`, "--no-headers"]),
    /^flunders +fl +wardle\w+\.example\.com\/v1alpha1 +true +Flunder\n$/,
  );
  const groups = (await api.ask("/apis")).json as unknown as { groups: { name: string }[] };
  assert.ok(groups.groups.some(({ name }) => name === group));
  assert.match(await cluster.kubectl(["explain", `flunders.${group}.reference`]), /What it is about\./);
  const v2 = (await api.ask("/openapi/v2")).json as unknown as { paths: object; definitions: Record<string, unknown> };
  assert.ok(`/apis/${group}/v1alpha1/flunders` in v2.paths && !("/apis/elsewhere/v1/things" in v2.paths));
  assert.deepEqual(v2.definitions["test.Flunder"], { type: "object", description: "Flunder is a test" });
  assert.ok(!("test.Unused" in v2.definitions));
});

test("it is unavailable while its pod is away, and its registration has a status of its own", limit, async () => {
  const { cluster } = context;
  await cluster.kubectl(["delete", "pod", "extension", "--grace-period=1"]);
  const missing = await turns("MissingEndpoints");
  assert.match(
    missing.message,
    /^endpointslices for service\/extension in "[^"]+" have no addresses with port name ""$/,
  );
  assert.equal((await api.ask(`/apis/${group}/v1alpha1/namespaces/default/flunders`)).status, 503);
  const patch = { status: { conditions: [{ type: "E2E", status: "True", reason: "Test", message: "Set by a test" }] } };
  const patched = await api.ask(`${own}/status`, { method: "PATCH", body: patch });
  assert.match(patched.text, /Set by a test/);
  const listed = await api.ask(`${services}?labelSelector=run%3D${run}`);
  assert.equal((listed.json as unknown as { items: unknown[] }).items.length, 1);
  assert.equal((await api.ask(`${services}?labelSelector=run%3D${run}`, { method: "DELETE" })).status, 200);
  await eventually("the group is gone", async () =>
    (await api.ask(`/apis/${group}`)).status === 404 ? true : undefined,
  );
});
