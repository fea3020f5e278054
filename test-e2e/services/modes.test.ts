import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { Lab } from "../../hack/lib/lab.ts";
import { TestCluster, eventually } from "../framework/lab.ts";
import { service } from "../framework/manifests.ts";
import { HTTP, UDP, ask, askEach, askFromNode, backend, client, distinct } from "./backends.ts";

let lab: Lab;
let cluster: TestCluster;

// A cluster of its own, with both address families: node agents are restarted with other flags under their pods.
before(async () => {
  if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
  lab = await Lab.start({ nodes: 2, dualStack: true });
  cluster = new TestCluster(lab, "default");
  await eventually("the default service account appears", () => cluster.get("serviceaccount", "default"));
  const [one, two] = lab.nodes;
  await cluster.apply([
    backend("web", "web", { nodeName: two!.name }),
    client("client", { nodeName: one!.name }),
    service("web", {
      selector: { app: "web" },
      ports: [
        { name: "http", port: 80, targetPort: HTTP, nodePort: 30_777 },
        { name: "udp", protocol: "UDP", port: 80, targetPort: UDP, nodePort: 30_777 },
      ],
      spec: { type: "NodePort", ipFamilyPolicy: "RequireDualStack" },
    }),
  ]);
  await cluster.ready("pod/web");
  await cluster.ready("pod/client");
});
after(() => lab?.destroy());

/** Restarts both node agents with these flags and waits until their proxies run in `mode`. */
async function restart(mode: string, flags: readonly string[] = []): Promise<void> {
  for (const node of lab.nodes) {
    const asked = Date.now();
    await node.daemons.stop("kubits-node", 60_000);
    assert.ok(Date.now() - asked < 60_000, "the node agent ends when it is told to");
    lab.startNode(node, [`--proxy-mode=${mode}`, ...flags]);
  }
  for (const node of lab.nodes)
    await eventually("the proxy says its mode", async () =>
      (await cluster.curl(node, "http://127.0.0.1:10249/proxyMode")) === mode ? true : undefined,
    );
}

/** How packets reach pods of the other node from the first one. */
async function wayToOtherPods(): Promise<string> {
  const { podCIDR } = (await cluster.get<{ spec: { podCIDR: string } }>("node", lab.nodes[1]!.name)).spec;
  const { stdout } = await lab.run(lab.master, "ip", ["-json", "route", "show", podCIDR]);
  return (JSON.parse(stdout) as Array<{ dev: string }>)[0]?.dev ?? "";
}

// Nodes on one link route to each other's pods; told so, they go through a VXLAN tunnel as if a router were between them.
const PATHS = { never: "eth0", always: "kubits.vxlan" } as const;

for (const [mode, tunnel] of [
  ["nftables", "always"],
  ["userspace", "never"],
  ["iptables", "never"],
] as const) {
  test(
    `node agents change to ${mode} mode, tunnel ${tunnel}; services and DNS go on in both families`,
    { timeout: 180_000 },
    async () => {
      await restart(mode, [`--cni-tunnel=${tunnel}`]);
      await eventually(`pods of the other node are behind ${PATHS[tunnel]}`, async () =>
        (await wayToOtherPods()) === PATHS[tunnel] ? true : undefined,
      );
      const { clusterIPs } = (await cluster.get<{ spec: { clusterIPs: string[] } }>("service", "web")).spec;
      assert.deepEqual(
        clusterIPs.map((ip) => ip.includes(":")),
        [false, true],
      );
      const literal = (ip: string) => (ip.includes(":") ? `[${ip}]` : ip);
      const nodeAddresses = lab.nodes.flatMap(({ address, address6 }) => [address, address6!]);
      const ways = [...clusterIPs.map((ip) => [ip, 80] as const), ...nodeAddresses.map((ip) => [ip, 30_777] as const)];
      await eventually("the first address answers TCP of a pod", async () =>
        (await ask(cluster, "client", "tcp", literal(clusterIPs[0]!), 80))[0] === "web" ? true : undefined,
      );
      const asked = ways.flatMap(([ip, port]) => [
        ["tcp", literal(ip), port] as const,
        ["udp", literal(ip), port] as const,
      ]);
      await eventually("every address answers TCP and UDP of a pod", async () => {
        const answers = await askEach(cluster, "client", asked);
        assert.deepEqual(
          asked.map(([protocol, ip], index) => `${answers[index]} on ${ip} by ${protocol}`),
          asked.map(([protocol, ip]) => `web on ${ip} by ${protocol}`),
        );
        return true;
      });
      for (const [ip, port] of ways)
        assert.equal((await askFromNode(cluster, lab.master, literal(ip), port))[0], "web", `${ip} from the node`);
      const dns = await cluster.get<{ spec: { clusterIPs: string[] } }>("-n", "kube-system", "service", "kube-dns");
      for (const server of dns.spec.clusterIPs) {
        const asked = ["drill", "AAAA", "web.default.svc.cluster.local", `@${server}`];
        await eventually(`${server} resolves`, async () =>
          (await cluster.exec("client", ...asked)).includes(`AAAA\t${clusterIPs[1]}`) ? true : undefined,
        );
      }
      const node = lab.master;
      const tables = (await lab.run(node, "nft", ["list", "tables"])).stdout;
      assert.equal(tables.includes("kube-proxy"), mode === "nftables");
      for (const save of ["iptables-save", "ip6tables-save"]) {
        const rules = (await lab.run(node, save, [])).stdout;
        assert.equal(rules.includes("KUBE-SERVICES"), mode !== "nftables");
        assert.equal(rules.includes("REDIRECT"), mode === "userspace");
      }
      const health = ["-s", "http://127.0.0.1:10256/healthz"];
      assert.equal((await lab.run(node, "curl", health)).stdout.includes("nodeEligible"), true);
    },
  );
}

