import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { conflict } from "#pkg/apimachinery/index.ts";
import { FakeClock } from "#pkg/util/index.ts";
import { EventInterner } from "./event-interner.ts";
import { Expectations } from "./expectations.ts";
import { LineSplitter } from "./lines.ts";
import { AbortFanout } from "./transport/abort.ts";
import { retryOnConflict, waitFor } from "./wait.ts";

describe("Expectations", () => {
  it("holds until every creation and deletion was seen", () => {
    const expectations = new Expectations(new FakeClock());
    assert.ok(expectations.satisfied("rs"));
    expectations.expectCreations("rs", 2);
    expectations.expectDeletions("rs", ["a"]);
    expectations.creationObserved("rs");
    expectations.creationObserved("rs");
    assert.ok(!expectations.satisfied("rs"));
    expectations.deletionObserved("rs", "somebody else's");
    assert.ok(!expectations.satisfied("rs"));
    expectations.deletionObserved("rs", "a");
    assert.ok(expectations.satisfied("rs"));
    expectations.creationObserved("rs");
    expectations.expectCreations("rs", 1);
    assert.ok(!expectations.satisfied("rs"), "an observation too many does not count for later");
  });
  it("gives up after five minutes", async () => {
    const clock = new FakeClock();
    const expectations = new Expectations(clock);
    assert.equal(expectations.expiresInMs("rs"), undefined);
    expectations.expectCreations("rs", 1);
    await clock.advance(1000);
    await clock.advance(expectations.expiresInMs("rs")! - 1);
    assert.ok(!expectations.satisfied("rs"));
    await clock.advance(1);
    assert.ok(expectations.satisfied("rs"));
    assert.equal(expectations.expiresInMs("rs"), undefined);
  });
});

describe("LineSplitter", () => {
  it("finds the same lines however the bytes are cut", () => {
    const text = '{"a":"é"}\n\n{"b":"日本"}\nlast';
    const bytes = Buffer.from(text);
    for (let size = 1; size <= bytes.length; size++) {
      const splitter = new LineSplitter();
      const lines: Buffer[] = [];
      for (let i = 0; i < bytes.length; i += size) lines.push(...splitter.push(bytes.subarray(i, i + size)));
      lines.push(...splitter.end());
      assert.deepEqual(lines.map(String), ['{"a":"é"}', '{"b":"日本"}', "last"]);
    }
  });
});

describe("waiting", () => {
  it("asks until the condition holds, or time is up", async () => {
    const clock = new FakeClock();
    let asked = 0;
    const waiting = waitFor(() => (++asked === 3 ? "done" : undefined), { clock, intervalMs: 100, timeoutMs: 1_000 });
    await clock.advance(250);
    assert.equal(await waiting, "done");
    const failing = assert.rejects(
      waitFor(() => false, { clock, intervalMs: 100, timeoutMs: 1_000 }),
      /timed out after 1000 ms/,
    );
    await clock.advance(1_100);
    await failing;
  });
  it("repeats what met a newer version, five times at most", async () => {
    const clock = new FakeClock();
    let attempts = 0;
    const conflicting = () => {
      attempts++;
      return Promise.reject(conflict({ group: "", resource: "pods" }, "p", "newer"));
    };
    const failing = assert.rejects(retryOnConflict(clock, conflicting), /newer/);
    await clock.advance(1_000);
    await failing;
    assert.equal(attempts, 5);
  });
});

describe("AbortFanout", () => {
  it("keeps one listener per signal, and none when nobody waits", () => {
    const fanout = new AbortFanout();
    const stop = new AbortController();
    const called: number[] = [];
    const removers = [1, 2, 3].map((i) => fanout.on(stop.signal, () => called.push(i)));
    removers[1]!();
    stop.abort();
    assert.deepEqual(called, [1, 3]);
    fanout.on(stop.signal, () => called.push(4));
    assert.deepEqual(called, [1, 3, 4], "an aborted signal calls at once");
  });
});

describe("EventInterner", () => {
  it("gives the same object for the same bytes", () => {
    const interner = new EventInterner();
    const line = '{"type":"ADDED","object":{"metadata":{"name":"a"}}}';
    assert.equal(interner.parse(line), interner.parse(`${line}`));
    assert.notEqual(interner.parse(line), interner.parse(line.replace("a", "b")));
  });
});
