import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { resizeMessage } from "./resize-message.ts";

const pod: Pod = {
  metadata: { name: "web", uid: "u1", resourceVersion: "1", creationTimestamp: "2026-01-01T00:00:00Z", generation: 2 },
  spec: {
    containers: [
      { name: "app", image: "i", resources: { requests: { memory: "1Gi", cpu: "1" }, limits: { cpu: "2" } } },
      { name: "helper", image: "i" },
    ],
  },
};

void test("the message of a resize names what every container is to have, and the generation that asked for it", () => {
  const containers =
    '"containers":[{"name":"app","resources":{"limits":{"cpu":"2"},"requests":{"cpu":"1","memory":"1Gi"}}},' +
    '{"name":"helper","resources":{}}]';
  assert.equal(resizeMessage("started", pod), `Pod resize started: {${containers},"generation":2}`);
  assert.equal(
    resizeMessage("Deferred", pod, "no room"),
    `Pod resize Deferred: {${containers},"generation":2,"error":"no room"}`,
  );
  const withInit: Pod = { ...pod, spec: { ...pod.spec, initContainers: [{ name: "init", image: "i" }] } };
  assert.equal(
    resizeMessage("completed", withInit),
    `Pod resize completed: {"initContainers":[{"name":"init","resources":{}}],${containers},"generation":2}`,
  );
});
