import assert from "node:assert/strict";
import { test } from "node:test";
import { type TestCluster, eventually, useCluster } from "../framework/lab.ts";
import { pod, service } from "../framework/manifests.ts";
import { client } from "./backends.ts";

const context = useCluster("dns");
const PORTS = [
  { name: "http", port: 80 },
  { name: "dns", port: 53, protocol: "UDP" },
];

test("pods to ask for, and one to ask from", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const group = { hostname: "first", subdomain: "group" };
  await cluster.apply([
    client("client"),
    pod("named", { labels: { app: "group" }, spec: group }),
    pod("plain", { labels: { app: "group" } }),
    service("group", { selector: { app: "group" }, ports: PORTS, spec: { clusterIP: "None" } }),
    service("web", { selector: { app: "group" }, ports: PORTS }),
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "elsewhere" },
      spec: { type: "ExternalName", externalName: `web.${cluster.namespace}.svc.cluster.local` },
    },
  ]);
  for (const name of ["client", "named", "plain"]) await cluster.ready(`pod/${name}`);
});

type Transport = "-u" | "-t";
const END = "-- end of an answer";

/** Asks cluster DNS from the pod, over UDP or TCP. Answers with each question's data, sorted, or its error code. */
async function answers(
  cluster: TestCluster,
  transport: Transport,
  questions: ReadonlyArray<readonly [type: string, name: string, ...rest: unknown[]]>,
): Promise<string[][]> {
  // In one go: to enter a pod takes much longer than a question.
  const script = questions.map(([type, name]) => `drill ${transport} ${name} ${type}; echo '${END}'`);
  const texts = (await cluster.exec("client", "sh", "-c", script.join("\n"))).split(`${END}\n`);
  return questions.map((_, index) => {
    const text = texts[index] ?? "";
    const code = /rcode: (\w+)/.exec(text)?.[1] ?? "no answer";
    const lines = text.split("\n");
    const begin = lines.indexOf(";; ANSWER SECTION:") + 1;
    const data = lines.slice(begin, lines.indexOf("", begin)).map((line) => line.split("\t").slice(4).join(" "));
    return code === "NOERROR" ? data.sort() : [code];
  });
}
const records = async (cluster: TestCluster, transport: Transport, type: string, name: string): Promise<string[]> =>
  (await answers(cluster, transport, [[type, name]]))[0]!;

test("every kind of record, over UDP and TCP", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const zone = `${cluster.namespace}.svc.cluster.local`;
  const [named, plain] = await Promise.all(
    ["named", "plain"].map((name) => cluster.jsonpath(`pod/${name}`, "{.status.podIP}")),
  );
  const web = await cluster.jsonpath("service/web", "{.spec.clusterIP}");
  const dashed = (ip: string) => ip.replaceAll(".", "-");
  const reverse = (ip: string) => `${ip.split(".").toReversed().join(".")}.in-addr.arpa`;
  const both = [named!, plain!].sort();
  const names = [`first.group.${zone}.`, `${dashed(plain!)}.group.${zone}.`].sort();
  const expected: Array<[string, string, string[]]> = [
    ["A", "kubernetes.default.svc.cluster.local", ["10.96.0.1"]],
    ["SRV", "_https._tcp.kubernetes.default.svc.cluster.local", ["0 100 443 kubernetes.default.svc.cluster.local."]],
    ["A", `web.${zone}`, [web]],
    ["A", `WEB.${zone.toUpperCase()}`, [web]],
    ["AAAA", `web.${zone}`, []],
    ["SRV", `_http._tcp.web.${zone}`, [`0 100 80 web.${zone}.`]],
    ["SRV", `_dns._udp.web.${zone}`, [`0 100 53 web.${zone}.`]],
    ["SRV", `_http._udp.web.${zone}`, ["NXDOMAIN"]],
    ["PTR", reverse(web), [`web.${zone}.`]],
    ["A", `group.${zone}`, both],
    ["A", `first.group.${zone}`, [named!]],
    ["A", `${dashed(plain!)}.group.${zone}`, [plain!]],
    ["SRV", `_http._tcp.group.${zone}`, names.map((name) => `0 50 80 ${name}`)],
    ["PTR", reverse(named!), [`first.group.${zone}.`]],
    ["PTR", reverse(plain!), [`${dashed(plain!)}.group.${zone}.`]],
    ["A", `${dashed(plain!)}.${cluster.namespace}.pod.cluster.local`, [plain!]],
    ["CNAME", `elsewhere.${zone}`, [`web.${zone}.`]],
    ["TXT", "dns-version.cluster.local", ['"1.1.0"']],
    ["A", `nobody.${zone}`, ["NXDOMAIN"]],
    ["A", "nobody.nowhere.svc.cluster.local", ["NXDOMAIN"]],
  ];
  for (const transport of ["-u", "-t"] as const)
    await eventually(`what is asked with ${transport} is answered`, async () => {
      const told = await answers(cluster, transport, expected);
      for (const [index, [type, name, wanted]] of expected.entries())
        assert.deepEqual(told[index], wanted.toSorted(), `${type} ${name}`);
      return true;
    });
  await cluster.kubectl(["delete", "service", "web", "--wait=false"]);
  await eventually("the deleted service resolves no more", async () =>
    (await records(cluster, "-u", "A", `web.${zone}`)).join() === "NXDOMAIN" ? true : undefined,
  );
});

