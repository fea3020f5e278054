import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { selectorFromSet } from "#pkg/apimachinery/index.ts";
import { sameStatus } from "./status.ts";
import { selectControllers, UnknownControllerError } from "../create.ts";
import { CONTROLLERS } from "../list.ts";
import { NOT_RUN } from "../not-run.ts";
import { EARLIER, meta, podOf } from "../testing/objects.ts";
import { planClaims, selects } from "./claim.ts";
import { withCondition } from "./conditions.ts";
import { hashOf, stableJson } from "./hash.ts";
import { podPort } from "./services.ts";
import { inParallel, slowStartBatch } from "./slow-start.ts";
import { WriteBarrier } from "./write-barrier.ts";

test("owners keep, adopt and release what they may, however others lie", () => {
  const owner = { metadata: meta("owner") };
  const mine = { kind: "ReplicaSet", uid: "uid-owner" };
  const match = { labels: { app: "x" } };
  const pods = [
    podOf("kept", { ...match, owner: mine }),
    podOf("released", { owner: mine }),
    podOf("adopted", match),
    podOf("dying", { ...match, deleted: true }),
    podOf("foreign", { ...match, owner: { kind: "ReplicaSet", uid: "other" } }),
    { ...podOf("elsewhere", match), metadata: meta("elsewhere", { namespace: "other", labels: { app: "x" } }) },
  ];
  const names = (plan: ReturnType<typeof planClaims<(typeof pods)[number]>>) =>
    [plan.keep, plan.adopt, plan.release].map((list) => list.map(({ metadata }) => metadata.name));
  const matches = selects(selectorFromSet({ app: "x" }));
  assert.deepEqual(names(planClaims(owner, pods, matches)), [["kept"], ["adopted"], ["released"]]);
  const deleted = { metadata: meta("owner", { deletionTimestamp: EARLIER }) };
  assert.deepEqual(names(planClaims(deleted, pods, matches)), [["kept"], [], []]);
});

test("slow start stops at the first batch that fails", async () => {
  const calls: number[] = [];
  const result = await slowStartBatch(20, (index) => {
    calls.push(index);
    return index === 2 ? Promise.reject(new Error("quota")) : Promise.resolve();
  });
  assert.deepEqual(calls, [0, 1, 2]);
  assert.equal(result.succeeded, 2);
  assert.match(String(result.error), /quota/);
  assert.deepEqual(await slowStartBatch(20, () => Promise.resolve()), { succeeded: 20, error: undefined });
  let running = 0;
  const error = await inParallel(
    Array.from({ length: 30 }, (_, index) => index),
    async (index) => {
      assert.ok(++running <= 4);
      await Promise.resolve();
      running--;
      if (index === 7) throw new Error("seven");
    },
    4,
  );
  assert.match(String(error), /seven/);
});

test("hashes depend on meaning alone, and on the collision count", () => {
  assert.equal(stableJson({ b: [1, { c: null, d: undefined }], a: "x" }), '{"a":"x","b":[1,{}]}');
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
      const shuffled = Object.fromEntries(Object.entries(value).reverse());
      assert.equal(hashOf(shuffled, undefined), hashOf(value, undefined));
      assert.match(hashOf(value, 3), /^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
    }),
  );
  assert.notEqual(hashOf({}, undefined), hashOf({}, 1));
});

test("a status without its zeros, empty lists and maps is the same status", () => {
  assert.ok(sameStatus(undefined, { replicas: 0, conditions: [], disruptedPods: {} }));
  assert.ok(sameStatus({ replicas: 1, readyReplicas: 0 }, { replicas: 1 }));
  assert.ok(!sameStatus({ replicas: 1 }, { replicas: 0 }));
  assert.ok(!sameStatus({ conditions: [{ type: "A" }] }, {}));
});

test("conditions change their time with their status only", () => {
  const before = [{ type: "A", status: "True", reason: "x", lastTransitionTime: "1" }];
  assert.deepEqual(withCondition(before, { type: "A", status: "True", reason: "x", lastTransitionTime: "2" }), before);
  assert.equal(
    withCondition(before, { type: "A", status: "True", reason: "y", lastTransitionTime: "2" })[0]?.lastTransitionTime,
    "1",
  );
  assert.equal(
    withCondition(before, { type: "A", status: "False", reason: "x", lastTransitionTime: "2" })[0]?.lastTransitionTime,
    "2",
  );
});

test("named ports", () => {
  const pod = podOf("p");
  pod.spec.containers[0]!.ports = [{ name: "web", containerPort: 8080, protocol: "UDP" }];
  assert.equal(podPort(pod, { port: 80, targetPort: "web", protocol: "UDP" }), 8080);
  assert.equal(podPort(pod, { port: 80, targetPort: "web" }), undefined);
  assert.equal(podPort(pod, { port: 80 }), 80);
});

test("a cache older than our own write is recognised", () => {
  const barrier = new WriteBarrier();
  const version = (resourceVersion: string) => ({ metadata: meta("x", { resourceVersion }) });
  assert.equal(barrier.isCurrent(version("5")), true);
  barrier.wrote(version("10"));
  barrier.wrote(version("9"));
  assert.deepEqual(
    [barrier.isCurrent(version("9")), barrier.isCurrent(version("10")), barrier.isCurrent(version("11"))],
    [false, true, true],
  );
});

test("controllers are chosen as upstream's flag says", () => {
  const names = (...selection: string[]) => selectControllers(selection).map(({ name }) => name);
  assert.equal(names("*").includes("bootstrap-signer-controller"), false);
  assert.equal(names("*", "bootstrapsigner").includes("bootstrap-signer-controller"), true);
  assert.equal(names("*", "-job-controller").includes("job-controller"), false);
  assert.deepEqual(names("job", "cronjob-controller"), ["job-controller", "cronjob-controller"]);
  assert.deepEqual(names("job", "route", "-selinux-warning-controller"), ["job-controller"], "known, and not run");
  assert.throws(() => names("nonsense"), UnknownControllerError);
  assert.throws(() => names(""), UnknownControllerError);
  const known = [...CONTROLLERS, ...NOT_RUN].map(({ name }) => name);
  assert.equal(new Set(known).size, known.length);
});
