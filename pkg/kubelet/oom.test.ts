import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { OutOfMemory } from "./oom.ts";
import { exited } from "./testing/observed.ts";

const ended = (reason: string) => exited({ name: "c" }, "s", 137, { reason });

async function watch() {
  const kernel = { kills: 7, records: [] as string[] };
  const clock = new FakeClock();
  const memory = await OutOfMemory.watch(clock, {
    count: async () => kernel.kills,
    log: () => kernel.records.splice(0),
  });
  /** Settles while the runtime goes through these answers, the last of them again and again; resolves to what it came to. */
  const settle = async (...answers: string[]) => {
    let asked = 0;
    const reason = (index: number) => answers[Math.min(index, answers.length - 1)]!;
    let done = false;
    const settled = memory.settled(ended(reason(0)), async () => ended(reason(++asked))).finally(() => (done = true));
    while (!done) await clock.advance(10);
    return { reason: (await settled).reason, asked };
  };
  return { kernel, settle };
}

test("where the kernel has killed nothing, the first answer counts", async () => {
  const { settle } = await watch();
  assert.deepEqual(await settle("Error", "OOMKilled"), { reason: "Error", asked: 0 });
});

test("after a kill the runtime is asked until it knows, once for each kill", async () => {
  const { kernel, settle } = await watch();
  kernel.kills++;
  assert.deepEqual(await settle("Error", "Error", "OOMKilled"), { reason: "OOMKilled", asked: 2 });
  assert.deepEqual(await settle("Error"), { reason: "Error", asked: 0 });
  kernel.kills++;
  assert.deepEqual(await settle("OOMKilled"), { reason: "OOMKilled", asked: 0 });
  assert.deepEqual(await settle("Error"), { reason: "Error", asked: 0 });
});

test("a kill of something else holds up one container for a while, and none after it", async () => {
  const { kernel, settle } = await watch();
  kernel.kills++;
  assert.deepEqual(await settle("Error"), { reason: "Error", asked: 40 });
  assert.deepEqual(await settle("Error"), { reason: "Error", asked: 0 });
});

test("what the kernel's log names is known at once, whatever the runtime says", async () => {
  const { kernel, settle } = await watch();
  const { id } = ended("Error");
  const record = (cgroup: string) =>
    `6,5007,31663629708,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),oom_memcg=/kubepods/pod1,task_memcg=${cgroup},task=tail,pid=28003,uid=0\n`;
  kernel.kills++;
  kernel.records.push(record("/kubepods/pod1/other"), "4,5008,1,-;something else\n", record(`/kubepods/pod1/${id}`));
  assert.deepEqual(await settle("Error"), { reason: "OOMKilled", asked: 0 });
  assert.deepEqual(await settle("Error"), { reason: "Error", asked: 0 });
});
