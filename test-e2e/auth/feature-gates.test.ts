import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { buildPrograms } from "../../hack/lib/cluster.ts";
import { eventually } from "../framework/lab.ts";
import { type Reply, TestMaster } from "../framework/master.ts";

const limit = { timeout: 60_000 };
const master = new TestMaster();
before(
  async () => {
    if (process.env["KUBITS_LAB"] === undefined) await buildPrograms();
    await master.start(
      "--components=controllers",
      "--runtime-config=scheduling.k8s.io/v1alpha2=true,storagemigration.k8s.io/v1beta1=true",
      "--feature-gates=GenericWorkload=true,WorkloadWithJob=true,StorageVersionMigrator=true",
    );
  },
  { timeout: 120_000 },
);
after(() => master.stop());

const scheduling = (plural: string) => `/apis/scheduling.k8s.io/v1alpha2/namespaces/default/${plural}`;
const pods = "/api/v1/namespaces/default/pods";

test("groups of pods come from workloads that exist, and stay while pods belong to them", limit, async () => {
  const gang = { schedulingPolicy: { gang: { minCount: 1 } } };
  const workload = { metadata: { name: "w" }, spec: { podGroupTemplates: [{ name: "workers", ...gang }] } };
  const made = await master.ask(scheduling("workloads"), { body: workload });
  assert.equal(made.status, 201, made.text);
  const create = (template: string): Promise<Reply> => {
    const podGroupTemplateRef = { workload: { workloadName: "w", podGroupTemplateName: template } };
    return master.ask(scheduling("podgroups"), {
      body: { metadata: { name: "group" }, spec: { ...gang, podGroupTemplateRef } },
    });
  };
  const refused = await create("others");
  assert.equal(refused.status, 403, refused.text);
  assert.match(refused.text, /PodGroup rejected: PodGroupTemplate \\"others\\" not found in Workload \\"w\\"/);
  const group = await create("workers");
  assert.equal(group.status, 201, group.text);
  const { finalizers } = group.json["metadata"] as { finalizers: string[] };
  assert.deepEqual(finalizers, ["scheduling.k8s.io/podgroup-protection"]);

  await eventually("pods can be made", async () => {
    const containers = [{ name: "c", image: "i", lifecycle: { stopSignal: "SIGUSR1" } }];
    const spec = { schedulingGroup: { podGroupName: "group" }, containers };
    const { status, json } = await master.ask(pods, { body: { metadata: { name: "member" }, spec } });
    if (status !== 201) return undefined;
    const made = json["spec"] as { schedulingGroup: object; containers: object[] };
    assert.deepEqual(made.schedulingGroup, { podGroupName: "group" });
    assert.ok(!("lifecycle" in made.containers[0]!), "its gate is off");
    return true;
  });
  await master.ask(`${scheduling("podgroups")}/group`, { method: "DELETE" });
  const going = await master.ask(`${scheduling("podgroups")}/group`);
  assert.equal(going.status, 200, "a pod belongs to it");
  await master.ask(`${pods}/member?gracePeriodSeconds=0`, { method: "DELETE" });
  await eventually("the group goes", async () =>
    (await master.ask(`${scheduling("podgroups")}/group`)).status === 404 ? true : undefined,
  );
});

test("a custom resource is written anew in its new storage version, when a migration asks for it", limit, async () => {
  const definition = (storage: "v1" | "v2") => ({
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: { name: "things.migration.test" },
    spec: {
      group: "migration.test",
      scope: "Namespaced",
      names: { plural: "things", singular: "thing", kind: "Thing" },
      versions: ["v1", "v2"].map((name) => ({
        name,
        served: true,
        storage: name === storage,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      })),
    },
  });
  const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const things = "/apis/migration.test/v2/namespaces/default/things";
  const versionOf = async () =>
    ((await master.ask(`${things}/one`)).json["metadata"] as { resourceVersion: string }).resourceVersion;
  assert.equal((await master.ask(definitions, { body: definition("v1") })).status, 201);
  await eventually("the kind is served", async () =>
    (await master.ask(things, { body: { apiVersion: "migration.test/v2", kind: "Thing", metadata: { name: "one" } } }))
      .status === 201
      ? true
      : undefined,
  );
  const migrate = async (name: string) => {
    const migrations = "/apis/storagemigration.k8s.io/v1beta1/storageversionmigrations";
    const spec = { resource: { group: "migration.test", resource: "things" } };
    const made = await master.ask(migrations, { body: { metadata: { name }, spec } });
    assert.equal(made.status, 201, made.text);
    await eventually(`${name} succeeds`, async () => {
      const { text } = await master.ask(`${migrations}/${name}`);
      return /"type":"Succeeded","status":"True"|"status":"True","type":"Succeeded"/.test(text.replaceAll(/\s/g, ""))
        ? true
        : undefined;
    });
  };
  const first = await versionOf();
  await migrate("needless");
  assert.equal(await versionOf(), first, "what is stored right is left alone");
  const patch = { spec: { versions: definition("v2").spec.versions } };
  await master.ask(`${definitions}/things.migration.test`, {
    method: "PATCH",
    body: patch,
    headers: { "content-type": "application/merge-patch+json" },
  });
  await migrate("needed");
  assert.notEqual(await versionOf(), first, "it was written");
});
