import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { until } from "#pkg/util/testing/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { formatAddress, IpRange, parseAddress } from "./ip-range.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer({
    services: {
      clusterCidrs: ["10.96.0.0/24"],
      nodePortRange: { first: 30000, last: 30099 },
      advertised: { address: "192.0.2.1", port: 6443 },
    },
  });
  await server.request("/api/v1/namespaces", { body: { metadata: { name: "default" } } });
});
after(() => server.close());

interface Spec {
  clusterIP?: string;
  clusterIPs?: string[];
  ipFamilies?: string[];
  ports?: { nodePort?: number }[];
}
const path = "/api/v1/namespaces/default/services";
const create = async (name: string, spec: object) => {
  const response = await server.request(path, {
    body: { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } },
  });
  return { status: response.status, message: response.json["message"], spec: response.json["spec"] as Spec };
};
const merge = (name: string, spec: object) =>
  server.request(`${path}/${name}`, {
    method: "PATCH",
    body: { spec },
    headers: { "content-type": "application/merge-patch+json" },
  });
const addressExists = async (address: string) =>
  (await server.request(`/apis/networking.k8s.io/v1/ipaddresses/${address}`)).status === 200;

test("reads and writes addresses", () => {
  for (const address of ["10.96.0.1", "255.255.255.255", "::", "::1", "fd00::1:0:0:1", "2001:db8::ff"]) {
    assert.equal(formatAddress(parseAddress(address), address.includes(":") ? "IPv6" : "IPv4"), address);
  }
  const range = new IpRange("10.96.0.0/24");
  assert.equal(range.at(0n), "10.96.0.1");
  assert.equal(range.size, 254n);
  assert.equal(range.contains("10.96.0.255"), false);
});

test("gives a Service an address, once, and takes it back", async () => {
  const first = await create("a", {});
  assert.equal(first.status, 201, String(first.message));
  assert.deepEqual(first.spec.ipFamilies, ["IPv4"]);
  const address = first.spec.clusterIP!;
  assert.ok(await addressExists(address));
  const second = await create("b", { clusterIP: address });
  assert.equal(second.status, 422);
  assert.match(String(second.message), /failed to allocate IP 10\.96\.0\.\d+: provided IP is already allocated/);
  const toName = await merge("a", { type: "ExternalName", externalName: "example.com" });
  assert.equal(toName.status, 200, toName.text);
  assert.equal((toName.json["spec"] as Spec).clusterIP, undefined);
  assert.equal(await addressExists(address), false);
  await merge("a", { type: "ClusterIP", externalName: null });
  const back = (await server.request(`${path}/a`)).json["spec"] as Spec;
  assert.ok(await addressExists(back.clusterIP!));
  await server.request(`${path}/a`, { method: "DELETE" });
  assert.equal(await addressExists(back.clusterIP!), false);
});

test("gives node ports, refuses duplicates, releases on change of type", async () => {
  const chosen = await create("np", { type: "NodePort", ports: [{ port: 80, nodePort: 30090 }] });
  assert.equal(chosen.status, 201, String(chosen.message));
  const duplicate = await create("np2", { type: "NodePort", ports: [{ port: 80, nodePort: 30090 }] });
  assert.equal(
    duplicate.message,
    'Service "np2" is invalid: spec.ports[0].nodePort: Invalid value: 30090: provided port is already allocated',
  );
  const outside = await create("np3", { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] });
  assert.match(String(outside.message), /The range of valid ports is 30000-30099/);
  await merge("np", { type: "ClusterIP" });
  const again = await create("np2", { type: "NodePort", ports: [{ port: 80, nodePort: 30090 }] });
  assert.equal(again.status, 201);
});

