import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Lease } from "#pkg/api/types/coordination-v1.ts";
import { serviceUnavailable } from "#pkg/apimachinery/index.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { FakeClock, SeededRandom, silentLogger } from "#pkg/util/index.ts";
import { createClient } from "./client.ts";
import { LeaderElector } from "./leader-election.ts";
import { FakeApi } from "./testing/fake-api.ts";
import { directTransport } from "./transport/direct.ts";

const lease = { namespace: "kube-system", name: "kube-scheduler" };

class Candidate {
  readonly stop = new AbortController();
  leading = false;
  terms = 0;
  readonly ended: Promise<"lost" | "released">;

  constructor(api: FakeApi, clock: FakeClock, identity: string) {
    const client = createClient(directTransport(api), { userAgent: identity });
    const elector = new LeaderElector({ client, lease, identity, clock, log: silentLogger });
    this.ended = elector.run(this.stop.signal, async (signal) => {
      this.leading = true;
      this.terms++;
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      this.leading = false;
    });
  }
}
const held = (api: FakeApi) => ([...api.objects.values()] as unknown as Lease[])[0]?.spec;

describe("LeaderElector", () => {
  it("has one leader, and the next takes over as soon as it releases", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    const a = new Candidate(api, clock, "a");
    await clock.advance(100);
    const b = new Candidate(api, clock, "b");
    await clock.advance(60_000);
    assert.deepEqual([a.leading, b.leading], [true, false]);
    assert.equal(held(api)?.leaseDurationSeconds, 15);
    a.stop.abort();
    await clock.advance(0);
    assert.equal(await a.ended, "released");
    await clock.advance(100);
    assert.equal(b.leading, true, "it need not wait for its next turn");
    assert.equal(held(api)?.holderIdentity, "b");
    assert.equal(held(api)?.leaseTransitions, 1);
    b.stop.abort();
    await clock.advance(0);
    await b.ended;
  });

  it("takes over from a leader that has vanished, after its lease has run out", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    // The holder's own clock is far ahead; only what we see counts.
    const spec = { holderIdentity: "dead", leaseDurationSeconds: 15, renewTime: "2036-01-01T00:00:00.000000Z" };
    const abandoned: KubeObject = { metadata: { ...lease, uid: "l" }, spec };
    api.put("/apis/coordination.k8s.io/v1/leases", abandoned);
    const a = new Candidate(api, clock, "a");
    await clock.advance(14_000);
    assert.equal(a.leading, false);
    await clock.advance(1_100);
    assert.equal(a.leading, true);
    a.stop.abort();
    await clock.advance(0);
    await a.ended;
  });

  it("counts from the last renewal, not from when it last asked", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    const renewed = (): KubeObject => ({
      metadata: { ...lease, uid: "l" },
      spec: { holderIdentity: "other", leaseDurationSeconds: 15, renewTime: "2026-01-01T00:00:00.000000Z" },
    });
    api.put("/apis/coordination.k8s.io/v1/leases", renewed());
    const a = new Candidate(api, clock, "a");
    // Between two turns of the candidate, which come every two seconds.
    await clock.advance(9_100);
    api.put("/apis/coordination.k8s.io/v1/leases", renewed());
    await clock.advance(14_900);
    assert.equal(a.leading, false);
    await clock.advance(200);
    assert.equal(a.leading, true);
    a.stop.abort();
    await clock.advance(0);
    await a.ended;
  });

  it("stops leading when it cannot renew in time, before anybody else may lead", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    const a = new Candidate(api, clock, "a");
    await clock.advance(100);
    assert.equal(a.leading, true);
    api.intercept = () => serviceUnavailable("down");
    await clock.advance(12_500);
    assert.equal(a.leading, false);
    assert.equal(await a.ended, "lost");
    assert.equal(held(api)?.holderIdentity, "a", "the lease is left to run out");
  });

  it("never has two leaders, whatever breaks for whom", async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const api = new FakeApi();
      const clock = new FakeClock();
      const random = new SeededRandom(seed);
      const cutOff = new Set<string>();
      api.intercept = ({ headers }) =>
        cutOff.has(headers["user-agent"] ?? "") ? serviceUnavailable("cut off") : undefined;
      const names = ["a", "b", "c"];
      const candidates = new Map(names.map((name) => [name, new Candidate(api, clock, name)]));
      let terms = 0;
      for (let step = 0; step < 40; step++) {
        const name = names[random.int(names.length)]!;
        const dice = random.int(4);
        if (dice === 0) cutOff.add(name);
        else if (dice === 1) cutOff.delete(name);
        else if (dice === 2) api.dropWatches();
        for (let second = random.int(20); second >= 0; second--) {
          await clock.advance(1000);
          const leading = [...candidates].filter(([, candidate]) => candidate.leading).map(([each]) => each);
          assert.ok(leading.length <= 1, `seed ${seed}: ${leading.join(" and ")} lead at ${clock.monotonic()} ms`);
        }
        // Who has lost the lease stands again.
        for (const [each, candidate] of candidates)
          if (candidate.terms > 0 && !candidate.leading) {
            terms += candidate.terms;
            candidate.stop.abort();
            candidates.set(each, new Candidate(api, clock, each));
          }
      }
      assert.ok(terms > 0, "leadership changed hands");
      for (const candidate of candidates.values()) candidate.stop.abort();
      await clock.advance(0);
    }
  });

  it("gives the lease up when the work ends by itself", async () => {
    const api = new FakeApi();
    const clock = new FakeClock();
    const client = createClient(directTransport(api), { userAgent: "a" });
    const elector = new LeaderElector({ client, lease, identity: "a", clock, log: silentLogger });
    const running = elector.run(new AbortController().signal, () => Promise.reject(new Error("crashed")));
    const outcome = assert.rejects(running, /crashed/);
    await clock.advance(3_000);
    await outcome;
    assert.equal(elector.isLeader, false);
  });
});
