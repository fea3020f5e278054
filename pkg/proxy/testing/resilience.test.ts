import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { proxyOptions } from "./conformance.ts";
import { PacketLab, becomes } from "./lab.ts";
import { ENDPOINTS, service, slice } from "./objects.ts";

const VIP = "10.96.0.5";
/** It takes a second or two; a machine that does ten other things at once is given time. */
const RECOVERY_MS = 20_000;
const { podA, remote } = ENDPOINTS;
const web = () => service("web", { clusterIP: VIP, ports: [{ name: "http", protocol: "TCP", port: 80 }] });

describe("rules that others touch, and modes that follow each other", { timeout: 120_000 }, () => {
  let lab: PacketLab;
  before(async () => {
    lab = await PacketLab.create();
  });
  after(() => lab.destroy());
  afterEach(async () => {
    await lab.node.do({ op: "stop" });
    await lab.node.do({ op: "cleanup", mode: "" });
  });

  async function start(mode: "iptables" | "nftables" | "userspace", more = {}): Promise<void> {
    await lab.node.do({ op: "proxy", options: proxyOptions(mode, { checkMs: 300, ...more }) });
    await lab.node.do({ op: "set", kind: "services", object: web() });
    await lab.node.do({ op: "set", kind: "endpointslices", object: slice("web", [podA]) });
    await becomes(() => lab.podB.tcp(VIP, 80), /^pod-a /);
  }
  const recovers = () => becomes(() => lab.podB.tcp(VIP, 80, { timeoutMs: 200 }), /^pod-a /, RECOVERY_MS);
  const rules = async (pattern: RegExp) => {
    const text = await lab.node.run("iptables-save");
    return text.split("\n").filter((line) => pattern.test(line)).length;
  };

  test("iptables: one deleted rule, a deleted jump and a flush come back", async () => {
    await start("iptables");
    await lab.node.run("iptables", "-t", "nat", "-D", "KUBE-SERVICES", "1");
    assert.notEqual((await lab.podB.tcp(VIP, 80, { timeoutMs: 200 })).slice(0, 5), "pod-a");
    await recovers();
    await lab.node.run("iptables", "-t", "nat", "-D", "PREROUTING", "1");
    await recovers();
    await lab.node.run("iptables", "-t", "nat", "-F");
    await recovers();
    await lab.node.run("iptables", "-t", "nat", "-F");
    await lab.node.run("iptables", "-t", "nat", "-X");
    await recovers();
  });

  test("iptables: a rule that somebody puts into a chain of ours goes", async () => {
    await start("iptables");
    await lab.node.run("iptables", "-t", "nat", "-I", "KUBE-SERVICES", "-j", "ACCEPT");
    await recovers();
  });

  test("iptables: what belongs to others stays, during changes, repairs and clean-up", async () => {
    await lab.node.run("iptables", "-t", "nat", "-N", "OTHERS");
    await lab.node.run("iptables", "-t", "nat", "-A", "OTHERS", "-d", "192.0.2.1/32", "-j", "RETURN");
    await lab.node.run("iptables", "-t", "nat", "-I", "PREROUTING", "-j", "OTHERS");
    await lab.node.run("iptables", "-A", "FORWARD", "-s", "192.0.2.2/32", "-j", "DROP");
    await start("iptables");
    await lab.node.run("iptables", "-t", "nat", "-F", "KUBE-SERVICES");
    await recovers();
    assert.equal(await rules(/OTHERS|192\.0\.2\.2/), 4);
    await lab.node.do({ op: "stop" });
    await lab.node.do({ op: "cleanup", mode: "" });
    assert.equal(await rules(/OTHERS|192\.0\.2\.2/), 4);
    assert.equal(await rules(/KUBE/), 0);
    await lab.node.run("iptables", "-t", "nat", "-F");
    await lab.node.run("iptables", "-t", "nat", "-X");
    await lab.node.run("iptables", "-F");
  });

  test("nftables: a deleted rule, a deleted element and a deleted table come back", async () => {
    await start("nftables");
    const table = ["ip", "kube-proxy"];
    await lab.node.run("nft", "flush", "chain", ...table, "services");
    await recovers();
    await lab.node.run("nft", "delete", "element", ...table, "service-ips", `{ ${VIP} . tcp . 80 }`);
    await recovers();
    await lab.node.run("nft", "delete", "table", ...table);
    await recovers();
  });

  test("nftables: a restart keeps clients at their endpoints", async () => {
    const sticky = { ...web(), spec: { ...web().spec, sessionAffinity: "ClientIP" } };
    const run = async () => {
      await lab.node.do({ op: "proxy", options: proxyOptions("nftables") });
      await lab.node.do({ op: "set", kind: "services", object: sticky });
      await lab.node.do({ op: "set", kind: "endpointslices", object: slice("web", [podA, remote]) });
      await becomes(() => lab.podB.tcp(VIP, 80), /^(pod-a|remote) /);
      return lab.podB.tcp(VIP, 80);
    };
    const first = await run();
    for (let again = 0; again < 4; again++) {
      // Everything is written anew, as after a restart, and the elements of affinity sets must survive that.
      await lab.node.run("nft", "flush", "chain", "ip", "kube-proxy", "services");
      await becomes(() => lab.podB.tcp(VIP, 80, { timeoutMs: 200 }), /^(pod-a|remote) /, RECOVERY_MS);
      assert.equal(await lab.podB.tcp(VIP, 80), first);
    }
  });

  test("a mode that follows another leaves nothing of it", async () => {
    for (const [mode, alien] of [
      ["iptables", "nftables"],
      ["nftables", "iptables"],
      ["userspace", "nftables"],
      ["iptables", "nftables"],
    ] as const) {
      await lab.node.do({ op: "cleanup", mode });
      await start(mode);
      const nft = (await lab.node.run("nft", "list", "tables")).includes("kube-proxy");
      assert.equal(nft, mode === "nftables");
      assert.equal((await rules(/KUBE-SERVICES/)) > 0, alien !== "iptables");
      await lab.node.do({ op: "stop" });
    }
  });

  test("rules of a former life that nobody wants any more go at the start", async () => {
    await start("iptables");
    await lab.node.do({ op: "stop" });
    assert.ok((await rules(/^:KUBE-SEP-/)) > 0);
    await lab.node.do({ op: "proxy", options: proxyOptions("iptables") });
    await becomes(async () => String(await rules(/^:KUBE-SEP-/)), "0");
    assert.equal(await rules(/-j KUBE-SERVICES/), 4);
  });

  test("health: healthz, livez, metrics and health check node ports", async () => {
    const http = (url: string) =>
      lab.node.do<{ status: number; headers: Record<string, string>; body: string }>({ op: "http", url });
    await start("iptables", { healthzPort: 10_256, metricsPort: 10_249 });
    const node = (taints: object[]) => ({ metadata: { name: "node" }, spec: { taints } });
    await lab.node.do({ op: "set", kind: "nodes", object: node([]) });
    const healthz = await http("http://127.0.0.1:10256/healthz");
    assert.equal(healthz.status, 200);
    assert.deepEqual(Object.keys(JSON.parse(healthz.body) as object), ["lastUpdated", "currentTime", "nodeEligible"]);
    await lab.node.do({ op: "set", kind: "nodes", object: node([{ key: "ToBeDeletedByClusterAutoscaler" }]) });
    assert.equal((await http("http://127.0.0.1:10256/healthz")).status, 503);
    assert.equal((await http("http://127.0.0.1:10256/livez")).status, 200);
    const { body } = await http("http://127.0.0.1:10249/metrics");
    assert.match(body, /kubeproxy_sync_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/);
    assert.match(body, /kubeproxy_proxy_healthz_total\{code="503"\} 1/);
    assert.equal((await http("http://127.0.0.1:10249/proxyMode")).body, "iptables");

    const checked = {
      ...web(),
      spec: { ...web().spec, type: "LoadBalancer", externalTrafficPolicy: "Local", healthCheckNodePort: 31_999 },
    };
    await lab.node.do({ op: "set", kind: "services", object: checked });
    const answer = await http("http://127.0.0.1:31999/");
    assert.equal(answer.status, 200);
    assert.equal(answer.headers["x-load-balancing-endpoint-weight"], "1");
    assert.deepEqual(JSON.parse(answer.body), {
      service: { namespace: "default", name: "web" },
      localEndpoints: 1,
      serviceProxyHealthy: true,
    });
    await lab.node.do({ op: "set", kind: "endpointslices", object: slice("web", [remote]) });
    await becomes(async () => String((await http("http://127.0.0.1:31999/")).status), "503");
    await lab.node.do({ op: "delete", kind: "services", object: checked });
    await assert.rejects(http("http://127.0.0.1:31999/"), /ECONNREFUSED/);
  });
});
