import assert from "node:assert/strict";
import { test } from "node:test";
import { pod } from "../testing/observed.ts";
import { hostsFile, parseResolvConf, podAddresses, podDns, sandboxHostname } from "./network.ts";

const host = parseResolvConf(
  "# a comment\nnameserver 192.0.2.53\nsearch example.com. corp\noptions timeout:1 attempts:2\n",
);
const podDnsOf = (spec: object) => podDns(pod({ containers: [], ...spec }), host, ["10.96.0.10"], "cluster.local");
const dns = (spec: object) => podDnsOf(spec).settings;

test("resolv.conf of the host is understood", () => {
  assert.deepEqual(host, {
    servers: ["192.0.2.53"],
    searches: ["example.com", "corp"],
    options: ["timeout:1", "attempts:2"],
  });
});
test("ClusterFirst asks cluster DNS and searches the cluster first", () => {
  assert.deepEqual(dns({}), {
    servers: ["10.96.0.10"],
    searches: ["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com", "corp"],
    options: ["ndots:5"],
  });
});
test("ClusterFirst on the host's network means the host's DNS, unless asked otherwise", () => {
  assert.deepEqual(dns({ hostNetwork: true }).servers, ["192.0.2.53"]);
  assert.deepEqual(dns({ hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }).servers, ["10.96.0.10"]);
});
test("None takes dnsConfig alone; elsewhere dnsConfig adds and overrides", () => {
  const dnsConfig = {
    nameservers: ["1.1.1.1"],
    searches: ["resolv.conf.local"],
    options: [{ name: "ndots", value: "2" }, { name: "edns0" }],
  };
  assert.deepEqual(dns({ dnsPolicy: "None", dnsConfig }), {
    servers: ["1.1.1.1"],
    searches: ["resolv.conf.local"],
    options: ["ndots:2", "edns0"],
  });
  assert.deepEqual(dns({ dnsConfig }).options, ["ndots:2", "edns0"]);
});
test("what glibc would not read is left out, aloud", () => {
  assert.deepEqual(podDnsOf({}).omissions, []);
  const nameservers = ["1.1.1.1", "1.1.1.2", "1.1.1.3"];
  const searches = Array.from({ length: 32 }, (_, index) => `s${index}`);
  const { settings, omissions } = podDnsOf({ dnsConfig: { nameservers, searches } });
  assert.deepEqual(settings.servers, ["10.96.0.10", "1.1.1.1", "1.1.1.2"]);
  assert.deepEqual(omissions, [
    "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 10.96.0.10 1.1.1.1 1.1.1.2",
    `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${settings.searches.join(" ")}`,
  ]);
});
test("host names: given, cut to length, or fully qualified", () => {
  assert.equal(sandboxHostname(pod({ containers: [], hostname: "h", subdomain: "s" }), "cluster.local"), "h");
  assert.equal(
    sandboxHostname(pod({ containers: [], hostname: "h", subdomain: "s", setHostnameAsFQDN: true }), "cluster.local"),
    "h.s.ns.svc.cluster.local",
  );
  assert.equal(
    sandboxHostname(pod({ containers: [] }, {}, { name: `${"a".repeat(62)}-b` }), "cluster.local"),
    "a".repeat(62),
  );
  assert.throws(
    () =>
      sandboxHostname(
        pod({ containers: [], hostname: "h".repeat(60), subdomain: "s", setHostnameAsFQDN: true }),
        "cluster.local",
      ),
    /is too long/,
  );
});
test("a pod has an address of each family, that of the node's first one before", () => {
  const given = ["fd00::2", "10.0.0.2", "10.0.0.3"];
  assert.deepEqual(podAddresses(given, "192.0.2.1"), ["10.0.0.2", "fd00::2"]);
  assert.deepEqual(podAddresses(given, "2001:db8::1"), ["fd00::2", "10.0.0.2"]);
  assert.deepEqual(podAddresses(["fd00::2"], undefined), ["fd00::2"]);
});

test("/etc/hosts names the pod and its aliases, tab by tab", () => {
  const text = hostsFile(
    pod({ containers: [], hostname: "h", subdomain: "s", hostAliases: [{ ip: "1.2.3.4", hostnames: ["a", "b"] }] }),
    ["10.1.1.1"],
    "cluster.local",
    "",
  );
  assert.match(text, /^# Kubernetes-managed hosts file\.\n127\.0\.0\.1\tlocalhost\n/);
  assert.match(text, /\n10\.1\.1\.1\th\.s\.ns\.svc\.cluster\.local\th\n/);
  assert.match(text, /\n1\.2\.3\.4\ta\tb\n$/);
});
test("/etc/hosts on the host's network is the host's", () => {
  const text = hostsFile(
    pod({ containers: [], hostNetwork: true }),
    ["192.0.2.1"],
    "cluster.local",
    "127.0.0.1 localhost\n",
  );
  assert.equal(text.includes("# Kubernetes-managed hosts file.\n"), false);
  assert.match(text, /127\.0\.0\.1 localhost/);
});
