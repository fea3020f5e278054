import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Job, JobSpec, JobStatus } from "#pkg/api/types/batch-v1.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { meta, NOW, podOf, templateOf } from "../testing/objects.ts";
import { judgeFailure } from "./failure-policy.ts";
import { IndexSet } from "./intervals.ts";
import { jobStatus, type JobView, planJob } from "./plan.ts";
import { draftJobPod, TRACKING_FINALIZER } from "./pod.ts";
import { tallyPods } from "./tally.ts";

const jobOf = (spec: Partial<JobSpec>, status: JobStatus = {}): Job => ({
  metadata: meta("job", { generation: 1 }),
  spec: { parallelism: 1, completions: 1, backoffLimit: 6, template: templateOf({ job: "job" }), ...spec },
  status: { startTime: new Date(NOW - 60_000).toISOString(), ...status },
});
const viewOf = (job: Job, pods: Pod[], extra: Partial<JobView> = {}): JobView => ({
  job,
  pods,
  cacheIsCurrent: true,
  finalized: new Set(),
  now: NOW,
  ...extra,
});
const worker = (name: string, phase: string, index?: number, extra: Parameters<typeof podOf>[1] = {}): Pod =>
  podOf(name, {
    phase,
    finalizers: [TRACKING_FINALIZER],
    ...(index === undefined ? {} : { annotations: { "batch.kubernetes.io/job-completion-index": String(index) } }),
    ...extra,
  });
const conditions = (status: JobStatus) =>
  status.conditions?.map(({ type, status: state, reason }) => `${type}=${state} ${reason}`);
const apply = (view: JobView) => {
  const plan = planJob(view);
  return { plan, ...jobStatus(view, plan, { created: plan.create.length, deleted: plan.delete.length }) };
};

test("keeps as many pods running as parallelism and completions ask for", () => {
  assert.equal(planJob(viewOf(jobOf({ parallelism: 3, completions: 5 }), [])).create.length, 3);
  const half = [worker("a", "Succeeded"), worker("b", "Succeeded"), worker("c", "Succeeded"), worker("d", "Running")];
  assert.equal(planJob(viewOf(jobOf({ parallelism: 3, completions: 5 }), half)).create.length, 1);
  const many = ["a", "b", "c"].map((name) => worker(name, "Running"));
  assert.equal(planJob(viewOf(jobOf({ parallelism: 1, completions: 5 }), many)).delete.length, 2);
  assert.equal(planJob(viewOf(jobOf({ parallelism: 3 }), [], { cacheIsCurrent: false })).create.length, 0);
});

test("a work queue stops making workers once one has succeeded", () => {
  const queue = { ...jobOf({ parallelism: 3 }), spec: { ...jobOf({ parallelism: 3 }).spec, completions: undefined } };
  assert.equal(planJob(viewOf(queue, [])).create.length, 3);
  const ending = apply(viewOf(queue, [worker("a", "Succeeded"), worker("b", "Running")]));
  assert.equal(ending.plan.create.length, 0);
  assert.equal(ending.plan.outcome, undefined);
  assert.equal(apply(viewOf(queue, [worker("a", "Succeeded")])).plan.outcome?.success, true);
});

test("the end comes in steps: criteria first, the last condition when all pods are counted", () => {
  const job = jobOf({});
  const first = apply(viewOf(job, [worker("a", "Succeeded")]));
  assert.deepEqual(conditions(first.status), ["SuccessCriteriaMet=True CompletionsReached"]);
  assert.deepEqual(first.status.uncountedTerminatedPods, { succeeded: ["uid-a"] });
  assert.equal(first.finished, false);
  const released = { ...worker("a", "Succeeded"), metadata: meta("a") };
  const told = { ...job, status: first.status };
  const behind = apply(viewOf(told, [released], { cacheIsCurrent: false }));
  assert.equal(behind.finished, false, "a pod that the cache has not shown yet may have ended, uncounted");
  const second = apply(viewOf(told, [released]));
  assert.equal(second.finished, true);
  assert.equal(second.status.succeeded, 1);
  assert.deepEqual(second.status.uncountedTerminatedPods, {});
  assert.deepEqual(conditions(second.status), [
    "SuccessCriteriaMet=True CompletionsReached",
    "Complete=True CompletionsReached",
  ]);
});

test("a pod whose finalizer we removed is not counted again from an old cache", () => {
  const pod = worker("a", "Failed");
  const counted = { failed: 1 };
  const tally = tallyPods(jobOf({}, counted), [pod], {
    finalized: new Set(["uid-a"]),
    outcome: undefined,
    over: false,
  });
  assert.deepEqual([tally.failed, tally.finalize.length], [1, 0]);
});

