import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "#pkg/api/types/core-v1.ts";
import type { EndpointSlice } from "#pkg/api/types/discovery-v1.ts";
import { ClusterZone } from "./zone.ts";

const metadata = (name: string, namespace = "default", labels?: Record<string, string>) => ({
  name,
  namespace,
  uid: name,
  resourceVersion: "1",
  creationTimestamp: "2026-01-01T00:00:00Z",
  ...(labels === undefined ? {} : { labels }),
});
const service = (name: string, spec: Service["spec"], namespace?: string): Service => ({
  metadata: metadata(name, namespace),
  spec,
});
const slice = (of: string, endpoints: EndpointSlice["endpoints"]): EndpointSlice => ({
  metadata: metadata(`${of}-x`, "default", { "kubernetes.io/service-name": of }),
  addressType: "IPv4",
  endpoints,
  ports: [{ name: "http", port: 8080, protocol: "TCP" }],
});

function zone(): ClusterZone {
  const made = new ClusterZone("cluster.local");
  made.setService(
    service("web", {
      clusterIP: "10.96.0.5",
      clusterIPs: ["10.96.0.5", "fd00::5"],
      ports: [{ name: "http", port: 80 }],
    }),
  );
  made.setService(service("db", { clusterIP: "None", ports: [{ name: "http", port: 80 }] }));
  made.setSlice(
    slice("db", [
      { addresses: ["10.244.0.2"], hostname: "db-0" },
      { addresses: ["10.244.0.3"] },
      { addresses: ["10.244.0.4"], conditions: { ready: false } },
    ]),
  );
  made.setService(service("docs", { type: "ExternalName", externalName: "example.org" }));
  made.setService(service("empty", { clusterIP: "None" }));
  return made;
}

const data = (name: string, type: string) => {
  const found = zone().lookup(name, type);
  if (found.kind === "foreign") return "foreign";
  if (found.kind === "alias") return `alias ${found.target}`;
  if (found.answers.length === 0) return found.exists ? "NODATA" : "NXDOMAIN";
  return found.answers.map((answer) =>
    answer.type === "SRV" ? `${answer.data.port} ${answer.data.target}` : answer.data,
  );
};

for (const [name, type, expected] of [
  ["web.default.svc.cluster.local", "A", ["10.96.0.5"]],
  ["WEB.Default.svc.Cluster.local.", "A", ["10.96.0.5"]],
  ["web.default.svc.cluster.local", "AAAA", ["fd00::5"]],
  ["web.default.svc.cluster.local", "TXT", "NODATA"],
  ["_http._tcp.web.default.svc.cluster.local", "SRV", ["80 web.default.svc.cluster.local"]],
  ["_http._udp.web.default.svc.cluster.local", "SRV", "NXDOMAIN"],
  ["_http._tcp.web.default.svc.cluster.local", "A", "NODATA"],
  ["db.default.svc.cluster.local", "A", ["10.244.0.2", "10.244.0.3"]],
  ["db-0.db.default.svc.cluster.local", "A", ["10.244.0.2"]],
  ["10-244-0-3.db.default.svc.cluster.local", "A", ["10.244.0.3"]],
  ["db-9.db.default.svc.cluster.local", "A", "NXDOMAIN"],
  [
    "_http._tcp.db.default.svc.cluster.local",
    "SRV",
    ["8080 db-0.db.default.svc.cluster.local", "8080 10-244-0-3.db.default.svc.cluster.local"],
  ],
  ["docs.default.svc.cluster.local", "A", "alias example.org"],
  ["empty.default.svc.cluster.local", "A", "NXDOMAIN"],
  ["nothing.default.svc.cluster.local", "A", "NXDOMAIN"],
  ["default.svc.cluster.local", "A", "NODATA"],
  ["nowhere.svc.cluster.local", "A", "NXDOMAIN"],
  ["svc.cluster.local", "A", "NODATA"],
  ["10-244-0-9.default.pod.cluster.local", "A", ["10.244.0.9"]],
  ["not-an-ip.default.pod.cluster.local", "A", "NXDOMAIN"],
  ["5.0.96.10.in-addr.arpa", "PTR", ["web.default.svc.cluster.local"]],
  ["2.0.244.10.in-addr.arpa", "PTR", ["db-0.db.default.svc.cluster.local"]],
  [
    "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa",
    "PTR",
    ["web.default.svc.cluster.local"],
  ],
  ["9.9.9.9.in-addr.arpa", "PTR", "foreign"],
  ["dns-version.cluster.local", "TXT", ["1.1.0"]],
  ["example.org", "A", "foreign"],
  ["notcluster.local", "A", "foreign"],
] as Array<[string, string, string[] | string]>) {
  test(`${name} ${type}`, () => assert.deepEqual(data(name, type), expected));
}

test("what is deleted resolves no more", () => {
  const made = zone();
  made.deleteService(service("web", { clusterIP: "10.96.0.5" }));
  made.deleteSlice(slice("db", []));
  assert.deepEqual(made.lookup("web.default.svc.cluster.local", "A"), {
    kind: "authoritative",
    answers: [],
    exists: false,
  });
  assert.equal(made.lookup("5.0.96.10.in-addr.arpa", "PTR").kind, "foreign");
  assert.equal(made.lookup("2.0.244.10.in-addr.arpa", "PTR").kind, "foreign");
});
