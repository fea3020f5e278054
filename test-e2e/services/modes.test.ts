import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { Lab } from "../../hack/lib/lab.ts";
import { TestCluster, eventually } from "../framework/lab.ts";
import { pod, service } from "../framework/manifests.ts";

let lab: Lab;
let cluster: TestCluster;

// A cluster of its own: the node agent is restarted with other flags under the feet of its pods.
before(async () => {
  if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
  lab = await Lab.start({ nodes: 1 });
  cluster = new TestCluster(lab, "default");
  await eventually("the default service account appears", () => cluster.get("serviceaccount", "default"));
  await cluster.apply([
    pod("web", { command: ["sh", "-c", "mkdir /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www"] }),
    pod("client"),
    service("web", {
      selector: { app: "web" },
      ports: [{ port: 80, targetPort: 8080, nodePort: 30_777 }],
      spec: { type: "NodePort" },
    }),
  ]);
  await cluster.ready("pod/web");
  await cluster.ready("pod/client");
});
after(() => lab?.destroy());

for (const mode of ["nftables", "userspace", "iptables"]) {
  test(`the node agent changes to ${mode} mode; services and DNS go on`, { timeout: 120_000 }, async () => {
    const node = lab.master;
    const asked = Date.now();
    await node.daemons.stop("kubits-node");
    assert.ok(Date.now() - asked < 5000, "the node agent ends when it is told to");
    lab.startNode(node, [`--proxy-mode=${mode}`]);
    await eventually("the proxy says its mode", async () =>
      (await cluster.curl(node, "http://127.0.0.1:10249/proxyMode")) === mode ? true : undefined,
    );
    const ip = await cluster.jsonpath("service/web", "{.spec.clusterIP}");
    for (const url of [`http://${ip}`, `http://${node.address}:30777`]) {
      await eventually(`${url} answers`, async () =>
        (await cluster.curl(node, url)) === "hello\n" ? true : undefined,
      );
    }
    await eventually("a pod resolves and reaches the service", async () => {
      const found = await cluster.exec("client", "nslookup", "web.default.svc.cluster.local");
      const request = "printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n'";
      const page = await cluster.exec("client", "sh", "-c", `${request} | nc -w 3 ${ip} 80`);
      return found.includes(ip) && page.endsWith("hello\n") ? true : undefined;
    });
    const tables = (await lab.run(node, "nft", ["list", "tables"])).stdout;
    assert.equal(tables.includes("kube-proxy"), mode === "nftables");
    const rules = (await lab.run(node, "iptables-save", [])).stdout;
    assert.equal(rules.includes("KUBE-SERVICES"), mode !== "nftables");
    assert.equal(rules.includes("REDIRECT"), mode === "userspace");
    assert.equal(
      (await lab.run(node, "curl", ["-s", "http://127.0.0.1:10256/healthz"])).stdout.includes("nodeEligible"),
      true,
    );
  });
}
