import assert from "node:assert/strict";
import { test } from "node:test";
import { ServiceTracker } from "../model/tracker.ts";
import { ENDPOINTS, service, slice } from "../testing/objects.ts";
import { NftRuleset, parseListing } from "./ruleset.ts";

const config = {
  clusterCIDR: "10.244.0.0/16",
  masqueradeAll: false,
  nodePortAddresses: ["172.31.1.0/24"],
  localhostNodePorts: false,
  nodeIP: "172.31.1.1",
};
const { podA, remote } = ENDPOINTS;
const web = (more: object = {}) =>
  service("web", {
    type: "NodePort",
    clusterIP: "10.96.0.5",
    ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30_080 }],
    ...more,
  });

function started() {
  const tracker = new ServiceTracker("IPv4", { nodeName: "node", zone: "" });
  tracker.setService(web());
  tracker.setSlice(slice("web", [podA, remote]));
  const ruleset = new NftRuleset("IPv4", config);
  ruleset.rebuild(new Map(), new Map());
  const update = () => ruleset.update(tracker.takeChanges()).replaceAll("ip kube-proxy ", "");
  return { tracker, ruleset, update };
}

test("a NodePort service: chains first, then what leads to them", () => {
  assert.equal(
    started().update(),
    `add chain service-24TQLSAW-default/web/tcp/http
add chain external-24TQLSAW-default/web/tcp/http
add chain endpoint-BWUZYYNN-default/web/tcp/http__10.244.0.2/8080
add chain endpoint-PHPAYOHT-default/web/tcp/http__10.244.1.2/8080
add rule service-24TQLSAW-default/web/tcp/http ip daddr 10.96.0.5 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
add rule service-24TQLSAW-default/web/tcp/http numgen random mod 2 vmap { 0 : goto endpoint-BWUZYYNN-default/web/tcp/http__10.244.0.2/8080, 1 : goto endpoint-PHPAYOHT-default/web/tcp/http__10.244.1.2/8080 }
add rule external-24TQLSAW-default/web/tcp/http jump mark-for-masquerade
add rule external-24TQLSAW-default/web/tcp/http goto service-24TQLSAW-default/web/tcp/http
add rule endpoint-BWUZYYNN-default/web/tcp/http__10.244.0.2/8080 meta l4proto tcp dnat to 10.244.0.2:8080
add rule endpoint-PHPAYOHT-default/web/tcp/http__10.244.1.2/8080 meta l4proto tcp dnat to 10.244.1.2:8080
add element cluster-ips { 10.96.0.5 }
add element service-ips { 10.96.0.5 . tcp . 80 : goto service-24TQLSAW-default/web/tcp/http }
add element service-nodeports { tcp . 30080 : goto external-24TQLSAW-default/web/tcp/http }
add element hairpin-connections { 10.244.0.2 . 10.244.0.2 }
`,
  );
});

test("a change of endpoints rewrites the balancing chain, and nothing else", () => {
  const { tracker, update } = started();
  update();
  tracker.setSlice(slice("web", [podA]));
  assert.equal(
    update(),
    `flush chain service-24TQLSAW-default/web/tcp/http
flush chain endpoint-PHPAYOHT-default/web/tcp/http__10.244.1.2/8080
add rule service-24TQLSAW-default/web/tcp/http ip daddr 10.96.0.5 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade
add rule service-24TQLSAW-default/web/tcp/http numgen random mod 1 vmap { 0 : goto endpoint-BWUZYYNN-default/web/tcp/http__10.244.0.2/8080 }
delete chain endpoint-PHPAYOHT-default/web/tcp/http__10.244.1.2/8080
`,
  );
  assert.equal(update(), "");
});

test("losing all endpoints moves the address from one map to the other", () => {
  const { tracker, update } = started();
  update();
  tracker.setSlice(slice("web", []));
  const text = update();
  assert.match(text, /delete element service-ips \{ 10\.96\.0\.5 \. tcp \. 80 \}/);
  assert.match(text, /add element no-endpoint-services \{ 10\.96\.0\.5 \. tcp \. 80 : goto reject-chain \}/);
  assert.match(text, /add element no-endpoint-nodeports \{ tcp \. 30080 : goto reject-chain \}/);
  assert.ok(text.indexOf("delete element service-ips") < text.indexOf("delete chain service-"));
});

test("another affinity time-out replaces the set, and rewrites the rules that use it", () => {
  const { tracker, update } = started();
  const sticky = (timeoutSeconds: number) =>
    web({ sessionAffinity: "ClientIP", sessionAffinityConfig: { clientIP: { timeoutSeconds } } });
  tracker.setService(sticky(10));
  assert.match(update(), /add set affinity-\S+ \{ type ipv4_addr ; flags dynamic,timeout ; timeout 10s ; \}/);
  tracker.setService(sticky(20));
  const text = update();
  assert.match(
    text,
    /delete set affinity-[^]*add set affinity-\S+ \{ type ipv4_addr ; flags dynamic,timeout ; timeout 20s ; \}/,
  );
  assert.ok(text.indexOf("flush chain service-") < text.indexOf("delete set"));
  assert.equal(update(), "");
});

test("node ports answer on the given addresses only", () => {
  const text = new NftRuleset("IPv4", config).rebuild(new Map(), undefined).join("");
  assert.match(text, /add element ip kube-proxy nodeport-ips \{ 172\.31\.1\.0\/24 \}/);
  assert.match(
    text,
    /services fib daddr type local ip daddr @nodeport-ips meta l4proto \. th dport vmap @service-nodeports/,
  );
});

test("a listing is read as chains with rules and maps with elements", () => {
  const listing = parseListing(`table ip kube-proxy {
\tcomment "rules for kube-proxy"
\tset cluster-ips {
\t\ttype ipv4_addr
\t\telements = { 10.96.0.1, 10.96.0.10,
\t\t\t     10.96.0.11 }
\t}

\tset affinity-X-a/b/tcp/__10.0.0.1/80 {
\t\ttype ipv4_addr
\t\tsize 65535
\t\tflags dynamic,timeout
\t\ttimeout 3h
\t\telements = { 10.244.0.3 expires 2h59m59s }
\t}

\tmap service-ips {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t}

\tchain nat-output {
\t\ttype nat hook output priority -100; policy accept;
\t\tjump services
\t}
}
`);
  assert.deepEqual([...listing.rules], [["nat-output", 1]]);
  assert.equal(listing.elements.get("cluster-ips"), 3);
  assert.equal(listing.elements.get("service-ips"), 0);
  assert.deepEqual([...listing.affinity], [["affinity-X-a/b/tcp/__10.0.0.1/80", "10.244.0.3 expires 2h59m59s"]]);
});
