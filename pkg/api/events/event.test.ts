import assert from "node:assert/strict";
import { test } from "node:test";
import { createErrors, definitionOf } from "../testing/strategies.ts";

const event = {
  apiVersion: "events.k8s.io/v1",
  kind: "Event",
  metadata: { name: "web.1", namespace: "default" },
  eventTime: "2026-01-01T00:00:00.123456Z",
  regarding: { kind: "Pod", name: "web", namespace: "default" },
  reportingController: "example.com/tester",
  reportingInstance: "tester-0",
  action: "Testing",
  reason: "Tested",
  note: "It works",
  type: "Normal",
};

test("both groups show one store", () => {
  const { toStorage, fromStorage, storage } = definitionOf("events.k8s.io/v1/Event");
  const stored = toStorage!(event);
  assert.deepEqual(storage, { group: "", version: "v1" });
  assert.equal(stored.apiVersion, "v1");
  assert.deepEqual([stored["involvedObject"], stored["message"]], [event.regarding, event.note]);
  assert.equal(stored["reportingComponent"], event.reportingController);
  assert.equal(stored["eventTime"], event.eventTime);
  assert.deepEqual(fromStorage!(stored), event);
});

test("the newer group is stricter", () => {
  assert.deepEqual(createErrors("events.k8s.io/v1/Event", event), []);
  const { eventTime: _time, reason: _reason, ...incomplete } = event;
  assert.deepEqual(createErrors("events.k8s.io/v1/Event", incomplete), [
    "eventTime: Required value",
    "reason: Required value",
  ]);
  const { regarding, ...rest } = event;
  assert.deepEqual(createErrors("Event", { ...rest, involvedObject: { ...regarding, namespace: "other" } }), [
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ]);
});

test("its fields can be selected under the names of the group", () => {
  const fields = definitionOf("events.k8s.io/v1/Event").selectableFields;
  assert.equal(fields.get("regarding.name")!(event), "web");
  assert.equal(fields.get("reportingController")!(event), "example.com/tester");
  const core = definitionOf("events.k8s.io/v1/Event").toStorage!(event);
  assert.equal(definitionOf("Event").selectableFields.get("involvedObject.name")!(core), "web");
});
