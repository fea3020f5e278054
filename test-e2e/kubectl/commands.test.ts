import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { eventually, installedKubectls, type TestCluster, useCluster } from "../framework/lab.ts";
import { NGINX } from "../framework/manifests.ts";

const context = useCluster("commands");
const limit = { timeout: 480_000 };

const config = (name: string, data: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data,
});
const deployment = (name: string, containers: object[], replicas = 0) => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { nodeSelector: { nowhere: "yes" }, containers } },
  },
});
const stdin = (object: object) => ({ stdin: JSON.stringify(object) });

// A few at a time: it is kubectl that takes the time, and there are few cores.
test("every kubectl writes, reads, compares and deletes", { ...limit, concurrency: 3 }, async (t) => {
  const useOne = ({ path, minor }: { path: string; minor: number }) =>
    t.test(`kubectl 1.${minor}`, () => useAll(context.cluster.withKubectl(path), `v${minor}`));
  await Promise.all((await installedKubectls()).map(useOne));
});

async function useAll(cluster: TestCluster, name: string): Promise<void> {
  const run = (args: string[], object?: object) => cluster.kubectl(args, object === undefined ? {} : stdin(object));
  const main = { name: "main", image: NGINX };

  assert.equal(await run(["create", "-f", "-"], config(name, { a: "1" })), `configmap/${name} created\n`);
  const twice = await cluster.try(["create", "-f", "-"], stdin(config(name, {})));
  assert.match(twice.stderr, new RegExp(`\\(AlreadyExists\\).*configmaps "${name}" already exists`));
  assert.match(await run(["apply", "-f", "-"], deployment(name, [main])), /created\n$/);
  assert.match(await run(["apply", "-f", "-"], deployment(name, [main])), /unchanged\n$/);
  const difference = await cluster.try(["diff", "-f", "-"], stdin(deployment(name, [{ ...main, image: "nginx:9" }])));
  assert.equal(difference.exitCode, 1, difference.stderr);
  assert.match(difference.stdout, /-.*image: nginx:1\.14\.2\n\+.*image: nginx:9\n/);
  assert.match(await run(["apply", "-f", "-"], deployment(name, [{ ...main, image: "nginx:9" }])), /configured\n$/);
  const forced = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
  assert.match(await run(forced, deployment(name, [main])), /serverside-applied\n$/);

  const patch = (type: string, body: unknown) =>
    run(["patch", "deployment", name, `--type=${type}`, "-p", JSON.stringify(body)]);
  const side = { name: "side", image: "busybox:1.35" };
  await patch("strategic", { spec: { template: { spec: { containers: [side] } } } });
  assert.equal(await cluster.jsonpath(`deployment/${name}`, "{.spec.template.spec.containers[*].name}"), "side main");
  await patch("merge", { spec: { template: { spec: { containers: [main] } } } });
  await patch("json", [
    { op: "test", path: "/spec/replicas", value: 0 },
    { op: "add", path: "/metadata/labels", value: { x: "y" } },
  ]);
  assert.equal(
    await cluster.jsonpath(`deployment/${name}`, "{.spec.template.spec.containers[*].name} {.metadata.labels.x}"),
    "main y",
  );
  assert.match(
    await run(["patch", "deployment", name, "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":1}}']),
    /patched/,
  );
  assert.match(await run(["scale", "deployment", name, "--replicas=0"]), /scaled/);
  await run(["label", "deployment", name, "tier=front"]);
  await run(["annotate", "deployment", name, "note=some text"]);
  await edit(cluster, name);
  assert.match(await run(["replace", "--force", "-f", "-"], config(name, { b: "2" })), /replaced\n$/);
  assert.match(
    await run(["wait", `configmap/${name}`, "--for=jsonpath={.data.b}=2", "--timeout=30s"]),
    /condition met/,
  );
  const get = (output: string) => run(["get", "configmap", name, "-o", output]);
  assert.equal((JSON.parse(await get("json")) as { data: { b: string } }).data.b, "2");
  assert.match(await get("yaml"), /^ {2}b: "2"$/m);
  assert.equal(await get("name"), `configmap/${name}\n`);
  for (const output of ["jsonpath={.data.b}", "go-template={{.data.b}}"]) assert.equal(await get(output), "2");
  assert.match(await get("custom-columns=NAME:.metadata.name,B:.data.b"), new RegExp(`^NAME +B\n${name} +2\n$`));
  assert.match(await run(["describe", "deployment", name]), /Annotations: +.*note: some text/s);
  assert.match(
    await run(["get", "deployment", name, "-o", "wide"]),
    new RegExp(`${name} +0/0 +0 +0 +\\d+s +main +nginx`),
  );
  assert.match(await run(["explain", "deployment", "--recursive"]), /revisionHistoryLimit/);
  assert.match(await run(["api-versions"]), /^apps\/v1$/m);
  assert.match(await run(["api-resources", "--api-group=apps"]), /^deployments +deploy +apps\/v1 +true +Deployment$/m);
  assert.match(await run(["cluster-info"]), /control plane.*is running at/);
  assert.match(await run(["expose", "deployment", name, "--port=80"]), new RegExp(`service/${name} exposed`));
  await cascades(cluster, name);
  await run(["delete", "service,configmap", name, "--wait=false"]);
}

