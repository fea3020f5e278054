import assert from "node:assert/strict";
import { test } from "node:test";
import { conntrackSysctls } from "./conntrack-settings.ts";
import { conntrackArguments } from "./conntrack.ts";

test("arguments of conntrack for stale flows", () => {
  assert.equal(
    conntrackArguments({ ip: "10.96.0.10", port: 53, endpointIP: "10.244.0.2" }).join(" "),
    "-D -p udp --orig-dst 10.96.0.10 --dport 53 --dst-nat 10.244.0.2",
  );
  assert.deepEqual(conntrackArguments({ port: 30_053 }), ["-D", "-p", "udp", "--dport", "30053"]);
  assert.deepEqual(conntrackArguments({ ip: "fd00::a", port: 53 }).slice(-2), ["-f", "ipv6"]);
});

test("limits of connection tracking grow with the cores and are never lowered", () => {
  const settings = { maxPerCore: 32_768, min: 131_072, tcpEstablishedSeconds: 86_400, tcpCloseWaitSeconds: 3600 };
  const max = (cores: number, limit: number) =>
    conntrackSysctls(settings, cores, limit)
      .find((setting) => setting.includes("_max="))
      ?.split("=")[1];
  assert.equal(max(2, 65_536), "131072");
  assert.equal(max(8, 65_536), "262144");
  assert.equal(max(8, 1_000_000), undefined);
  assert.deepEqual(conntrackSysctls({ ...settings, maxPerCore: 0, tcpCloseWaitSeconds: 0 }, 8, 0), [
    "net.netfilter.nf_conntrack_tcp_timeout_established=86400",
  ]);
});
