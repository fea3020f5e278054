import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import type { Service } from "#pkg/api/types/core-v1.ts";
import type { ProxyMode } from "../index.ts";
import type { ProxyOptions } from "./node-under-test.ts";
import { PacketLab, becomes, tally } from "./lab.ts";
import { ENDPOINTS, service, slice } from "./objects.ts";

const VIP = "10.96.0.5";
const EXTERNAL = "198.51.100.7";
const BALANCER = "203.0.113.9";
const { podA, podB, remote } = ENDPOINTS;
const HTTP = [{ name: "http", protocol: "TCP", port: 80 }];
const DNS = [{ name: "dns", protocol: "UDP", port: 53 }];

/** What modes may do differently. */
export interface Abilities {
  /** Endpoints see the client's own address where policy says so. */
  readonly keepsSource: boolean;
  /** With external traffic policy Local, the node and its pods reach endpoints on other nodes through outside addresses. */
  readonly clusterReachesAll: boolean;
  /** Node ports answer on 127.0.0.1. */
  readonly localhostNodePorts: boolean;
}

export const proxyOptions = (mode: ProxyMode, more: Partial<ProxyOptions> = {}): ProxyOptions => ({
  mode,
  nodeName: "node",
  clusterCIDRs: { IPv4: "10.244.0.0/16", IPv6: "fd00:244::/48" },
  nodeIPs: { IPv4: "172.31.1.1", IPv6: "fd00:1::1" },
  ...more,
});

