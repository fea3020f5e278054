import assert from "node:assert/strict";
import { test } from "node:test";
import type { LabMachine } from "../../hack/lib/any-lab.ts";
import { eventually, useCluster } from "../framework/lab.ts";
import { service } from "../framework/manifests.ts";
import { HTTP, UDP, ask, askFromNode, backend, client, distinct } from "./backends.ts";

const context = useCluster("services-outside");
const BALANCER = "203.0.113.7";
const EXTERNAL = "203.0.113.9";

test("backends run on both nodes", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const [one, two] = cluster.lab.nodes;
  await cluster.apply([
    backend("near", "web", { nodeName: one!.name }),
    backend("far", "web", { nodeName: two!.name }),
    client("client", { nodeName: one!.name }),
  ]);
  for (const name of ["near", "far", "client"]) await cluster.ready(`pod/${name}`);
});

test("a load balancer's address, its source ranges and external addresses", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const patch = (patched: object, ...options: string[]) =>
    cluster.kubectl(["patch", "service", "balanced", "--type=merge", "-p", JSON.stringify(patched), ...options]);
  const spec = { type: "LoadBalancer", externalIPs: [EXTERNAL] };
  await cluster.apply(service("balanced", { selector: { app: "web" }, ports: [{ port: 80, targetPort: HTTP }], spec }));
  await patch({ status: { loadBalancer: { ingress: [{ ip: BALANCER }] } } }, "--subresource=status");
  const answers = (host: string, expected: string) =>
    eventually(`${expected} on ${host}`, async () =>
      distinct(await ask(cluster, "client", "tcp", host, 80, expected === "failed" ? 1 : 12)).join() === expected
        ? true
        : undefined,
    );
  await answers(BALANCER, "far,near");
  await answers(EXTERNAL, "far,near");
  await patch({ spec: { loadBalancerSourceRanges: ["198.51.100.0/24"] } });
  await eventually("pods outside the source ranges are kept out", async () =>
    (await ask(cluster, "client", "tcp", BALANCER, 80))[0] === "failed" ? true : undefined,
  );
  await answers(EXTERNAL, "far,near");
  await patch({ spec: { loadBalancerSourceRanges: ["198.51.100.0/24", "10.244.0.0/16"] } });
  await answers(BALANCER, "far,near");
  await patch({ status: { loadBalancer: { ingress: null } } }, "--subresource=status");
  await answers(BALANCER, "failed");
});

test("traffic policies keep traffic on the node, and the health check port tells", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const [one, two] = cluster.lab.nodes as [LabMachine, LabMachine];
  const spec = { type: "LoadBalancer", externalTrafficPolicy: "Local", internalTrafficPolicy: "Local" };
  const ports = [{ port: 80, targetPort: HTTP }];
  await cluster.apply(service("local", { selector: { app: "web" }, ports, spec }));
  const {
    clusterIP,
    healthCheckNodePort,
    ports: allocated,
  } = (
    await cluster.get<{ spec: { clusterIP: string; healthCheckNodePort: number; ports: Array<{ nodePort: number }> } }>(
      "service",
      "local",
    )
  ).spec;
  const { nodePort } = allocated[0]!;
  const health = async (node: LabMachine) => {
    const args = ["-s", "-m", "3", "-w", " %{http_code}", `http://${node.address}:${healthCheckNodePort}/`];
    return (await cluster.lab.run(two, "curl", args, { allowFailure: true })).stdout.replaceAll(/\s+/g, "");
  };
  for (const node of [one, two])
    await eventually(`${node.name} has an endpoint`, async () =>
      /"localEndpoints":1.*200$/.test(await health(node)) ? true : undefined,
    );
  const only = (what: string, expected: string, asked: () => Promise<string[]>) =>
    eventually(what, async () => (distinct(await asked()).join() === expected ? true : undefined));
  await only("pods stay on their node", "near", () => ask(cluster, "client", "tcp", clusterIP, 80, 12));
  await only("the node port of node 1 stays there", "near", () => askFromNode(cluster, two, one.address, nodePort, 12));
  await cluster.kubectl(["label", "pod", "near", "app=other", "--overwrite"]);
  await eventually("node 1 has no endpoint any more", async () =>
    /"localEndpoints":0.*503$/.test(await health(one)) ? true : undefined,
  );
  await only("node 1 drops", "failed", () => askFromNode(cluster, two, one.address, nodePort));
  await only("pods of node 1 find nothing", "failed", () => ask(cluster, "client", "tcp", clusterIP, 80));
  await only("node 2 goes on", "far", () => askFromNode(cluster, one, two.address, nodePort, 3));
  await cluster.kubectl(["label", "pod", "near", "app=web", "--overwrite"]);
});

test("traffic distribution prefers the own node while it has an endpoint", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const spec = { trafficDistribution: "PreferSameNode" };
  await cluster.apply(service("close", { selector: { app: "web" }, ports: [{ port: 80, targetPort: HTTP }], spec }));
  const answers = (expected: string) =>
    eventually(`${expected} answers`, async () =>
      distinct(await ask(cluster, "client", "tcp", "close", 80, 12)).join() === expected ? true : undefined,
    );
  await answers("near");
  await cluster.kubectl(["label", "pod", "near", "app=other", "--overwrite"]);
  await answers("far");
  await cluster.kubectl(["label", "pod", "near", "app=web", "--overwrite"]);
  await answers("near");
});

test("one host port, three pods: by address and by protocol", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const node = cluster.lab.nodes[1]!;
  const holder = (name: string, hostIP: string, protocol: "TCP" | "UDP") => {
    const made = backend(name, name, { nodeName: node.name }) as { spec: { containers: object[] } };
    const containerPort = protocol === "TCP" ? HTTP : UDP;
    Object.assign(made.spec.containers[0]!, { ports: [{ containerPort, hostPort: 54_323, hostIP, protocol }] });
    return made;
  };
  await cluster.apply([
    holder("host-loopback", "127.0.0.1", "TCP"),
    holder("host-tcp", node.address, "TCP"),
    holder("host-udp", node.address, "UDP"),
    client("host-client", { nodeName: node.name, hostNetwork: true }),
  ]);
  for (const name of ["host-loopback", "host-tcp", "host-udp", "host-client"]) await cluster.ready(`pod/${name}`);
  // From the node's own address to its loopback, as somebody on the node would.
  const curl = ["-s", "-m", "5", "--interface", node.address];
  const { stdout } = await cluster.lab.run(node, "curl", [...curl, "http://127.0.0.1:54323/"]);
  assert.equal(stdout.trim(), "host-loopback");
  const one = async (from: string, protocol: "tcp" | "udp", host: string) =>
    (await ask(cluster, from, protocol, host, 54_323))[0];
  assert.equal(await one("host-client", "tcp", "127.0.0.1"), "host-loopback");
  for (const from of ["host-client", "client"]) {
    assert.equal(await one(from, "tcp", node.address), "host-tcp");
    assert.equal(await one(from, "udp", node.address), "host-udp");
  }
});
