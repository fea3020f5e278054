import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { created, createErrors, updated } from "../testing/strategies.ts";
import type { JobSpec } from "../types/batch-v1.ts";

const podSpec = { restartPolicy: "Never", containers: [{ name: "c", image: "busybox" }] };
const template = { spec: podSpec };
const specOf = (object: KubeObject) => object["spec"] as JobSpec;

test("a job selects its pods by its own uid", () => {
  const spec = specOf(created("batch/v1/Job", { metadata: { name: "pi", uid: "u7" }, spec: { template } }));
  assert.deepEqual(spec.selector, { matchLabels: { "batch.kubernetes.io/controller-uid": "u7" } });
  assert.deepEqual(spec.template.metadata!.labels, {
    "controller-uid": "u7",
    "batch.kubernetes.io/controller-uid": "u7",
    "job-name": "pi",
    "batch.kubernetes.io/job-name": "pi",
  });
});

test("completions and parallelism default together", () => {
  const numbers = (spec: object) => {
    const { completions, parallelism, backoffLimit } = specOf(created("batch/v1/Job", { spec: { template, ...spec } }));
    return [completions, parallelism, backoffLimit];
  };
  assert.deepEqual(numbers({}), [1, 1, 6]);
  assert.deepEqual(numbers({ parallelism: 2 }), [undefined, 2, 6]);
  assert.deepEqual(numbers({ completions: 3 }), [3, 1, 6]);
  const indexed = { completionMode: "Indexed", completions: 2, backoffLimitPerIndex: 1 };
  assert.deepEqual(numbers(indexed), [2, 1, 2147483647]);
});

const invalidJobs: readonly [spec: object, errors: string[]][] = [
  [{ template }, []],
  [
    { template: { spec: { ...podSpec, restartPolicy: "Always" } } },
    ['spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'],
  ],
  [
    { template, completionMode: "Indexed", parallelism: 1 },
    ["spec.completions: Required value: when completion mode is Indexed"],
  ],
  [
    { template, backoffLimitPerIndex: 1 },
    ["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
  ],
  [
    { template, selector: { matchLabels: { a: "b" } } },
    [
      'spec.selector: Invalid value: {"matchLabels":{"a":"b","batch.kubernetes.io/controller-uid":"u1"}}: `selector` not auto-generated',
      'spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"u1","batch.kubernetes.io/job-name":"web","controller-uid":"u1","job-name":"web"}: `selector` does not match template `labels`',
    ],
  ],
  [
    { template, podFailurePolicy: { rules: [{ action: "FailJob", onExitCodes: { operator: "In", values: [0] } }] } },
    ["spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"],
  ],
];
for (const [spec, errors] of invalidJobs) {
  test(`creating a job ${errors[0] ?? ""}`, () => assert.deepEqual(createErrors("batch/v1/Job", { spec }), errors));
}

test("what a running job asks for is settled", () => {
  const { errors } = updated("batch/v1/Job", { spec: { template } }, (job) => {
    specOf(job).completions = 4;
    specOf(job).parallelism = 2;
  });
  assert.deepEqual(errors, ["spec.completions: Invalid value: 4: field is immutable"]);
});

test("a suspended job may be placed elsewhere", () => {
  const place = (job: KubeObject) => (specOf(job).template.spec!.nodeSelector = { zone: "a" });
  assert.deepEqual(updated("batch/v1/Job", { spec: { template, suspend: true } }, place).errors, []);
  const running = updated("batch/v1/Job", { spec: { template } }, place).errors;
  assert.equal(running.length, 1);
  assert.match(running[0]!, /^spec\.template: Invalid value: .*: field is immutable$/);
});

const cronJob = (spec: object) => ({ spec: { schedule: "*/5 * * * *", jobTemplate: { spec: { template } }, ...spec } });
const invalidCronJobs: readonly [spec: object, errors: string[]][] = [
  [{}, []],
  [{ schedule: "" }, ["spec.schedule: Required value"]],
  [{ schedule: "* * * *" }, ['spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *]']],
  [
    { schedule: "TZ=UTC * * * * *" },
    [
      'spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    ],
  ],
  [{ timeZone: "Moon/Base" }, ['spec.timeZone: Invalid value: "Moon/Base": unknown time zone Moon/Base']],
  [
    { concurrencyPolicy: "Maybe" },
    ['spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"'],
  ],
];
for (const [spec, errors] of invalidCronJobs) {
  test(`creating a cron job ${errors[0] ?? ""}`, () => {
    assert.deepEqual(createErrors("batch/v1/CronJob", cronJob(spec)), errors);
  });
}
