import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import { TokenCache } from "./tokens.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
let clock: FakeClock;
let tokens: TokenCache;
let requests: number;

beforeEach(() => {
  clock = new FakeClock();
  tokens = new TokenCache({ clock });
  requests = 0;
});
const get = (lifetimeMs = HOUR_MS) =>
  tokens.get("uid", undefined, lifetimeMs / 1000, () => Promise.resolve({ token: String(++requests), lifetimeMs }));

test("a token is used until a fifth of its life is left, and no longer than a day", async () => {
  const first = await get();
  assert.deepEqual(first, { token: "1", renewAt: clock.now() + 48 * MINUTE_MS });
  await clock.advance(47 * MINUTE_MS);
  assert.deepEqual(await get(), first);
  await clock.advance(MINUTE_MS);
  assert.equal((await get()).token, "2");
  const long = await get(240 * HOUR_MS);
  assert.equal(long.renewAt, clock.now() + 24 * HOUR_MS);
});

test("a clock that is set costs one renewal at most, wherever it stands beside the API server's", async () => {
  await get();
  for (const hours of [6, 6, -12, -6, 6]) {
    const before = requests;
    clock.set(clock.now() + hours * HOUR_MS);
    for (let resync = 0; resync < 30; resync++) {
      const { renewAt } = await get();
      assert.ok(renewAt > clock.now() && renewAt <= clock.now() + 48 * MINUTE_MS, `${hours} h: due ${renewAt}`);
      await clock.advance(1000);
    }
    assert.ok(requests - before <= 1, `${requests - before} requests after ${hours} h`);
  }
});

test("a clock that was set back does not let a token expire", async () => {
  await get();
  clock.set(clock.now() - 6 * HOUR_MS);
  await clock.advance(50 * MINUTE_MS);
  assert.equal((await get()).token, "2");
});