test("programs find short names, their own and configured ones", { timeout: 150_000 }, async () => {
  const { cluster } = context;
  const zone = `${cluster.namespace}.svc.cluster.local`;
  const found = async (from: string, name: string) =>
    (await cluster.exec(from, "sh", "-c", `getent ahostsv4 ${name} | head -n 1`)).split(" ")[0]!;
  const named = await cluster.jsonpath("pod/named", "{.status.podIP}");
  for (const name of ["kubernetes.default", "kubernetes.default.svc"])
    assert.equal(await found("client", name), "10.96.0.1");
  for (const name of ["first.group", `first.group.${cluster.namespace}`, `first.group.${cluster.namespace}.svc`])
    assert.equal(await found("client", name), named);
  const hosts = await cluster.exec("named", "cat", "/etc/hosts");
  assert.match(hosts, new RegExp(`^${named}\\tfirst\\.group\\.${zone.replaceAll(".", "\\.")}\\tfirst$`, "m"));
  assert.equal((await cluster.exec("named", "hostname", "-f")).trim(), `first.group.${zone}`);
  await cluster.apply([
    client("configured", {
      dnsPolicy: "None",
      dnsConfig: {
        nameservers: ["10.96.0.10"],
        searches: [zone, "resolv.conf.local"],
        options: [{ name: "ndots", value: "3" }, { name: "edns0" }],
      },
    }),
    client("as-node", { dnsPolicy: "Default" }),
    client("on-host", { dnsPolicy: "ClusterFirstWithHostNet", hostNetwork: true }),
  ]);
  for (const name of ["configured", "as-node", "on-host"]) await cluster.ready(`pod/${name}`);
  assert.equal(
    (await cluster.exec("configured", "cat", "/etc/resolv.conf")).trim(),
    `search ${zone} resolv.conf.local\nnameserver 10.96.0.10\noptions ndots:3 edns0`,
  );
  assert.equal(await found("configured", "first.group"), named);
  assert.doesNotMatch(await cluster.exec("as-node", "cat", "/etc/resolv.conf"), /cluster\.local/);
  assert.equal(await found("on-host", "first.group"), named);
});

test("an ExternalName follows its changes", { timeout: 90_000 }, async () => {
  const { cluster } = context;
  const name = `elsewhere.${cluster.namespace}.svc.cluster.local`;
  const patch = (spec: object) =>
    cluster.kubectl(["patch", "service", "elsewhere", "--type=merge", "-p", JSON.stringify({ spec })]);
  const becomes = (type: string, pattern: RegExp) =>
    eventually(`${type} becomes ${String(pattern)}`, async () =>
      pattern.test((await records(cluster, "-u", type, name)).join()) ? true : undefined,
    );
  await patch({ externalName: "bar.example.com" });
  await becomes("CNAME", /^bar\.example\.com\.$/);
  await patch({ type: "ClusterIP", externalName: null, ports: [{ port: 80, protocol: "TCP" }] });
  await becomes("A", /^10\.96\.\d+\.\d+$/);
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
