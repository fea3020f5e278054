import assert from "node:assert/strict";
import { test } from "node:test";
import { useCluster } from "../framework/lab.ts";
import { pod } from "../framework/manifests.ts";

const context = useCluster("refusals");

const container = { name: "c", image: "nginx:1.14.2" };
const bare = (spec: object, name = "bad") => ({ apiVersion: "v1", kind: "Pod", metadata: { name }, spec });

const CASES: ReadonlyArray<{ name: string; manifest: object; message: RegExp }> = [
  {
    name: "an unknown kind",
    manifest: { apiVersion: "v1", kind: "Podd", metadata: { name: "bad" } },
    message: /no matches for kind "Podd" in version "v1"/,
  },
  {
    name: "a wrong type",
    manifest: bare({ containers: "nginx" }),
    message: /cannot unmarshal string into Go struct field|strict decoding error|invalid type for/,
  },
  {
    name: "a missing required field",
    manifest: bare({ containers: [{ name: "c" }] }),
    message: /The Pod "bad" is invalid: spec\.containers\[0\]\.image: Required value/,
  },
  {
    name: "an invalid name",
    manifest: bare({ containers: [container] }, "Bad_Name"),
    message: /metadata\.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of/,
  },
  {
    name: "a port out of range",
    manifest: bare({ containers: [{ ...container, ports: [{ containerPort: 70_000 }] }] }),
    message:
      /spec\.containers\[0\]\.ports\[0\]\.containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive/,
  },
  {
    name: "two mistakes at once",
    manifest: bare({ restartPolicy: "Sometimes", containers: [{ name: "c" }] }),
    message: /is invalid: \[?.*spec\.restartPolicy: Unsupported value: "Sometimes"/s,
  },
];

for (const { name, manifest, message } of CASES) {
  test(`${name} is refused as upstream refuses it, and nothing is stored`, { timeout: 60_000 }, async () => {
    const { cluster } = context;
    const { exitCode, stderr } = await cluster.try(["create", "--validate=false", "-f", "-"], {
      stdin: JSON.stringify(manifest),
    });
    assert.equal(exitCode, 1);
    assert.match(stderr, message);
    assert.equal((await cluster.kubectl(["get", "pods", "-o", "name"])).trim(), "");
  });
}

test("the Status of a refusal carries reason, code and causes", { timeout: 60_000 }, async () => {
  const { cluster } = context;
  const path = `/api/v1/namespaces/${cluster.namespace}/pods`;
  const { stderr } = await cluster.try(["create", "--raw", path, "-f", "-", "-v=8"], {
    stdin: JSON.stringify(bare({ containers: [{ name: "c" }] })),
  });
  assert.match(stderr, /"reason":"Invalid"/);
  assert.match(stderr, /"code":422/);
  assert.match(
    stderr,
    /"causes":\[\{"reason":"FieldValueRequired","message":"Required value","field":"spec.containers\[0\].image"\}/,
  );
});

test("a stale resourceVersion conflicts", { timeout: 60_000 }, async () => {
  const { cluster } = context;
  await cluster.apply({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "contended" }, data: { a: "1" } });
  const stale = await cluster.get<{ data: Record<string, string> }>("configmap", "contended");
  await cluster.kubectl(["patch", "configmap", "contended", "-p", '{"data":{"a":"2"}}']);
  stale.data["a"] = "3";
  const { exitCode, stderr } = await cluster.try(["replace", "-f", "-"], { stdin: JSON.stringify(stale) });
  assert.equal(exitCode, 1);
  assert.match(
    stderr,
    /\(Conflict\).*Operation cannot be fulfilled on configmaps "contended": the object has been modified; please apply your changes to the latest version and try again/s,
  );
});

test("an unauthorised user is refused by name", { timeout: 60_000 }, async () => {
  const { cluster } = context;
  const { stderr } = await cluster.try(["get", "secrets", "--as=eve"]);
  assert.match(
    stderr,
    new RegExp(
      `secrets is forbidden: User "eve" cannot list resource "secrets" in API group "" in the namespace "${cluster.namespace}"`,
    ),
  );
  assert.equal((await cluster.kubectl(["auth", "can-i", "create", "pods"])).trim(), "yes");
});

test(
  "a pod with a service account token can read what RBAC gives it, and nothing else",
  { timeout: 120_000 },
  async () => {
    const { cluster } = context;
    await cluster.kubectl(["create", "serviceaccount", "reader"]);
    await cluster.kubectl(["create", "role", "read-config", "--verb=get,list", "--resource=configmaps"]);
    await cluster.kubectl([
      "create",
      "rolebinding",
      "read-config",
      "--role=read-config",
      `--serviceaccount=${cluster.namespace}:reader`,
    ]);
    await cluster.apply(pod("reader", { spec: { serviceAccountName: "reader" } }));
    await cluster.ready("pod/reader");
    const token = (await cluster.exec("reader", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")).trim();
    const ask = (resource: string) =>
      cluster.lab.run(cluster.lab.master, "curl", [
        "-sk",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        `Authorization: Bearer ${token}`,
        `${cluster.lab.server}/api/v1/namespaces/${cluster.namespace}/${resource}`,
      ]);
    assert.equal((await ask("configmaps")).stdout, "200");
    assert.equal((await ask("secrets")).stdout, "403");
  },
);