test("the backoff limit, the deadline and the failure policy end a Job", () => {
  const failed = (count: number) => Array.from({ length: count }, (_, index) => worker(`f${index}`, "Failed"));
  assert.equal(planJob(viewOf(jobOf({ backoffLimit: 2 }), failed(2))).outcome, undefined);
  assert.equal(planJob(viewOf(jobOf({ backoffLimit: 2 }), failed(3))).outcome?.reason, "BackoffLimitExceeded");
  assert.equal(planJob(viewOf(jobOf({ activeDeadlineSeconds: 30 }), [])).outcome?.reason, "DeadlineExceeded");
  const late = planJob(viewOf(jobOf({ activeDeadlineSeconds: 30 }), [worker("r", "Running")]));
  assert.deepEqual(
    late.delete.map(({ metadata }) => metadata.name),
    ["r"],
  );
  const policy = { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [42] } }] };
  const pod = worker("p", "Failed");
  pod.status!.containerStatuses = [
    { name: "main", image: "", imageID: "", ready: false, restartCount: 0, state: { terminated: { exitCode: 42 } } },
  ];
  const ended = planJob(viewOf(jobOf({ podFailurePolicy: policy }), [pod]));
  assert.equal(ended.outcome?.reason, "PodFailurePolicy");
  assert.equal(
    ended.outcome?.message,
    "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 0",
  );
});

test("ignored failures do not count, and the pod is let go", () => {
  const policy = { rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }] };
  const job = jobOf({ podFailurePolicy: policy, backoffLimit: 0 });
  const pod = worker("p", "Failed");
  pod.status!.conditions!.push({ type: "DisruptionTarget", status: "True" });
  assert.equal(judgeFailure(job, pod).action, "Ignore");
  const { plan, status } = apply(viewOf(job, [pod]));
  assert.equal(plan.outcome, undefined);
  assert.deepEqual(status.uncountedTerminatedPods, {});
  assert.equal(plan.tally.finalize.length, 1);
  assert.equal(plan.create.length, 1);
});

test("failures in a row are replaced later and later", () => {
  const finished = (name: string, secondsAgo: number) => {
    const pod = worker(name, "Failed");
    pod.status!.conditions![0]!.lastTransitionTime = new Date(NOW - secondsAgo * 1000).toISOString();
    return pod;
  };
  assert.equal(planJob(viewOf(jobOf({}), [finished("a", 3)])).requeueAfterMs, 7000);
  assert.equal(planJob(viewOf(jobOf({}), [finished("a", 30), finished("b", 3)])).requeueAfterMs, 17_000);
  assert.equal(planJob(viewOf(jobOf({}), [finished("a", 11)])).create.length, 1);
});

test("indexes are filled from the lowest, doubles and strangers removed", () => {
  const job = jobOf({ completionMode: "Indexed", parallelism: 3, completions: 5 });
  const pods = [worker("a", "Succeeded", 0), worker("b", "Running", 2)];
  assert.deepEqual(
    planJob(viewOf(job, pods)).create.map((entry) => entry?.index),
    [1, 3],
  );
  const odd = [worker("a", "Running", 1), worker("b", "Running", 1), worker("c", "Running", 9)];
  assert.equal(planJob(viewOf(job, odd)).delete.length, 2);
  const huge = jobOf(
    { completionMode: "Indexed", parallelism: 2, completions: 2 ** 31 - 1 },
    { completedIndexes: "0-2147483640" },
  );
  assert.deepEqual(
    planJob(viewOf(huge, [])).create.map((entry) => entry?.index),
    [2147483641, 2147483642],
  );
});

test("an index may fail on its own, and carries its count to the next pod", () => {
  const job = jobOf({ completionMode: "Indexed", parallelism: 2, completions: 2, backoffLimitPerIndex: 1 });
  const failed = (index: number, before: number) =>
    worker(`f${index}`, "Failed", undefined, {
      annotations: {
        "batch.kubernetes.io/job-completion-index": String(index),
        "batch.kubernetes.io/job-index-failure-count": String(before),
      },
      finalizers: [TRACKING_FINALIZER],
    });
  const retried = planJob(viewOf(job, [failed(0, 0), worker("b", "Running", 1)], { now: NOW + 20_000 }));
  assert.deepEqual(retried.create, [{ index: 0, failures: { counted: 1, ignored: 0 } }]);
  assert.equal(retried.tally.finalize.length, 0, "it is kept until its replacement exists");
  const given = apply(viewOf(job, [failed(0, 1), worker("b", "Running", 1)]));
  assert.equal(given.status.failedIndexes, "0");
  assert.equal(given.plan.outcome, undefined);
  const both = planJob(viewOf(job, [failed(0, 1), failed(1, 1)]));
  assert.equal(both.outcome?.reason, "FailedIndexes");
  const limited = jobOf({ ...job.spec, maxFailedIndexes: 0 });
  assert.equal(planJob(viewOf(limited, [failed(0, 1)])).outcome?.reason, "MaxFailedIndexesExceeded");
});

