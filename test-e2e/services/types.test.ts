import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster } from "../framework/lab.ts";
import { service } from "../framework/manifests.ts";
import { HTTP, UDP, ask, askFromNode, backend, client, distinct } from "./backends.ts";

const context = useCluster("service-types");

test("backends run on both nodes", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const [one, two] = cluster.lab.nodes;
  await cluster.apply([
    backend("a", "web", { nodeName: one!.name }),
    backend("b", "web", { nodeName: two!.name }),
    backend("c", "web", { nodeName: two!.name }),
    client("client", { nodeName: one!.name }),
  ]);
  for (const name of ["a", "b", "c", "client"]) await cluster.ready(`pod/${name}`);
});

interface Spec {
  readonly clusterIP?: string;
  readonly ports?: ReadonlyArray<{ readonly port: number; readonly nodePort?: number }>;
}

test("a service changes its type, and its names and ports follow", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const { namespace } = cluster;
  const patch = (spec: object) =>
    cluster.kubectl(["patch", "service", "changing", "--type=merge", "-p", JSON.stringify({ spec })]);
  const spec = async () => (await cluster.get<{ spec: Spec }>("service", "changing")).spec;
  const dig = (type: string) =>
    cluster.exec("client", "drill", type, `changing.${namespace}.svc.cluster.local`, "@10.96.0.10");
  const ports = [{ port: 80, targetPort: HTTP, protocol: "TCP" }];
  await cluster.apply({
    ...service("changing", { selector: { app: "web" }, ports: [] }),
    spec: { type: "ExternalName", externalName: "foo.example.com", selector: { app: "web" } },
  });
  assert.equal((await spec()).clusterIP, undefined);
  await eventually("the alias resolves", async () =>
    (await dig("CNAME")).includes("CNAME\tfoo.example.com.") ? true : undefined,
  );

  await patch({ type: "ClusterIP", externalName: null, ports });
  const { clusterIP } = await spec();
  assert.match(clusterIP!, /^10\.96\./);
  for (const host of [clusterIP!, "changing"])
    await eventually(`all answer on ${host}`, async () =>
      distinct(await ask(cluster, "client", "tcp", host, 80, 30)).join() === "a,b,c" ? true : undefined,
    );
  assert.match(await dig("A"), new RegExp(`IN\\tA\\t${clusterIP!}`));

  await patch({ type: "NodePort" });
  const nodePort = (await spec()).ports![0]!.nodePort!;
  assert.equal((await spec()).clusterIP, clusterIP);
  for (const { address } of cluster.lab.nodes) {
    await eventually(`the node port answers pods on ${address}`, async () =>
      (await ask(cluster, "client", "tcp", address, nodePort))[0] === "failed" ? undefined : true,
    );
    for (const node of cluster.lab.nodes)
      assert.match((await askFromNode(cluster, node, address, nodePort))[0]!, /^[abc]$/, `${node.name} to ${address}`);
  }

  await cluster.apply(service("other", { selector: { app: "web" }, ports }));
  await patch({
    type: "ExternalName",
    externalName: `other.${namespace}.svc.cluster.local`,
    clusterIP: null,
    clusterIPs: null,
  });
  const external = await spec();
  assert.equal(external.clusterIP, undefined);
  assert.equal(external.ports?.[0]?.nodePort, undefined);
  await eventually("the service answers by its new target", async () =>
    (await ask(cluster, "client", "tcp", "changing", 80))[0] === "failed" ? undefined : true,
  );
  await eventually("the node port is closed", async () =>
    (await ask(cluster, "client", "tcp", cluster.lab.master.address, nodePort))[0] === "failed" ? true : undefined,
  );
});

