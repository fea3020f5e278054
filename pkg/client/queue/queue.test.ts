import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { DONE, TerminalError } from "../contract.ts";
import { DelayedSet } from "./delayed-set.ts";
import { QueueMetrics } from "./queue-metrics.ts";
import { RateLimitingQueue } from "./rate-limiting-queue.ts";
import { startReconciler } from "./reconcile-loop.ts";

const never = new AbortController().signal;

describe("RateLimitingQueue", () => {
  it("holds a key once and gives it again only after it is done", async () => {
    const queue = new RateLimitingQueue<string>({ clock: new FakeClock() });
    queue.add("a");
    queue.add("a");
    assert.equal(queue.length, 1);
    const key = await queue.take(never);
    queue.add("a");
    assert.equal(queue.length, 0, "it is being processed");
    queue.done(key);
    assert.equal(queue.length, 1);
  });

  it("doubles the delay with each failure until forgotten", async () => {
    const clock = new FakeClock();
    const queue = new RateLimitingQueue<string>({ clock });
    const delays: number[] = [];
    for (let i = 0; i < 4; i++) {
      const start = clock.now();
      queue.addRateLimited("a");
      await clock.advance(clock.nextTimer()! - start);
      delays.push(clock.now() - start);
      queue.done(await queue.take(never));
    }
    assert.deepEqual(delays, [5, 10, 20, 40]);
    queue.forget("a");
    assert.equal(queue.failures("a"), 0);
  });

  it("shows what it has done and who works how long", async () => {
    const clock = new FakeClock();
    const queue = new RateLimitingQueue<string>({ clock });
    const metrics = new QueueMetrics();
    metrics.add("deployment", queue);
    queue.add("a");
    queue.add("a");
    queue.add("b");
    await clock.advance(50);
    const key = await queue.take(never);
    await clock.advance(5000);
    queue.add(key);
    queue.add(key);
    const shown = (lines: readonly string[]) => {
      const text = metrics.text().split("\n");
      for (const line of lines) assert.ok(text.includes(line.replace(" ", '{name="deployment"} ')), `${line}: ${text}`);
    };
    shown([
      "workqueue_adds_total 3",
      "workqueue_depth 1",
      "workqueue_queue_duration_seconds_sum 0.05",
      "workqueue_unfinished_work_seconds 5",
      "workqueue_longest_running_processor_seconds 5",
    ]);
    queue.done(key);
    queue.addRateLimited("c");
    await clock.advance(1000);
    await queue.take(never);
    await queue.take(never);
    shown([
      "workqueue_adds_total 4",
      "workqueue_depth 1",
      "workqueue_retries_total 1",
      "workqueue_queue_duration_seconds_sum 7.1",
      "workqueue_work_duration_seconds_sum 5",
      "workqueue_work_duration_seconds_count 1",
    ]);
  });

  it("leaves no waiting taker behind when aborted", async () => {
    const queue = new RateLimitingQueue<string>({ clock: new FakeClock() });
    const stop = new AbortController();
    const taking = queue.take(stop.signal);
    stop.abort(new Error("stop"));
    await assert.rejects(taking, /stop/);
    queue.add("a");
    assert.equal(await queue.take(never), "a");
  });
});

describe("DelayedSet", () => {
  it("releases keys in order of their due times, each once", async () => {
    const clock = new FakeClock();
    const random = new SeededRandom(7);
    const released: number[] = [];
    const set = new DelayedSet<number>(clock, (key) => released.push(key));
    const due = new Map<number, number>();
    for (let i = 0; i < 500; i++) {
      const key = random.int(200);
      const delay = random.int(10_000) * 10;
      set.add(String(key), key, delay);
      due.set(key, Math.min(due.get(key) ?? Infinity, delay));
    }
    await clock.advance(100_001);
    assert.equal(released.length, due.size);
    const times = released.map((key) => due.get(key)!);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    assert.equal(clock.nextTimer(), undefined);
  });
});

describe("startReconciler", () => {
  it("retries what fails, gives up on terminal errors, and requeues on request", async () => {
    const clock = new FakeClock();
    const queue = new RateLimitingQueue<string>({ clock });
    const stop = new AbortController();
    const calls: string[] = [];
    const running = startReconciler<string>({
      name: "test",
      queue,
      workers: 2,
      clock,
      log: silentLogger,
      signal: stop.signal,
      reconciler: {
        reconcile: async (key) => {
          calls.push(key);
          const times = calls.filter((call) => call === key).length;
          if (key === "flaky" && times < 3) throw new Error("not yet");
          if (key === "hopeless") throw new TerminalError("never");
          if (key === "periodic" && times < 3) return { requeueAfterMs: 1_000 };
          return DONE;
        },
      },
    });
    for (const key of ["flaky", "hopeless", "periodic"]) queue.add(key);
    await clock.advance(10_000);
    const count = (key: string) => calls.filter((call) => call === key).length;
    assert.deepEqual([count("flaky"), count("hopeless"), count("periodic")], [3, 1, 3]);
    stop.abort();
    await running;
    assert.equal(clock.nextTimer(), undefined);
  });

  it("contains a reconciler that throws synchronously", async () => {
    const clock = new FakeClock();
    const queue = new RateLimitingQueue<string>({ clock });
    const stop = new AbortController();
    let calls = 0;
    const reconcile = () => {
      calls++;
      if (calls === 1) throw new Error("bug");
      return Promise.resolve(DONE);
    };
    const running = startReconciler<string>({
      name: "t",
      queue,
      clock,
      log: silentLogger,
      signal: stop.signal,
      reconciler: { reconcile },
    });
    queue.add("a");
    await clock.advance(100);
    assert.equal(calls, 2);
    stop.abort();
    await running;
  });
});
