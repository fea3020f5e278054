import assert from "node:assert/strict";
import { test } from "node:test";
import { installedKubectls, useCluster } from "../framework/lab.ts";

const context = useCluster("apply");
const limit = { timeout: 60_000 };

const config = (name: string, data: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});
const deployment = (name: string, image = "nginx:1.14.2") => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, labels: { app: name } },
  spec: {
    replicas: 0,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: "main", image }] } },
  },
});
const stdin = (object: object) => ({ stdin: JSON.stringify(object) });

test("server-side apply names the other manager in a conflict and takes over when forced", limit, async () => {
  const { cluster } = context;
  const apply = (manager: string, object: object, ...more: string[]) =>
    cluster.try(["apply", "--server-side", `--field-manager=${manager}`, ...more, "-f", "-"], stdin(object));
  const first = await apply("alice", config("shared", { a: "1", b: "1" }));
  assert.equal(first.stdout, "configmap/shared serverside-applied\n");
  const conflict = await apply("bob", config("shared", { a: "2" }));
  assert.equal(conflict.exitCode, 1);
  assert.match(
    conflict.stderr,
    /^error: Apply failed with 1 conflict: conflict with "alice": \.data\.a\nPlease review the fields above--they currently have other managers\./,
  );
  assert.equal((await apply("bob", config("shared", { a: "2" }), "--force-conflicts")).exitCode, 0);
  assert.equal((await apply("alice", config("shared", {}))).exitCode, 0);
  assert.equal(await cluster.jsonpath("configmap/shared", "{.data}"), '{"a":"2"}');
  const managers = await cluster.kubectl([
    "get",
    "configmap",
    "shared",
    "--show-managed-fields",
    "-o",
    "jsonpath={.metadata.managedFields[*].manager}",
  ]);
  assert.match(managers, /\bbob\b/);
});

test("apply creates, configures, leaves alone and prunes fields it set before", limit, async () => {
  const { cluster } = context;
  for (const { path } of await installedKubectls().then((all) => [all[0]!, all.at(-1)!])) {
    const other = cluster.withKubectl(path);
    const apply = (object: object) => other.kubectl(["apply", "-f", "-"], stdin(object));
    assert.equal(await apply(config("plain", { a: "1", b: "1" })), "configmap/plain created\n");
    assert.equal(await apply(config("plain", { a: "1", b: "1" })), "configmap/plain unchanged\n");
    await other.kubectl(["patch", "configmap", "plain", "-p", '{"data":{"foreign":"x"}}']);
    assert.equal(await apply(config("plain", { a: "2" })), "configmap/plain configured\n");
    assert.equal(await other.jsonpath("configmap/plain", "{.data}"), '{"a":"2","foreign":"x"}');
    assert.equal(
      await other.kubectl(["delete", "configmap", "plain"]).then((text) => text.split(" deleted")[0]),
      'configmap "plain"',
    );
  }
});

test("diff shows what would change and changes nothing", limit, async () => {
  const { cluster } = context;
  await cluster.apply(deployment("differing"));
  const same = await cluster.try(["diff", "-f", "-"], stdin(deployment("differing")));
  assert.deepEqual([same.exitCode, same.stdout], [0, ""]);
  const diff = await cluster.try(["diff", "-f", "-"], stdin(deployment("differing", "nginx:1.16.1")));
  assert.equal(diff.exitCode, 1, diff.stderr);
  assert.match(diff.stdout, /^- +- image: nginx:1\.14\.2\n\+ +- image: nginx:1\.16\.1\n/m);
  assert.match(diff.stdout, /^- +generation: 1\n\+ +generation: 2\n/m);
  assert.equal(await cluster.jsonpath("deployment/differing", "{.metadata.generation}"), "1");
});

