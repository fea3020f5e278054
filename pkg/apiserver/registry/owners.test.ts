import assert from "node:assert/strict";
import test from "node:test";
import { startTestServer } from "../testing/test-server.ts";

test("the creator owns what it sent and its defaults, not what admission and the kind add", async (t) => {
  const server = await startTestServer({
    admission: {
      admit: ({ object }) => {
        (object!["spec"] as Record<string, unknown>)["priority"] = 7;
      },
      validate: () => undefined,
      settle: () => undefined,
    },
  });
  t.after(() => server.close());
  const containers = [{ name: "a", image: "b" }];
  const pods = "/api/v1/namespaces/default/pods?fieldManager=one";
  const pod = await server.request(pods, { body: { metadata: { name: "p" }, spec: { containers } } });
  assert.equal(pod.status, 201, pod.text);
  assert.equal((pod.json["spec"] as Record<string, unknown>)["priority"], 7);
  const [owner] = pod.json.metadata.managedFields!;
  const spec = (owner!.fieldsV1 as Record<string, Record<string, unknown>>)["f:spec"]!;
  assert.ok("f:restartPolicy" in spec && !("f:priority" in spec));
  assert.deepEqual(Object.keys(owner!.fieldsV1!), ["f:spec"]);

  const labels = { app: "x" };
  const sets = "/apis/apps/v1/namespaces/default/daemonsets?fieldManager=one";
  const set = await server.request(sets, {
    body: {
      metadata: { name: "d" },
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers } } },
    },
  });
  assert.equal(set.status, 201, set.text);
  const generation = "deprecated.daemonset.template.generation";
  assert.equal(set.json.metadata.annotations?.[generation], "1");
  const { "f:metadata": metadata } = set.json.metadata.managedFields![0]!.fieldsV1 as Record<string, unknown>;
  assert.deepEqual(metadata, { "f:annotations": { ".": {}, [`f:${generation}`]: {} } });
});