test("a success policy ends a Job early", () => {
  const successPolicy = { rules: [{ succeededIndexes: "0,2-3", succeededCount: 2 }] };
  const job = jobOf({ completionMode: "Indexed", parallelism: 4, completions: 4, successPolicy });
  const pods = [worker("a", "Succeeded", 0), worker("b", "Running", 1), worker("c", "Succeeded", 3)];
  const { plan, status } = apply(viewOf(job, pods));
  assert.deepEqual(plan.outcome, { success: true, reason: "SuccessPolicy", message: "Matched rules at index 0" });
  assert.deepEqual(
    plan.delete.map(({ metadata }) => metadata.name),
    ["b"],
  );
  assert.equal(status.completedIndexes, "0,3");
  // The pod that is cut short is let go at once, so that its end does not count as a failure.
  assert.deepEqual(
    plan.tally.finalize.map(({ metadata }) => metadata.name),
    ["a", "b", "c"],
  );
  assert.deepEqual(plan.tally.uncounted.failed, []);
});

test("an Indexed Job that is made smaller forgets the indexes beyond its end", () => {
  const job = jobOf(
    { completionMode: "Indexed", parallelism: 1, completions: 1 },
    { succeeded: 1, completedIndexes: "2" },
  );
  const { status } = apply(viewOf(job, [worker("a", "Running", 0)]));
  assert.deepEqual([status.succeeded, status.completedIndexes], [undefined, undefined]);
});

test("suspending removes pods and the start time, resuming starts anew", () => {
  const suspended = apply(viewOf(jobOf({ suspend: true }), [worker("a", "Running")]));
  assert.equal(suspended.plan.delete.length, 1);
  assert.equal(suspended.status.startTime, undefined);
  assert.deepEqual([suspended.status.active, suspended.status.ready], [undefined, 0]);
  assert.deepEqual(conditions(suspended.status), ["Suspended=True JobSuspended"]);
  const resumed = apply(viewOf({ ...jobOf({}), status: suspended.status }, []));
  assert.deepEqual(conditions(resumed.status), ["Suspended=False JobResumed"]);
  assert.equal(resumed.status.startTime, "2026-01-01T00:00:00Z");
  assert.equal(resumed.plan.create.length, 1);
});

test("a suspended Job that has all it wants ends", () => {
  const empty = apply(viewOf(jobOf({ suspend: true, completions: 0 }, { startTime: undefined }), []));
  assert.equal(empty.plan.outcome?.success, true);
  const last = jobOf(
    { suspend: true },
    { startTime: undefined, succeeded: 1, conditions: [{ type: "SuccessCriteriaMet", status: "True" }] },
  );
  const end = apply(viewOf(last, []));
  assert.equal(end.finished, true);
  assert.equal(end.status.startTime, new Date(NOW).toISOString().replace(".000Z", "Z"));
});

test("pods know their index in every way programs ask for it", () => {
  const job = jobOf({ completionMode: "Indexed", completions: 9 });
  const draft = draftJobPod(job, { index: 7, failures: undefined });
  assert.equal(draft.metadata.generateName, "job-7-");
  assert.equal(draft.spec.hostname, "job-7");
  assert.equal(draft.metadata.labels?.["batch.kubernetes.io/job-completion-index"], "7");
  assert.deepEqual(draft.metadata.finalizers, [TRACKING_FINALIZER]);
  assert.equal(draft.spec.containers[0]?.env?.[0]?.name, "JOB_COMPLETION_INDEX");
});

test("sets of indexes behave as sets", () => {
  const small = fc.uniqueArray(fc.nat(30), { maxLength: 20 });
  fc.assert(
    fc.property(small, small, fc.nat(12), (a, b, count) => {
      const [x, y] = [IndexSet.of(a), IndexSet.of(b)];
      const union = new Set([...a, ...b]);
      assert.equal(x.union(y).size, union.size);
      assert.equal(x.intersectionSize(y), a.filter((index) => b.includes(index)).length);
      assert.equal(IndexSet.parse(x.toString(), 31).toString(), x.toString());
      for (let index = 0; index <= 31; index++) assert.equal(x.has(index), a.includes(index));
      const missing = Array.from({ length: 31 }, (_, index) => index).filter((index) => !a.includes(index));
      assert.deepEqual(x.firstMissing(count, 31), missing.slice(0, count));
    }),
  );
  assert.equal(IndexSet.parse("0-4,nonsense,7,99", 8).toString(), "0-4,7");
});
