import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, test } from "node:test";
import { Api } from "../framework/api.ts";
import { eventually, useCluster } from "../framework/lab.ts";

const group = `op${Math.random().toString(36).slice(2, 8)}.example.com`;
const crd = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/parcels.${group}`;
let operator: ChildProcess | undefined;
let api: Api;
// Before the namespace goes: the finalizers of what is left need their operator.
after(async () => {
  const { cluster } = context;
  await cluster.kubectl(["delete", `parcels.${group}`, "--all", "--timeout=30s"]);
  await api.ask(crd, { method: "DELETE" });
  if (operator?.kill() === true) await once(operator, "exit");
  await api.close();
});
const context = useCluster("operator");

test("an operator on the public client library keeps what it is asked for", { timeout: 90_000 }, async () => {
  const { cluster } = context;
  api = await new Api(cluster).ready();
  const string = { type: "string" };
  const properties = {
    spec: { type: "object", required: ["contents"], properties: { contents: { ...string, maxLength: 20 } } },
    status: { type: "object", properties: { phase: string } },
  };
  const version = {
    name: "v1",
    served: true,
    storage: true,
    subresources: { status: {} },
    schema: { openAPIV3Schema: { type: "object", properties } },
  };
  const names = { plural: "parcels", kind: "Parcel" };
  const body = {
    metadata: { name: `parcels.${group}` },
    spec: { group, scope: "Namespaced", names, versions: [version] },
  };
  const made = await api.ask("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", { body });
  assert.equal(made.status, 201, made.text);
  const parcels = `/apis/${group}/v1/namespaces/${cluster.namespace}/parcels`;
  await eventually("parcels are served", async () => ((await api.ask(parcels)).status === 200 ? true : undefined));

  const root = join(import.meta.dirname, "../..");
  const script = join(root, "test-e2e/framework/servers/operator.ts");
  operator = cluster.spawn(join(root, "hack/node"), [script, cluster.lab.adminConf, cluster.namespace, group], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(operator.stdout!, "data");

  const parcel = { apiVersion: `${group}/v1`, kind: "Parcel", metadata: { name: "one" }, spec: { contents: "books" } };
  assert.equal((await api.ask(parcels, { body: parcel })).status, 201);
  type Known = { data?: Record<string, string>; status?: { phase?: string } };
  const known = async (path: string) => (await api.ask(path)).json as unknown as Known;
  const configMap = `/api/v1/namespaces/${cluster.namespace}/configmaps/one`;
  const holds = (contents: string) =>
    eventually(`the operator has packed ${contents}`, async () =>
      (await known(configMap)).data?.["contents"] === contents &&
      (await known(`${parcels}/one`)).status?.phase === contents
        ? true
        : undefined,
    );
  await holds("books");
  await api.ask(`${parcels}/one`, { method: "PATCH", body: { spec: { contents: "letters" } } });
  await holds("letters");
  await cluster.kubectl(["delete", `parcels.${group}`, "one", "--timeout=30s"]);
  const note = `/api/v1/namespaces/${cluster.namespace}/configmaps/one-was-here`;
  assert.equal((await api.ask(note)).status, 200);
  await eventually("what it owned is collected", async () =>
    (await api.ask(configMap)).status === 404 ? true : undefined,
  );
});