test("one port number for TCP and UDP: the one taken away fails, the other goes on", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const tcp = { name: "tcp", port: 80, protocol: "TCP", targetPort: HTTP };
  const udp = { name: "udp", port: 80, protocol: "UDP", targetPort: UDP };
  const expose = (ports: object[]) =>
    cluster.kubectl([
      "patch",
      "service",
      "both",
      "--type=json",
      "-p",
      JSON.stringify([{ op: "replace", path: "/spec/ports", value: ports }]),
    ]);
  await cluster.apply(service("both", { selector: { app: "web" }, ports: [tcp, udp] }));
  const answers = (protocol: "tcp" | "udp", expected: boolean) =>
    eventually(`${protocol} ${expected ? "answers" : "fails"}`, async () =>
      ((await ask(cluster, "client", protocol, "both", 80))[0] !== "failed") === expected ? true : undefined,
    );
  await answers("tcp", true);
  await answers("udp", true);
  await expose([tcp]);
  await answers("udp", false);
  await answers("tcp", true);
  await expose([udp]);
  await answers("tcp", false);
  await answers("udp", true);
});

test("session affinity ties a client to one backend, and can be switched", { timeout: 180_000 }, async () => {
  const { cluster } = context;
  const spec = { type: "NodePort", sessionAffinity: "ClientIP" };
  await cluster.apply(service("sticky", { selector: { app: "web" }, ports: [{ port: 80, targetPort: HTTP }], spec }));
  const { clusterIP, ports } = (await cluster.get<{ spec: Spec }>("service", "sticky")).spec;
  const ways = [[clusterIP!, 80], ...cluster.lab.nodes.map(({ address }) => [address, ports![0]!.nodePort!])] as Array<
    [string, number]
  >;
  const spread = async (most: number, least: number) => {
    for (const [host, port] of ways)
      await eventually(`${least} to ${most} backends answer on ${host}:${port}`, async () => {
        const seen = distinct(await ask(cluster, "client", "tcp", host, port, 15));
        return !seen.includes("failed") && seen.length >= least && seen.length <= most ? true : undefined;
      });
  };
  const affinity = (sessionAffinity: string) =>
    cluster.kubectl(["patch", "service", "sticky", "-p", JSON.stringify({ spec: { sessionAffinity } })]);
  await spread(1, 1);
  await affinity("None");
  await spread(3, 2);
  await affinity("ClientIP");
  await spread(1, 1);
});

test("slices written by hand: several of one service, with ports of their own", { timeout: 120_000 }, async () => {
  const { cluster } = context;
  const address = async (name: string) => cluster.jsonpath(`pod/${name}`, "{.status.podIP}");
  const [a, b] = [await address("a"), await address("b")];
  const slice = (name: string, of: string, ip: string, ports: object[]) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      labels: { "kubernetes.io/service-name": of, "endpointslice.kubernetes.io/managed-by": "somebody" },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: [ip] }],
    ports,
  });
  const two = [
    { name: "first", port: 80, protocol: "TCP" },
    { name: "second", port: 81, protocol: "TCP" },
  ];
  const bare = (name: string) => ({ apiVersion: "v1", kind: "Service", metadata: { name }, spec: { ports: two } });
  const first = (port: number) => [{ name: "first", port, protocol: "TCP" }];
  const second = (port: number) => [{ name: "second", port, protocol: "TCP" }];
  await cluster.apply([
    bare("one-address"),
    slice("one-1", "one-address", a, first(HTTP)),
    slice("one-2", "one-address", a, second(8082)),
    bare("two-addresses"),
    slice("two-1", "two-addresses", a, first(HTTP)),
    slice("two-2", "two-addresses", b, second(8082)),
  ]);
  for (const [host, port, expected] of [
    ["one-address", 80, "a"],
    ["one-address", 81, "a"],
    ["two-addresses", 80, "a"],
    ["two-addresses", 81, "b"],
  ] as const) {
    await eventually(`${host}:${port} is answered by ${expected}`, async () =>
      distinct(await ask(cluster, "client", "tcp", host, port, 3)).join() === expected ? true : undefined,
    );
  }
});