/** The packets that every mode must treat alike, sent for real through network namespaces. */
export function proxyConformance(
  mode: ProxyMode,
  { keepsSource, clusterReachesAll, localhostNodePorts }: Abilities,
): void {
  describe(`${mode} mode`, { timeout: 120_000 }, () => {
    let lab: PacketLab;
    before(async () => {
      lab = await PacketLab.create();
      await lab.node.do({ op: "proxy", options: proxyOptions(mode) });
    });
    after(async () => {
      await lab.node.do({ op: "stop" });
      await lab.destroy();
    });
    beforeEach(() => clear());

    const set = (object: Service | ReturnType<typeof slice>) =>
      lab.node.do({ op: "set", kind: "addressType" in object ? "endpointslices" : "services", object });
    const drop = (object: Service | ReturnType<typeof slice>) =>
      lab.node.do({ op: "delete", kind: "addressType" in object ? "endpointslices" : "services", object });
    async function clear(): Promise<void> {
      const gone = ["web", "dns", "other"].flatMap((name) => [
        service(name, {}),
        ...["http", "dns"].flatMap((port) =>
          (["IPv4", "IPv6"] as const).map((family) => slice(name, [], { name: port, family })),
        ),
      ]);
      await Promise.all(gone.map(drop));
    }

    test("a ClusterIP spreads over all endpoints, from pods, from the node and from other machines", async () => {
      await set(service("web", { clusterIP: VIP, ports: HTTP }));
      await set(slice("web", [podA, podB, remote]));
      await becomes(() => lab.podA.tcp(VIP, 80), /^pod|^remote/);
      for (const place of [lab.podA, lab.node, lab.outside]) {
        const seen = await tally(60, () => place.tcp(VIP, 80));
        assert.deepEqual(Object.keys(seen).sort(), ["pod-a", "pod-b", "remote"], `from ${place.namespace}`);
      }
    });

    test("a pod reaches itself through its service over TCP and UDP", async () => {
      await set(service("web", { clusterIP: VIP, ports: [...HTTP, ...DNS] }));
      await set(slice("web", [podA]));
      await set(slice("web", [podA], { name: "dns", protocol: "UDP" }));
      await becomes(() => lab.podA.tcp(VIP, 80), /^pod-a /);
      await becomes(() => lab.podA.udp(VIP, 53), /^pod-a /);
    });

    if (keepsSource) {
      test("an endpoint sees the address of the pod that asks", async () => {
        await set(service("web", { clusterIP: VIP, ports: HTTP }));
        await set(slice("web", [podB]));
        await becomes(() => lab.podA.tcp(VIP, 80), "pod-b 10.244.0.2");
      });
    }

    test("without endpoints connections are refused at once, everywhere", async () => {
      await set(
        service("web", {
          type: "NodePort",
          clusterIP: VIP,
          externalIPs: [EXTERNAL],
          ports: [{ ...HTTP[0]!, nodePort: 30080 }],
        }),
      );
      await becomes(() => lab.podA.tcp(VIP, 80), "ECONNREFUSED");
      assert.equal(await lab.node.tcp(VIP, 80), "ECONNREFUSED");
      assert.equal(await lab.outside.tcp(EXTERNAL, 80), "ECONNREFUSED");
      assert.equal(await lab.outside.tcp("172.31.1.1", 30_080), "ECONNREFUSED");
      await set(service("dns", { clusterIP: "10.96.0.10", ports: DNS }));
      await becomes(() => lab.podA.udp("10.96.0.10", 53), "ECONNREFUSED");
    });

    test("UDP goes on with a new endpoint when the old one goes, from the same socket", async () => {
      const from = { port: 40_000 };
      await set(service("dns", { clusterIP: "10.96.0.10", ports: DNS }));
      await becomes(() => lab.podA.udp("10.96.0.10", 53, { from }), "ECONNREFUSED");
      await set(slice("dns", [podB], { name: "dns", protocol: "UDP" }));
      await becomes(() => lab.podA.udp("10.96.0.10", 53, { from }), /^pod-b /);
      await set(slice("dns", [remote], { name: "dns", protocol: "UDP" }));
      await becomes(() => lab.podA.udp("10.96.0.10", 53, { from }), /^remote /);
      await set(slice("dns", [], { name: "dns", protocol: "UDP" }));
      await becomes(() => lab.podA.udp("10.96.0.10", 53, { from }), "ECONNREFUSED");
    });

    test("one port for TCP and UDP; the one that is removed fails, the other goes on", async () => {
      const both = [
        { name: "http", protocol: "TCP", port: 80 },
        { name: "dns", protocol: "UDP", port: 80 },
      ];
      await set(service("web", { clusterIP: VIP, ports: both }));
      await set(slice("web", [podB]));
      await set(slice("web", [podB], { name: "dns", protocol: "UDP" }));
      const from = { port: 40_001 };
      await becomes(() => lab.podA.tcp(VIP, 80), /^pod-b /);
      await becomes(() => lab.podA.udp(VIP, 80, { from }), /^pod-b /);
      await set(service("web", { clusterIP: VIP, ports: [both[0]!] }));
      await becomes(() => lab.podA.udp(VIP, 80, { from }), /timeout|ECONNREFUSED|EHOSTUNREACH/);
      assert.match(await lab.podA.tcp(VIP, 80), /^pod-b /);
    });

    test("a NodePort answers on every address of the node, also from the node and its pods", async () => {
      await set(service("web", { type: "NodePort", clusterIP: VIP, ports: [{ ...HTTP[0]!, nodePort: 30_080 }] }));
      await set(slice("web", [podA, remote]));
      await becomes(() => lab.outside.tcp("172.31.1.1", 30_080), /^(pod-a|remote) /);
      for (const place of [lab.outside, lab.remote, lab.podB, lab.node]) {
        for (const address of ["172.31.1.1", "172.31.2.1", "10.244.0.1"]) {
          assert.match(await place.tcp(address, 30_080), /^(pod-a|remote) /, `${place.namespace} to ${address}`);
        }
      }
      const onLocalhost = await lab.node.tcp("127.0.0.1", 30_080);
      assert.match(onLocalhost, localhostNodePorts ? /^(pod-a|remote) / : /ECONNREFUSED/);
    });

    test("loopback addresses of the node stay closed to its neighbours", async () => {
      await lab.node.do({ op: "listen", protocol: "TCP", port: 9999, name: "private" }).catch(() => undefined);
      await lab.outside.run("sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1");
      await lab.outside
        .run(
          "ip",
          "route",
          "replace",
          "table",
          "local",
          "127.0.0.1/32",
          "via",
          "172.31.1.1",
          "dev",
          "eth0",
          "src",
          "172.31.1.9",
        )
        .catch(() => undefined);
      assert.match(await lab.outside.tcp("127.0.0.1", 9999, { timeoutMs: 500 }), /timeout|ECONNREFUSED|EHOSTUNREACH/);
      await lab.outside.run("ip", "route", "del", "table", "local", "127.0.0.1/32").catch(() => undefined);
    });

    test("session affinity holds for its time-out, then clients are spread again", async () => {
      const sticky = { sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds: 2 } } };
      const ports = [{ ...HTTP[0]!, nodePort: 30_080 }];
      await set(service("web", { type: "NodePort", clusterIP: VIP, ports, ...sticky }));
      await set(slice("web", [podA, podB, remote]));
      await becomes(() => lab.podA.tcp(VIP, 80), /^pod|^remote/);
      for (const [place, address, port] of [
        [lab.podA, VIP, 80],
        [lab.node, VIP, 80],
        [lab.outside, "172.31.1.1", 30_080],
      ] as const) {
        assert.equal(Object.keys(await tally(15, () => place.tcp(address, port))).length, 1, `from ${place.namespace}`);
      }
      await set(service("web", { type: "NodePort", clusterIP: VIP, ports }));
      const several = async () => String(Object.keys(await tally(30, () => lab.podA.tcp(VIP, 80))).length > 1);
      await becomes(several, "true");
    });

    test("external traffic policy Local: only this node's endpoints, and the client's own address", async () => {
      const local = { type: "NodePort", externalTrafficPolicy: "Local", externalIPs: [EXTERNAL] };
      await set(service("web", { clusterIP: VIP, ports: [{ ...HTTP[0]!, nodePort: 30_080 }], ...local }));
      await set(slice("web", [podA, remote]));
      await becomes(() => lab.outside.tcp("172.31.1.1", 30_080), keepsSource ? "pod-a 172.31.1.9" : /^pod-a /);
      for (const address of ["172.31.1.1", "10.244.0.1"]) {
        assert.deepEqual(Object.keys(await tally(12, () => lab.outside.tcp(address, 30_080))), ["pod-a"]);
      }
      assert.match(await lab.outside.tcp(EXTERNAL, 80), keepsSource ? /^pod-a 172\.31\.1\.9$/ : /^pod-a /);
      // The node and its pods are inside the cluster: all endpoints are theirs.
      const reached = clusterReachesAll ? ["pod-a", "remote"] : ["pod-a"];
      for (const place of [lab.podB, lab.node])
        assert.deepEqual(Object.keys(await tally(40, () => place.tcp("172.31.1.1", 30_080))).sort(), reached);
      // No endpoint here: packets from outside vanish, so that the load balancer tries elsewhere.
      await set(slice("web", [remote]));
      await becomes(() => lab.outside.tcp("172.31.1.1", 30_080, { timeoutMs: 400 }), "timeout");
      if (clusterReachesAll) assert.match(await lab.podB.tcp("172.31.1.1", 30_080), /^remote /);
    });

    test("internal traffic policy Local: only this node's endpoints, and nothing without them", async () => {
      await set(service("web", { clusterIP: VIP, ports: HTTP, internalTrafficPolicy: "Local" }));
      await set(slice("web", [podB, remote]));
      await becomes(() => lab.podA.tcp(VIP, 80), /^pod-b /);
      assert.deepEqual(Object.keys(await tally(15, () => lab.podA.tcp(VIP, 80))), ["pod-b"]);
      await set(slice("web", [remote]));
      await becomes(() => lab.podA.tcp(VIP, 80, { timeoutMs: 400 }), "timeout");
    });

    test("external and load balancer addresses lead to the endpoints", async () => {
      const ports = [{ ...HTTP[0]!, nodePort: 30_080 }];
      await set(service("web", { type: "LoadBalancer", clusterIP: VIP, ports, externalIPs: [EXTERNAL] }, [BALANCER]));
      await set(slice("web", [podA]));
      for (const place of [lab.outside, lab.podB, lab.node]) {
        await becomes(() => place.tcp(EXTERNAL, 80), /^pod-a /);
        await becomes(() => place.tcp(BALANCER, 80), /^pod-a /);
      }
    });

    test("load balancer source ranges keep others out, and only there", async () => {
      const guarded = (loadBalancerSourceRanges: string[]) =>
        service(
          "web",
          {
            type: "LoadBalancer",
            clusterIP: VIP,
            ports: [{ ...HTTP[0]!, nodePort: 30_080 }],
            loadBalancerSourceRanges,
          },
          [BALANCER],
        );
      await set(guarded(["192.0.2.0/24"]));
      await set(slice("web", [podA]));
      await becomes(() => lab.outside.tcp("172.31.1.1", 30_080), /^pod-a /);
      assert.equal(await lab.outside.tcp(BALANCER, 80, { timeoutMs: 400 }), "timeout");
      await set(guarded(["192.0.2.0/24", "172.31.1.0/24", "172.31.1.8/30"]));
      await becomes(() => lab.outside.tcp(BALANCER, 80, { timeoutMs: 400 }), /^pod-a /);
    });

    test("terminating endpoints serve while no ready one is left", async () => {
      const leaving = { ...podB, conditions: { ready: false, serving: true, terminating: true } };
      await set(service("web", { clusterIP: VIP, ports: HTTP }));
      await set(slice("web", [leaving, podA]));
      await becomes(() => lab.node.tcp(VIP, 80), /^pod-a /);
      assert.deepEqual(Object.keys(await tally(15, () => lab.node.tcp(VIP, 80))), ["pod-a"]);
      await set(slice("web", [leaving]));
      await becomes(() => lab.node.tcp(VIP, 80), /^pod-b /);
      await set(slice("web", [{ ...leaving, conditions: { ready: false, serving: false, terminating: true } }]));
      await becomes(() => lab.node.tcp(VIP, 80), "ECONNREFUSED");
    });

    test("hints for this node are followed", async () => {
      const hinted = (endpoint: typeof podA, name: string) => ({ ...endpoint, hints: { forNodes: [{ name }] } });
      await set(service("web", { clusterIP: VIP, ports: HTTP }));
      await set(slice("web", [hinted(podA, "node"), hinted(remote, "remote")]));
      await becomes(() => lab.podB.tcp(VIP, 80), /^pod-a /);
      assert.deepEqual(Object.keys(await tally(15, () => lab.podB.tcp(VIP, 80))), ["pod-a"]);
    });

    test("IPv6: cluster IP, node port, hairpin, refusal", async () => {
      const [vip6, a6, b6] = ["fd00:96::5", "fd00:244::2", "fd00:244::3"];
      const ports = [{ ...HTTP[0]!, nodePort: 30_080 }];
      await set(
        service("web", {
          type: "NodePort",
          clusterIP: VIP,
          clusterIPs: [VIP, vip6],
          ipFamilies: ["IPv4", "IPv6"],
          ports,
        }),
      );
      await becomes(() => lab.podA.tcp(vip6, 80), "ECONNREFUSED");
      await set(
        slice(
          "web",
          [
            { ...podA, addresses: [a6] },
            { ...podB, addresses: [b6] },
          ],
          { family: "IPv6" },
        ),
      );
      await becomes(() => lab.outside.tcp("fd00:1::1", 30_080), /^pod/);
      for (const place of [lab.podA, lab.node]) {
        assert.deepEqual(Object.keys(await tally(30, () => place.tcp(vip6, 80))).sort(), ["pod-a", "pod-b"]);
      }
    });

    test("two services may claim one external address; it works while either is there", async () => {
      const claim = (name: string, clusterIP: string) =>
        service(name, { clusterIP, ports: HTTP, externalIPs: [EXTERNAL] });
      await set(claim("web", VIP));
      await set(claim("other", "10.96.0.6"));
      await set(slice("web", [podA]));
      await set(slice("other", [podB]));
      await becomes(() => lab.outside.tcp(EXTERNAL, 80), /^pod/);
      await drop(service("web", {}));
      await becomes(() => lab.outside.tcp(EXTERNAL, 80), /^pod-b /);
    });
  });
}
