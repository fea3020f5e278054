import assert from "node:assert/strict";
import { test } from "node:test";
import { configMaps, customResourceDefinitions, namespaces } from "#pkg/api/refs.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { ResourceRef } from "#pkg/api/resource-ref.ts";
import { SimulatedCluster } from "./cluster.ts";

const widgets: ResourceRef<AnyObject> = {
  group: "example.com",
  version: "v1",
  plural: "widgets",
  kind: "Widget",
  namespaced: true,
};

test("custom resources are collected like any other, and go with their namespace", async () => {
  const cluster = await SimulatedCluster.start({ seed: 3 });
  await cluster.observe(configMaps, namespaces, customResourceDefinitions);
  await cluster.admin.create(customResourceDefinitions, {
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "widgets", singular: "widget", kind: "Widget" },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
        },
      ],
    },
  });
  await cluster.admin.create(namespaces, { metadata: { name: "c" }, spec: {} });
  const isServed = async () =>
    (await cluster.admin.list(widgets, { namespace: "c" }).catch(() => undefined)) !== undefined;
  for (let attempt = 0; attempt < 100 && !(await isServed()); attempt++) await cluster.advance(200);
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
