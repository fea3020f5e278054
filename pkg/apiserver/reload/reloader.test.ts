import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { Reloader } from "./index.ts";

test("follows a file: what is good comes into force once, what is bad is counted once", async () => {
  const clock = new FakeClock();
  let text: string | Error = "one";
  const applied: string[] = [];
  const reloader = new Reloader(
    {
      subsystem: "authorization_config_controller",
      serverId: "me",
      read: async () => {
        if (text instanceof Error) throw text;
        return text;
      },
      apply: async (given) => {
        if (given === "bad") throw new TypeError("kind: Required value");
        applied.push(given);
      },
      clock,
      log: silentLogger,
    },
    "one",
  );
  const metric = (name: string): string[] =>
    reloader
      .metrics()
      .split("\n")
      .filter((line) => line.startsWith(`apiserver_authorization_config_controller_${name}{`))
      .map((line) => line.replace(/apiserver_id_hash="sha256:[0-9a-f]{64}",/, "").replace(/^[^{]*/, ""));
  const stop = new AbortController();
  const running = reloader.run(stop.signal);
  const next = async (value: string | Error): Promise<void> => {
    text = value;
    await clock.advance(1000);
    await clock.advance(1000);
  };
  await next("one");
  assert.deepEqual(metric("automatic_reloads_total"), []);
  const before = metric("last_config_info");
  await next("bad");
  assert.deepEqual(metric("last_config_info"), before);
  await next("two");
  assert.notDeepEqual(metric("last_config_info"), before);
  await next(new Error("ENOENT"));
  await next("two");
  await next("one");
  assert.deepEqual(applied, ["two", "two", "one"]);
  assert.deepEqual(metric("automatic_reloads_total"), ['{status="failure"} 2', '{status="success"} 3']);
  assert.deepEqual(metric("last_config_info"), before);
  assert.match(metric("automatic_reload_last_timestamp_seconds")[1]!, /^\{status="success"\} \d+/);
  stop.abort();
  await running;
});
