import assert from "node:assert/strict";
import { test } from "node:test";
import { configMaps, customResourceDefinitions, namespaces } from "#pkg/api/refs.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { inParallel } from "../common/slow-start.ts";
import { SimulatedCluster } from "./cluster.ts";

/** A kind of its own, served when this resolves. */
async function define(cluster: SimulatedCluster, plural: string, kind: string): Promise<ResourceRef<AnyObject>> {
  const schema = { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } };
  await cluster.admin.create(customResourceDefinitions, {
    metadata: { name: `${plural}.example.com` },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural, singular: kind.toLowerCase(), kind },
      versions: [{ name: "v1", served: true, storage: true, schema }],
    },
  });
  const resource = { group: "example.com", version: "v1", plural, kind, namespaced: true };
  const isServed = async () => (await cluster.admin.list(resource).catch(() => undefined)) !== undefined;
  for (let attempt = 0; attempt < 100 && !(await isServed()); attempt++) await cluster.advance(200);
  return resource;
}

test("custom resources are collected like any other, and go with their namespace", async () => {
  const cluster = await SimulatedCluster.start({ seed: 3 });
  await cluster.observe(configMaps, namespaces, customResourceDefinitions);
  const widgets = await define(cluster, "widgets", "Widget");
  await cluster.admin.create(namespaces, { metadata: { name: "c" }, spec: {} });
  await cluster.advance(3000);

  const owner = await cluster.admin.create(widgets, { metadata: { namespace: "c", name: "owner" } });
  const reference = { apiVersion: "example.com/v1", kind: "Widget", name: "owner", uid: owner.metadata.uid! };
  await cluster.admin.create(configMaps, { metadata: { namespace: "c", name: "owned", ownerReferences: [reference] } });
  await cluster.admin.create(widgets, { metadata: { namespace: "c", name: "held", finalizers: ["example.com/f"] } });
  await cluster.advance(1000);
  await cluster.admin.delete(widgets, { namespace: "c", name: "owner" });
  const owned = () => cluster.list(configMaps, "c").find(({ metadata }) => metadata.name === "owned");
  await cluster.until("collected", () => owned() === undefined, 10_000);

  await cluster.admin.delete(namespaces, { namespace: "", name: "c" });
  const space = () => cluster.list(namespaces).find(({ metadata }) => metadata.name === "c");
  const remaining = () => space()?.status?.conditions?.find(({ type }) => type === "NamespaceContentRemaining");
  await cluster.until("the finalizer is reported", () => remaining()?.status === "True");
  assert.equal(remaining()?.message, "Some resources are remaining: widgets.example.com has 1 resource instances");
  await cluster.admin.patch(widgets, { namespace: "c", name: "held" }, "merge", { metadata: { finalizers: null } });
  await cluster.until("gone", () => space() === undefined);
  await cluster.close();
});

test(
  "a namespace with 10,000 objects of 50 kinds goes, and takes nothing else along",
  { timeout: 300_000 },
  async () => {
    const cluster = await SimulatedCluster.start({ seed: 4 });
    await cluster.observe(namespaces, customResourceDefinitions);
    for (const name of ["full", "other"]) await cluster.admin.create(namespaces, { metadata: { name }, spec: {} });
    const kinds: ResourceRef<AnyObject>[] = [];
    for (let kind = 0; kind < 50; kind++) kinds.push(await define(cluster, `things${kind}s`, `Thing${kind}`));
    const failure = await inParallel(
      Array.from({ length: 10_000 }, (_, index) => index),
      async (index) => {
        const metadata = { namespace: "full", name: `thing-${index}` };
        await cluster.admin.create(kinds[index % kinds.length]!, { metadata });
      },
    );
    assert.equal(failure, undefined);
    await cluster.admin.create(kinds[0]!, { metadata: { namespace: "other", name: "stays" } });
    await cluster.advance(60_000);
    await cluster.admin.delete(namespaces, { namespace: "", name: "full" });
    await cluster.until("gone", () => cluster.list(namespaces).every(({ metadata }) => metadata.name !== "full"));
    for (const kind of kinds) {
      const { items } = await cluster.admin.list(kind);
      assert.deepEqual(
        items.map(({ metadata }) => metadata.name),
        kind === kinds[0] ? ["stays"] : [],
      );
    }
    await cluster.close();
  },
);