test(
  "a node without DNS of its own asks another's; a Service of somebody else takes over",
  { timeout: 120_000 },
  async () => {
    const [, two] = lab.nodes;
    const slice = (name: string) =>
      cluster.try(["-n", "kube-system", "get", "endpointslice", name, "-o", "jsonpath={.endpoints[*].nodeName}"]);
    await two!.daemons.stop("kubits-node");
    lab.startNode(two!, ["--dns=false"]);
    await eventually("only the first node answers", async () =>
      (await slice("kube-dns-nodes")).stdout === lab.nodes[0]!.name ? true : undefined,
    );
    await eventually("pods of the second node resolve", async () =>
      (await cluster.exec("web", "getent", "hosts", "web.default")).includes("web.default.svc.cluster.local")
        ? true
        : undefined,
    );
    // As when CoreDNS takes the place: the add-on is off, and its Service goes.
    await lab.master.daemons.stop("kubits-master");
    await lab.startMaster(["--addons=bootstrap-tokens"]);
    await cluster.kubectl(["-n", "kube-system", "delete", "service", "kube-dns"]);
    for (const name of ["kube-dns-nodes", "kube-dns-nodes-ipv6"])
      await eventually(`${name} is gone`, async () => ((await slice(name)).exitCode === 0 ? undefined : true), 60_000);
  },
);

test("traffic distribution prefers the own zone while it has an endpoint", { timeout: 120_000 }, async () => {
  const [one, two] = lab.nodes;
  for (const [node, zone] of [
    [one!, "a"],
    [two!, "b"],
  ] as const)
    await cluster.kubectl(["label", "node", node.name, `topology.kubernetes.io/zone=${zone}`]);
  await cluster.apply([
    backend("far", "zoned", { nodeName: two!.name }),
    backend("near", "zoned", { nodeName: one!.name }),
    service("zoned", {
      selector: { app: "zoned" },
      ports: [{ port: 80, targetPort: HTTP }],
      spec: { trafficDistribution: "PreferSameZone", ipFamilyPolicy: "PreferDualStack" },
    }),
  ]);
  const { clusterIPs } = (await cluster.get<{ spec: { clusterIPs: string[] } }>("service", "zoned")).spec;
  const answers = async (expected: string) => {
    for (const ip of clusterIPs.map((ip) => (ip.includes(":") ? `[${ip}]` : ip)))
      await eventually(`${expected} answers on ${ip}`, async () =>
        distinct(await ask(cluster, "client", "tcp", ip, 80, 12)).join() === expected ? true : undefined,
      );
  };
  await answers("near");
  await cluster.kubectl(["delete", "pod", "near", "--wait=false"]);
  await answers("far");
});
