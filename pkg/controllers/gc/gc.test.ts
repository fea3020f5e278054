import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { AnyObject, OwnerReference } from "#pkg/apimachinery/index.ts";
import { configMaps, pods } from "#pkg/api/refs.ts";
import { meta } from "../testing/objects.ts";
import { type GraphNode, OwnerGraph } from "./graph.ts";
import { type OwnerState, planCollection } from "./plan.ts";

const reference = (name: string, extra: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  name,
  uid: `uid-${name}`,
  ...extra,
});
const objectOf = (name: string, owners: OwnerReference[] = [], extra: object = {}): AnyObject => ({
  metadata: meta(name, { ...(owners.length === 0 ? {} : { ownerReferences: owners }), ...extra }),
});
function graphWith(...objects: AnyObject[]) {
  const looked: string[] = [];
  const graph = new OwnerGraph({ look: (uid) => looked.push(uid.slice(4)) });
  for (const object of objects) graph.observe(configMaps, object);
  return { graph, looked };
}
const judge = (node: GraphNode, states: Record<string, OwnerState>) =>
  planCollection(node, ({ name }) => states[name] ?? "solid");

test("an owner's end brings its dependents up", () => {
  const { graph, looked } = graphWith(objectOf("owner"), objectOf("child", [reference("owner")]));
  looked.length = 0;
  graph.forget("uid-owner");
  assert.deepEqual(looked, ["child"]);
  assert.equal(graph.get("uid-owner")?.virtual, true);
  graph.forget("uid-child");
  assert.equal(graph.size, 0, "nothing refers to the owner any more");
});

test("an object without living owners goes, one with another owner only loses the dead reference", () => {
  const { graph } = graphWith(objectOf("child", [reference("a"), reference("b")]));
  const child = graph.get("uid-child")!;
  assert.deepEqual(judge(child, {}), { type: "none" });
  assert.deepEqual(judge(child, { a: "absent" }), { type: "unlink", uids: ["uid-a"] });
  assert.deepEqual(judge(child, { a: "absent", b: "absent" }), { type: "delete", policy: "Background" });
  assert.deepEqual(judge(child, { a: "absent", b: "unknown" }), { type: "none" });
  assert.deepEqual(judge(child, { a: "absent", b: "unresolvable" }), { type: "none" });
});

test("foreground: dependents that block go first, then the finalizer", () => {
  const deleting = { deletionTimestamp: "now", finalizers: ["foregroundDeletion"] };
  const blocking = reference("owner", { blockOwnerDeletion: true });
  const { graph } = graphWith(
    objectOf("owner", [], deleting),
    objectOf("child", [blocking]),
    objectOf("free", [reference("owner")]),
  );
  assert.deepEqual(judge(graph.get("uid-owner")!, {}), { type: "wait-for", dependents: ["uid-child"] });
  assert.deepEqual(judge(graph.get("uid-child")!, { owner: "waiting" }), { type: "delete", policy: "Background" });
  graph.forget("uid-child");
  assert.deepEqual(judge(graph.get("uid-owner")!, {}), { type: "finish-foreground" });
});

test("a dependent of a waiting owner that has dependents itself is deleted in the foreground too", () => {
  const deleting = { deletionTimestamp: "now", finalizers: ["foregroundDeletion"] };
  const { graph } = graphWith(objectOf("middle", [reference("owner")]), objectOf("leaf", [reference("middle")]));
  assert.deepEqual(judge(graph.get("uid-middle")!, { owner: "waiting" }), { type: "delete", policy: "Foreground" });
  // In a circle the leaf waits for us: we must not block it.
  graph.observe(configMaps, objectOf("leaf", [reference("middle")], deleting));
  assert.deepEqual(judge(graph.get("uid-middle")!, { owner: "waiting" }), { type: "unblock-and-delete" });
});

test("orphaning lets go before it ends", () => {
  const { graph } = graphWith(objectOf("owner", [], { deletionTimestamp: "now", finalizers: ["orphan"] }));
  assert.deepEqual(judge(graph.get("uid-owner")!, {}), { type: "orphan-dependents" });
});

test("an owner that turns out to be something else makes its dependents be looked at", () => {
  const { graph, looked } = graphWith(objectOf("child", [reference("owner", { kind: "Secret" })]));
  looked.length = 0;
  graph.observe(pods, objectOf("owner"));
  assert.deepEqual(looked, ["child"]);
});

test("the graph never forgets a link, in whatever order events come", () => {
  const name = fc.constantFrom("a", "b", "c", "d");
  const event = fc.oneof(
    fc.record({ type: fc.constant("observe" as const), name, owners: fc.uniqueArray(name, { maxLength: 3 }) }),
    fc.record({ type: fc.constant("forget" as const), name }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      const { graph } = graphWith();
      const world = new Map<string, string[]>();
      for (const change of events) {
        if (change.type === "observe") {
          world.set(change.name, change.owners);
          graph.observe(
            configMaps,
            objectOf(
              change.name,
              change.owners.map((owner) => reference(owner)),
            ),
          );
        } else {
          world.delete(change.name);
          graph.forget(`uid-${change.name}`);
        }
        const known = [...graph.nodes()].filter(({ virtual }) => !virtual).map(({ uid }) => uid.slice(4));
        assert.deepEqual(known.sort(), [...world.keys()].sort());
        for (const [child, owners] of world)
          for (const owner of owners)
            assert.ok([...graph.get(`uid-${owner}`)!.dependents].some(({ uid }) => uid === `uid-${child}`));
        for (const node of graph.nodes())
          for (const dependent of node.dependents)
            assert.ok(world.get(dependent.uid.slice(4))?.includes(node.uid.slice(4)));
      }
    }),
  );
});
