import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { pod, service } from "../framework/manifests.ts";

const context = useCluster("dns");

test("pods resolve services, pods and aliases, by short and by full names", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  await cluster.apply([
    pod("client"),
    pod("named", { labels: { app: "named" }, spec: { hostname: "first", subdomain: "group" } }),
    service("group", { selector: { app: "named" }, ports: [{ name: "http", port: 80 }], spec: { clusterIP: "None" } }),
    service("plain", { selector: { app: "named" }, ports: [{ name: "http", port: 80 }] }),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "elsewhere" },
      spec: { type: "ExternalName", externalName: `plain.${cluster.namespace}.svc.cluster.local` },
    },
  ]);
  await cluster.ready("pod/client");
  await cluster.ready("pod/named");
  const podIP = await cluster.jsonpath("pod/named", "{.status.podIP}");
  const clusterIP = await cluster.jsonpath("service/plain", "{.spec.clusterIP}");
  const full = `${cluster.namespace}.svc.cluster.local`;
  const resolves = (name: string, expected: string) =>
    eventually(`${name} is ${expected}`, async () => {
      const text = await cluster.exec("client", "nslookup", name).catch((error: Error) => error.message);
      return text.includes(expected) ? true : undefined;
    });
  await resolves("kubernetes.default", "10.96.0.1");
  await resolves("plain", clusterIP);
  await resolves(`plain.${full}`, clusterIP);
  await resolves(`elsewhere.${full}`, clusterIP);
  await resolves(`group.${full}`, podIP);
  await resolves(`first.group.${full}`, podIP);
  await resolves(podIP, `first.group.${full}`);
  await resolves(clusterIP, `plain.${full}`);
  await cluster.kubectl(["delete", "service", "plain", "--wait=false"]);
  await eventually("the deleted service resolves no more", async () => {
    const text = await cluster.exec("client", "nslookup", `plain.${full}`).catch((error: Error) => error.message);
    return /NXDOMAIN|can't find|can't resolve/.test(text) ? true : undefined;
  });
});

test("each node's pods are answered on their own node", { timeout: 60_000 }, async () => {
  const { cluster } = context;
  for (const node of cluster.lab.nodes) {
    const { stdout } = await cluster.lab.run(node, "iptables-save", ["-t", "nat"]);
    const targets = stdout.split("\n").filter((line) => /kube-system\/kube-dns:dns"? .*--to-destination/.test(line));
    assert.equal(targets.length, 1, stdout);
    assert.match(targets[0]!, new RegExp(`--to-destination ${node.address}:`));
  }
});
