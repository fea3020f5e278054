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
      "--runtime-config=scheduling.k8s.io/v1alpha2=true",
      "--feature-gates=GenericWorkload=true,WorkloadWithJob=true",
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
    const spec = { schedulingGroup: { podGroupName: "group" }, containers: [{ name: "c", image: "i" }] };
    const { status } = await master.ask(pods, { body: { metadata: { name: "member" }, spec } });
    return status === 201 ? true : undefined;
  });
  await master.ask(`${scheduling("podgroups")}/group`, { method: "DELETE" });
  const going = await master.ask(`${scheduling("podgroups")}/group`);
  assert.equal(going.status, 200, "a pod belongs to it");
  await master.ask(`${pods}/member?gracePeriodSeconds=0`, { method: "DELETE" });
  await eventually("the group goes", async () =>
    (await master.ask(`${scheduling("podgroups")}/group`)).status === 404 ? true : undefined,
  );
});
