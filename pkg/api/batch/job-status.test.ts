import assert from "node:assert/strict";
import { test } from "node:test";
import type { Job, JobSpec, JobStatus } from "../types/batch-v1.ts";
import { validateJobStatusUpdate } from "./job-status.ts";

const template = { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "busybox" }] } };
const START = "2026-01-01T00:00:00Z";
const END = "2026-01-01T00:01:00Z";
const conditions = (...types: string[]) => types.map((type) => ({ type, status: "True" }));

/** The errors of an update from one status to another. */
function errorsOf(spec: Partial<JobSpec>, old: JobStatus, next: JobStatus): string[] {
  const job = (status: JobStatus): Job => ({
    metadata: { name: "job", uid: "u", resourceVersion: "1", creationTimestamp: START },
    spec: { template, ...spec },
    status,
  });
  return validateJobStatusUpdate(job(next), job(old)).map(({ field, message }) => `${field}: ${message}`);
}

const running: JobStatus = { startTime: START, active: 1, ready: 1 };
const indexed = { completionMode: "Indexed", completions: 5, parallelism: 2, backoffLimitPerIndex: 1 };
const over: JobStatus = {
  startTime: START,
  completionTime: END,
  succeeded: 1,
  conditions: conditions("SuccessCriteriaMet", "Complete"),
};

test("a Job ends with everything that belongs to its end", () => {
  assert.deepEqual(errorsOf({}, { ...running, conditions: conditions("SuccessCriteriaMet") }, over), []);
  assert.deepEqual(errorsOf({}, running, { ...running, conditions: conditions("Complete") }), [
    "status.completionTime: Required value: completionTime is required for Complete jobs",
    "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    "status.active: Invalid value: 1: active>0 is invalid for finished job",
  ]);
  assert.deepEqual(errorsOf({}, {}, { terminating: 1, conditions: conditions("Failed") }), [
    "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition",
    "status.startTime: Required value: startTime is required for finished job",
    "status.terminating: Invalid value: 1: terminating>0 is invalid for finished job",
  ]);
  assert.deepEqual(errorsOf({}, running, { ...running, completionTime: "2025-12-31T23:59:59Z" }), [
    'status.completionTime: Invalid value: "2025-12-31T23:59:59Z": cannot set completionTime when there is no Complete=True condition',
    'status.completionTime: Invalid value: "2025-12-31T23:59:59Z": completionTime cannot be set before startTime',
  ]);
  assert.deepEqual(
    errorsOf({}, running, { ...running, conditions: conditions("SuccessCriteriaMet", "FailureTarget") }),
    ["status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"],
  );
});

test("what is over stays over, and what is counted stays counted", () => {
  assert.deepEqual(errorsOf({}, over, { startTime: START, succeeded: 0, completionTime: START }), [
    `status.completionTime: Invalid value: "${START}": cannot set completionTime when there is no Complete=True condition`,
    "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
    "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
    `status.completionTime: Invalid value: "${START}": completionTime cannot be mutated`,
    "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
  ]);
  const elastic = { ...indexed, parallelism: 5 };
  assert.deepEqual(errorsOf(elastic, { succeeded: 2, failed: 2 }, { succeeded: 1, failed: 1 }), [
    "status.failed: Invalid value: 1: cannot decrease the failed counter",
  ]);
});

test("the start of a running Job is settled, that of a suspended one is not", () => {
  const why = "field is immutable for unsuspended job once set";
  assert.deepEqual(errorsOf({}, running, { ...running, startTime: END }), [
    `status.startTime: Invalid value: "${END}": ${why}`,
  ]);
  assert.deepEqual(errorsOf({}, running, { active: 1, ready: 1 }), [`status.startTime: Invalid value: null: ${why}`]);
  assert.deepEqual(errorsOf({ suspend: true }, running, { active: 1, ready: 1 }), []);
});

test("indexes are well formed and in one list only", () => {
  assert.deepEqual(errorsOf(indexed, {}, { completedIndexes: "0,2-3", failedIndexes: "1" }), []);
  assert.deepEqual(errorsOf(indexed, {}, { completedIndexes: "0,2-4", failedIndexes: "1,3" }), [
    'status.failedIndexes: Invalid value: "1,3": failedIndexes and completedIndexes overlap at index: 3',
  ]);
  assert.deepEqual(errorsOf(indexed, {}, { completedIndexes: "7" }), [
    'status.completedIndexes: Invalid value: "7": error parsing completedIndexes: too large index: "7"',
  ]);
  // Just after a Job has been made smaller, what it said before may stand until its controller has looked.
  assert.deepEqual(errorsOf(indexed, { completedIndexes: "7" }, { completedIndexes: "7", active: 1 }), []);
  assert.deepEqual(errorsOf({}, {}, { completedIndexes: "0", failedIndexes: "" }), [
    'status.completedIndexes: Invalid value: "0": cannot set non-empty completedIndexes when non-indexed completion mode',
    'status.failedIndexes: Invalid value: "": cannot set non-null failedIndexes when backoffLimitPerIndex is null',
  ]);
  assert.deepEqual(errorsOf({}, {}, { ready: 1 }), [
    "status.ready: Invalid value: 1: cannot set more ready pods than active",
  ]);
});