test("says first that an address or a port is not to be had, and takes nothing for what is invalid", async () => {
  const bad = { selector: { "no spaces please": "" } };
  const cases: [object, RegExp][] = [
    [{ ...bad, clusterIP: "10.97.0.1" }, /^[^,]*: failed to allocate IP 10\.97\.0\.1: [^,]*10\.96\.0\.0\/24$/],
    [
      { ...bad, type: "NodePort", ports: [{ port: 80, nodePort: 80 }] },
      /^[^,]*nodePort: Invalid value: 80: [^,]*30099$/,
    ],
    [
      { ...bad, clusterIP: "1.2.3" },
      /spec\.clusterIPs\[0\]: Invalid value: "1\.2\.3": must be a valid IP address[^[]*$/,
    ],
    [{ ...bad, clusterIP: "10.96.0.77", type: "NodePort", ports: [{ port: 80, nodePort: 30077 }] }, /spec\.selector/],
  ];
  for (const [spec, message] of cases) {
    const refused = await create("wrong", spec);
    assert.deepEqual(
      [refused.status, message.exec(String(refused.message)) !== null],
      [422, true],
      String(refused.message),
    );
  }
  const taken = { clusterIP: "10.96.0.77", type: "NodePort", ports: [{ port: 80, nodePort: 30077 }] };
  assert.equal((await create("right", taken)).status, 201);
  const moved = await merge("right", { clusterIP: "10.96.0.78", ...bad });
  assert.match(moved.text, /spec\.clusterIPs\[0\]: Invalid value: .*may not change once set.*spec\.selector/);
  assert.equal(await addressExists("10.96.0.78"), false);
});

test("gives a load balancer without node ports those that it names, and one for its health checks", async () => {
  const ports = [
    { name: "a", port: 80, nodePort: 30071 },
    { name: "b", port: 81 },
  ];
  const balancer = { type: "LoadBalancer", externalTrafficPolicy: "Local", allocateLoadBalancerNodePorts: false };
  const made = await create("lb", { ...balancer, healthCheckNodePort: 30072, ports });
  assert.deepEqual(
    made.spec?.ports?.map(({ nodePort }) => nodePort),
    [30071, undefined],
    String(made.message),
  );
  const second = await create("lb2", { ...balancer, healthCheckNodePort: 30072, ports: [{ port: 80 }] });
  assert.deepEqual(
    [second.status, second.message],
    [
      500,
      "Internal error occurred: failed to allocate requested HealthCheck NodePort 30072: provided port is already allocated",
    ],
  );
});

test("hands out different addresses and ports under concurrency, and nothing for a dry run", async () => {
  const made = await Promise.all(
    Array.from({ length: 20 }, (_, i) => create(`c${i}`, { type: "NodePort" }).then(({ spec }) => spec)),
  );
  assert.equal(new Set(made.map(({ clusterIP }) => clusterIP)).size, 20);
  assert.equal(new Set(made.map(({ ports }) => ports![0]!.nodePort)).size, 20);
  const dry = await server.request(`${path}?dryRun=All`, {
    body: { metadata: { name: "dry" }, spec: { ports: [{ port: 1 }] } },
  });
  assert.equal(await addressExists((dry.json["spec"] as Spec).clusterIP!), false);
});

test("moves a Service between one family and two", async () => {
  const dual = await startTestServer({
    services: { clusterCidrs: ["10.96.0.0/24", "fd00::/112"], nodePortRange: { first: 30000, last: 30099 } },
  });
  after(() => dual.close());
  const policy = (ipFamilyPolicy: string) =>
    dual.request(`${path}/d`, {
      method: "PATCH",
      body: { spec: { ipFamilyPolicy } },
      headers: { "content-type": "application/merge-patch+json" },
    });
  const body = { metadata: { name: "d" }, spec: { ipFamilyPolicy: "PreferDualStack", ports: [{ port: 80 }] } };
  const both = (await dual.request(path, { body })).json["spec"] as Spec;
  assert.deepEqual(both.ipFamilies, ["IPv4", "IPv6"]);
  const single = await policy("SingleStack");
  assert.deepEqual((single.json["spec"] as Spec).clusterIPs, both.clusterIPs!.slice(0, 1), single.text);
  const released = `/apis/networking.k8s.io/v1/ipaddresses/${both.clusterIPs![1]}`;
  assert.equal((await dual.request(released)).status, 404);
  const again = (await policy("RequireDualStack")).json["spec"] as Spec;
  assert.equal(again.clusterIPs!.length, 2);
});

test("publishes the kubernetes Service with its endpoints", async () => {
  const found = (at: string) =>
    until(`${at} is there`, async () => {
      const answer = await server.request(at);
      return answer.status === 200 && answer;
    });
  const service = await found(`${path}/kubernetes`);
  assert.equal((service.json["spec"] as Spec).clusterIP, "10.96.0.1");
  const endpoints = await found("/api/v1/namespaces/default/endpoints/kubernetes");
  const [subset] = endpoints.json["subsets"] as { addresses: { ip: string }[] }[];
  assert.deepEqual(subset!.addresses, [{ ip: "192.0.2.1" }]);
});
