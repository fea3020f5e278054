import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "#pkg/util/index.ts";
import type { NonResourceContext } from "../pipeline.ts";
import { HealthChecks } from "./health.ts";

/** What a path answers: status and text. */
async function ask(health: HealthChecks, path: string): Promise<[number, string]> {
  const answers: [number, string][] = [];
  const [pathname = "", query] = path.split("?");
  const target = { path: pathname, query: new URLSearchParams(query) };
  const response = {
    send: (status: number, _headers: object, body: Buffer) => answers.push([status, body.toString()]),
  };
  assert.equal(await health.serve({ target, response } as unknown as NonResourceContext), true);
  return answers[0]!;
}

test("a check that fails, throws or never answers fails its endpoints by name", async () => {
  const clock = new FakeClock();
  const health = new HealthChecks(clock);
  health.add("ping", () => undefined);
  let problem: string | undefined = "not yet";
  health.add("etcd", () => problem, ["readyz"]);
  assert.deepEqual(await ask(health, "/livez"), [200, "ok"]);
  assert.deepEqual(await ask(health, "/readyz"), [
    500,
    "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n",
  ]);
  assert.deepEqual(await ask(health, "/readyz?exclude=etcd"), [200, "ok"]);
  assert.deepEqual(await ask(health, "/readyz/etcd"), [500, "internal server error: not yet\n"]);
  problem = undefined;
  assert.deepEqual(await ask(health, "/readyz?verbose"), [200, "[+]ping ok\n[+]etcd ok\nreadyz check passed\n"]);

  health.add("etcd", () => Promise.reject(new Error("the SQLite thread failed")), ["readyz"]);
  assert.deepEqual(await ask(health, "/readyz/etcd"), [500, "internal server error: the SQLite thread failed\n"]);

  health.add("etcd", () => new Promise(() => undefined), ["readyz"]);
  const hanging = ask(health, "/readyz/etcd");
  await clock.advance(2000);
  assert.deepEqual(await hanging, [500, "internal server error: no answer within 2000 ms\n"]);
  const lines = health.metrics().split("\n");
  for (const line of [
    'kubernetes_healthcheck{name="etcd",type="readyz"} 0',
    'kubernetes_healthcheck{name="ping",type="livez"} 1',
    'kubernetes_healthchecks_total{name="etcd",type="readyz",status="success"} 1',
    'kubernetes_healthchecks_total{name="etcd",type="readyz",status="error"} 4',
  ])
    assert.ok(lines.includes(line), `${line} is not in\n${lines.join("\n")}`);
});