/** An editor that changes one word of what it is given. */
async function edit(cluster: TestCluster, name: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kubits-e2e-"));
  try {
    const editor = join(folder, "editor");
    writeFileSync(editor, '#!/bin/sh\nsed -i "s/note: some text/note: edited/" "$1"\n', { mode: 0o755 });
    const { lab, namespace, binary } = cluster;
    const args = ["--kubeconfig", lab.adminConf, "-n", namespace, "edit", "deployment", name];
    await cluster.here("env", [`KUBE_EDITOR=${editor}`, binary, ...args], { timeoutMs: 60_000 });
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.equal(await cluster.jsonpath(`deployment/${name}`, "{.metadata.annotations.note}"), "edited");
  await cluster.kubectl(["annotate", "deployment", name, "note=some text", "--overwrite"]);
}

/** Deletes owners with each policy and looks at what becomes of their dependents. */
async function cascades(cluster: TestCluster, name: string): Promise<void> {
  const sets = () => cluster.kubectl(["get", "replicasets", "-l", `app=${name}`, "-o", "name"]);
  const none = async () => (await sets()) === "" || undefined;
  await cluster.kubectl(["delete", "deployment", name, "--cascade=orphan"]);
  const orphan = (await sets()).trim().split("\n")[0]!;
  assert.match(orphan, new RegExp(`^replicaset\\.apps/${name}-`));
  assert.equal(await cluster.jsonpath(orphan, "{.metadata.ownerReferences}"), "");
  await cluster.apply(deployment(name, [{ name: "main", image: NGINX }]));
  await eventually("the orphan is adopted", async () =>
    (await cluster.jsonpath(orphan, "{.metadata.ownerReferences}")) === "" ? undefined : true,
  );
  await cluster.kubectl(["delete", "deployment", name, "--cascade=foreground"]);
  assert.equal(await sets(), "", "dependents go first");
  await cluster.apply(deployment(name, [{ name: "main", image: NGINX }]));
  await eventually("a replica set is made", async () => (await none()) === undefined || undefined);
  await cluster.kubectl(["delete", "deployment", name, "--cascade=background"]);
  await eventually("dependents follow", none);
}

test("kubectl proxy serves on a port of its choice and on a socket", limit, async () => {
  const { cluster } = context;
  const folder = mkdtempSync(join(tmpdir(), "kubits-e2e-"));
  const proxy = (...args: string[]) =>
    cluster.spawn(cluster.binary, ["--kubeconfig", cluster.lab.adminConf, "proxy", ...args]);
  const socket = join(folder, "proxy.sock");
  const onSocket = proxy(`--unix-socket=${socket}`);
  const onPort = proxy("-p", "0", "--disable-filter");
  try {
    let text = "";
    onPort.stdout!.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const address = await eventually("the port is announced", () =>
      Promise.resolve(/Starting to serve on (127\.0\.0\.1:\d+)/.exec(text)?.[1]),
    );
    assert.match((await cluster.here("curl", ["-sSf", `http://${address}/api/`])).stdout, /"APIVersions"/);
    const status = await eventually("the socket answers", () => statusOf(socket, "/api/"));
    assert.equal(status, 200);
  } finally {
    onPort.kill("SIGTERM");
    onSocket.kill("SIGTERM");
    rmSync(folder, { recursive: true, force: true });
  }
});

function statusOf(socketPath: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });
}