test("three kinds of patch: strategic merges by name, merge replaces, json tests", limit, async () => {
  const { cluster } = context;
  await cluster.apply(deployment("patched"));
  const patch = (type: string, body: unknown) =>
    cluster.try(["patch", "deployment", "patched", `--type=${type}`, "-p", JSON.stringify(body)]);
  const extra = { spec: { template: { spec: { containers: [{ name: "extra", image: "busybox:1.35" }] } } } };
  const names = () => cluster.jsonpath("deployment/patched", "{.spec.template.spec.containers[*].name}");
  assert.equal((await patch("strategic", extra)).stdout, "deployment.apps/patched patched\n");
  assert.equal(await names(), "extra main");
  assert.equal((await patch("strategic", extra)).stdout, "deployment.apps/patched patched (no change)\n");
  await patch("merge", extra);
  assert.equal(await names(), "extra");
  const replicas = (value: number) => ({ op: "test", path: "/spec/replicas", value });
  const failing = await patch("json", [replicas(5), { op: "replace", path: "/spec/replicas", value: 1 }]);
  assert.equal(failing.exitCode, 1);
  assert.match(
    failing.stderr,
    /the server rejected our request due to an error in our request|testing value \/spec\/replicas failed/,
  );
  await patch("json", [replicas(0), { op: "add", path: "/metadata/labels/a~1b", value: "c" }]);
  assert.equal(await cluster.jsonpath("deployment/patched", "{.metadata.labels['a/b']}"), "c");
});

test("replace, replace --force, label, annotate and wait", limit, async () => {
  const { cluster } = context;
  await cluster.apply(config("replaced", { a: "1" }));
  const uid = await cluster.jsonpath("configmap/replaced", "{.metadata.uid}");
  await cluster.kubectl(["replace", "-f", "-"], stdin(config("replaced", { b: "1" })));
  assert.equal(await cluster.jsonpath("configmap/replaced", "{.data} {.metadata.uid}"), `{"b":"1"} ${uid}`);
  await cluster.kubectl(["replace", "--force", "-f", "-"], stdin(config("replaced", { c: "1" })));
  assert.notEqual(await cluster.jsonpath("configmap/replaced", "{.metadata.uid}"), uid);
  assert.equal(await cluster.kubectl(["label", "configmap", "replaced", "tier=front"]), "configmap/replaced labeled\n");
  const again = await cluster.try(["label", "configmap", "replaced", "tier=back"]);
  assert.match(again.stderr, /'tier' already has a value \(front\), and --overwrite is false/);
  const bad = await cluster.try(["label", "configmap", "replaced", "tier=b@d", "--overwrite"]);
  assert.match(bad.stderr, /Invalid value: "b@d"|invalid label value: "tier=b@d"/);
  await cluster.kubectl(["annotate", "configmap", "replaced", "note=some text", "gone=x"]);
  await cluster.kubectl(["annotate", "configmap", "replaced", "gone-"]);
  assert.equal(await cluster.jsonpath("configmap/replaced", "{.metadata.annotations}"), '{"note":"some text"}');
  assert.equal(
    await cluster.kubectl(["get", "configmap", "-l", "tier in (front,mid),!other", "-o", "name"]),
    "configmap/replaced\n",
  );
  const waiting = cluster.kubectl(["wait", "--for=delete", "configmap/replaced", "--timeout=30s"]);
  const matched = ["wait", "--for=jsonpath={.data.c}=1", "configmap/replaced", "--timeout=10s"];
  assert.equal(await cluster.kubectl(matched), "configmap/replaced condition met\n");
  await cluster.kubectl(["delete", "configmap", "replaced"]);
  await waiting;
});

test("get with every kind of output", limit, async () => {
  const { cluster } = context;
  await cluster.apply(config("shown", { key: "value" }));
  const get = (...args: string[]) => cluster.kubectl(["get", "configmap", "shown", ...args]);
  assert.match(await get(), /^NAME +DATA +AGE\nshown +1 +\d+s\n$/);
  assert.match(await get("--show-labels", "--no-headers"), /^shown +1 +\d+s +<none>\n$/);
  assert.equal(await get("-o", "name"), "configmap/shown\n");
  assert.match(await get("-o", "yaml"), /^apiVersion: v1\ndata:\n {2}key: value\nkind: ConfigMap\nmetadata:\n/);
  assert.equal(JSON.parse(await get("-o", "json")).data.key, "value");
  assert.equal(await get("-o", "go-template={{.data.key}}"), "value");
  assert.equal(
    await get("-o", "custom-columns=N:.metadata.name,K:.data.key,X:.nothing"),
    "N       K       X\nshown   value   <none>\n",
  );
  assert.match(
    await cluster.kubectl(["get", "configmaps", "--sort-by=.metadata.name", "-o", "name"]),
    /^configmap\/kube-root-ca\.crt\n(.*\n)*configmap\/shown\n/,
  );
  assert.match(
    await cluster.kubectl(["explain", "configmap", "--recursive"]),
    /^KIND: +ConfigMap\nVERSION: +v1\n[^]*binaryData\t<map\[string\]string>\n/,
  );
});
