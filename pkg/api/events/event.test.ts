import assert from "node:assert/strict";
import { test } from "node:test";
import { createErrors, definitionOf, updated } from "../testing/strategies.ts";

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
  assert.deepEqual(createErrors("events.k8s.io/v1/Event", incomplete), ["eventTime: Required value"]);
  const { regarding, metadata } = event;
  assert.deepEqual(createErrors("Event", { metadata, involvedObject: { ...regarding, namespace: "other" } }), [
    'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
  ]);
});

test("events with a time of their own say who reported what", () => {
  const named = (fields: object) => createErrors("Event", { metadata: event.metadata, ...fields });
  const { regarding: involvedObject, note: message, reportingController: reportingComponent, ...common } = event;
  const core = { ...common, involvedObject, message, reportingComponent, apiVersion: "v1" };
  assert.deepEqual(named(core), []);
  assert.deepEqual(named({ ...core, involvedObject: { kind: "Pod", namespace: "other" } }), []);
  assert.deepEqual(named({ ...core, action: "", reason: "x".repeat(129), message: "x".repeat(1025) }), [
    "action: Required value",
    'reason: Invalid value: "": can have at most 128 characters',
    'message: Invalid value: "": can have at most 1024 characters',
  ]);
  assert.equal(named({ ...core, reportingComponent: "a b" })[0]!.split(":")[0], "reportingComponent");
});

test("of an event in the newer group only the series changes", () => {
  const change = (fields: object) =>
    updated("events.k8s.io/v1/Event", event, (object) => Object.assign(object, fields)).errors;
  assert.deepEqual(change({ series: { count: 2, lastObservedTime: event.eventTime } }), []);
  assert.deepEqual(change({ series: { count: 1 } }), [
    'series.count: Invalid value: "": should be at least 2',
    "series.lastObservedTime: Required value",
  ]);
  assert.deepEqual(change({ action: undefined, deprecatedCount: 2 }), [
    "action: Required value",
    "count: Invalid value: 2: field is immutable",
    'action: Invalid value: "": field is immutable',
  ]);
});

test("its fields can be selected under the names of the group", () => {
  const fields = definitionOf("events.k8s.io/v1/Event").selectableFields;
  assert.equal(fields.get("regarding.name")!(event), "web");
  assert.equal(fields.get("reportingController")!(event), "example.com/tester");
  const core = definitionOf("events.k8s.io/v1/Event").toStorage!(event);
  assert.equal(definitionOf("Event").selectableFields.get("involvedObject.name")!(core), "web");
});
