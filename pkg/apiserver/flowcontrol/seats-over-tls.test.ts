import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { FlowSchema, PriorityLevelConfiguration } from "#pkg/api/types/flowcontrol-v1.ts";
import { RealClock } from "#pkg/util/index.ts";
import { MemorySource } from "../source/index.ts";
import { startTestServer, type TestServer } from "../testing/test-server.ts";
import { FlowController } from "./index.ts";

/** A server whose only level has one seat and no queue. */
let server: TestServer;
let flow: FlowController;

before(async () => {
  const schema = {
    metadata: { name: "all", uid: "schema-uid" },
    spec: {
      priorityLevelConfiguration: { name: "narrow" },
      rules: [
        {
          subjects: [{ kind: "Group", group: { name: "system:authenticated" } }],
          resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"], namespaces: ["*"], clusterScope: true }],
        },
      ],
    },
  } as unknown as FlowSchema;
  const level = {
    metadata: { name: "narrow", uid: "level-uid" },
    spec: { type: "Limited", limited: { nominalConcurrencyShares: 1, limitResponse: { type: "Reject" } } },
  } as unknown as PriorityLevelConfiguration;
  flow = new FlowController({
    flowSchemas: new MemorySource<FlowSchema>([schema]),
    priorityLevels: new MemorySource<PriorityLevelConfiguration>([level]),
    clock: new RealClock(),
    totalSeats: 1,
  });
  server = await startTestServer({ flowControl: (user, target, request) => flow.admit(user, target, request) });
});
after(() => server.close());

test("watches hold their seat until they have begun, whatever begins them", async () => {
  const path = "/api/v1/namespaces/default/configmaps";
  const initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  const made = await server.request(path, { body: { metadata: { name: "first" } } });
  assert.equal(made.headers["x-kubernetes-pf-flowschema-uid"], "schema-uid");
  assert.equal(made.headers["x-kubernetes-pf-prioritylevel-uid"], "level-uid");
  const { resourceVersion } = made.json.metadata;
  for (const query of ["", `&${initial}`, `&resourceVersion=${resourceVersion}`, "&resourceVersion=0"]) {
    const watch = await server.watch(`${path}?watch=1${query}`);
    assert.equal(watch.status, 200);
    if (!query.includes(`=${resourceVersion}`)) assert.equal((await watch.next()).type, "ADDED");
    if (query.includes(initial)) assert.equal((await watch.next()).type, "BOOKMARK");
    const listed = await server.request(path);
    assert.equal(listed.status, 200, `a watch with ${query} kept its seat`);
    watch.close();
    await watch.ended;
  }
  assert.deepEqual(flow.state(), [{ level: "narrow", nominal: 1, inUse: 0, waiting: 0 }]);
});

test("without a seat a watch is told to come back", async () => {
  const namespace = {
    resourceRequest: true,
    verb: "get",
    path: "/api/v1/namespaces/default",
    group: "",
    version: "v1",
    resource: "namespaces",
    subresource: "",
    namespace: "",
    query: new URLSearchParams(),
  };
  const user = { name: "somebody", groups: ["system:authenticated"] };
  const seat = flow.admit(user, namespace, { signal: new AbortController().signal });
  const refused = await server.request("/api/v1/configmaps?watch=1");
  seat.release();
  assert.equal(refused.status, 429);
  assert.equal(refused.headers["retry-after"], "1");
  assert.equal(refused.headers["x-kubernetes-pf-flowschema-uid"], "schema-uid");
  assert.match(refused.text, /"reason":"TooManyRequests"/);
  assert.match(
    flow.metrics(),
    /rejected_requests_total\{flow_schema="all",priority_level="narrow",reason="concurrency-limit"\} 1/,
  );
});
