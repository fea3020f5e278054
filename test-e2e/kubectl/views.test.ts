import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, installedKubectls, useCluster } from "../framework/lab.ts";
import { NGINX, pod } from "../framework/manifests.ts";

const context = useCluster("views");

test("the usual views, with the oldest and the newest kubectl", { timeout: 240_000 }, async (t) => {
  const kubectls = await installedKubectls();
  assert.ok(kubectls.length >= 1, "no kubectl on this machine");
  await context.cluster.apply(pod("viewed", { image: NGINX }));
  await context.cluster.ready("pod/viewed");
  for (const { path, minor } of new Set([kubectls[0]!, kubectls.at(-1)!])) {
    const cluster = context.cluster.withKubectl(path);
    await t.test(`kubectl 1.${minor}: get pods -A -o wide`, async () => {
      const [header, ...rows] = (await cluster.kubectl(["get", "pods", "-A", "-o", "wide"])).trim().split("\n");
      assert.deepEqual(
        header!
          .split(/\s{2,}/)
          .map((cell) => cell.trim())
          .slice(0, 10),
        ["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE", "NOMINATED NODE", "READINESS GATES"],
      );
      const row = rows.find((line) => line.includes("viewed"));
      assert.match(row!, /viewed\s+1\/1\s+Running\s+0\s+\d+[smh]\S*\s+10\.244\.\d+\.\d+\s+node-\d\s+<none>\s+<none>/);
    });
    await t.test(`kubectl 1.${minor}: componentstatuses`, async () => {
      const text = await cluster.kubectl(["get", "componentstatuses"]);
      for (const name of ["scheduler", "controller-manager", "etcd-0"])
        assert.match(text, new RegExp(`${name}\\s+Healthy\\s+ok`));
    });
    await t.test(`kubectl 1.${minor}: describe`, async () => {
      const text = await cluster.kubectl(["describe", "pod", "viewed"]);
      assert.match(text, /Status:\s+Running/);
      for (const reason of ["Scheduled", "Pulled", "Created", "Started"])
        assert.match(text, new RegExp(`Normal\\s+${reason}\\s`));
      const node = await cluster.jsonpath("pod/viewed", "{.spec.nodeName}");
      assert.match(
        await cluster.kubectl(["describe", "node", node]),
        /Ready\s+True[\s\S]+KubeletReady[\s\S]+Container Runtime Version:\s+containerd:/,
      );
      assert.match(
        await cluster.kubectl(["describe", "service", "kubernetes", "-n", "default"]),
        /Endpoints:\s+172\.30\.0\.11:6443/,
      );
    });
    await t.test(`kubectl 1.${minor}: version, api-resources, explain, cluster-info`, async () => {
      assert.match(await cluster.kubectl(["version"]), /Server Version:.*v1\.36/s);
      const resources = await cluster.kubectl(["api-resources"]);
      for (const kind of ["Pod", "Deployment", "EndpointSlice", "CronJob", "CustomResourceDefinition"])
        assert.match(resources, new RegExp(`\\s${kind}\\n`));
      assert.match(await cluster.kubectl(["explain", "pod.spec.containers"]), /imagePullPolicy/);
      assert.match(await cluster.kubectl(["cluster-info"]), /control plane.*is running at/);
    });
    await t.test(`kubectl 1.${minor}: top-level mistakes are explained`, async () => {
      assert.match(
        (await cluster.try(["get", "pod", "no-such-pod"])).stderr,
        /Error from server \(NotFound\): pods "no-such-pod" not found/,
      );
      assert.match(
        (await cluster.try(["get", "nosuchkind"])).stderr,
        /the server doesn't have a resource type "nosuchkind"/,
      );
    });
  }
});

test("get events --watch shows a new pod's story", { timeout: 90_000 }, async () => {
  const { cluster } = context;
  const watching = cluster.spawn("kubectl", [
    "--kubeconfig",
    cluster.lab.adminConf,
    "-n",
    cluster.namespace,
    "get",
    "events",
    "--watch",
  ]);
  let output = "";
  watching.stdout!.on("data", (chunk: Buffer) => (output += chunk.toString()));
  try {
    await cluster.apply(pod("storyteller"));
    await cluster.ready("pod/storyteller");
    await eventually("all four events were seen", async () =>
      ["Scheduled", "Pulled", "Created", "Started"].every((reason) =>
        new RegExp(`${reason}\\s+pod/storyteller`).test(output),
      )
        ? true
        : undefined,
    );
  } finally {
    watching.kill("SIGTERM");
  }
});
