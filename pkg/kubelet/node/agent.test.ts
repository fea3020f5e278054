import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { DEFAULT_CONFIG } from "../config.ts";
import { NodeAgent } from "./agent.ts";

type Status = NonNullable<Node["status"]>;

/** What is told of a node that was last seen with the status `before` and computes `now`. */
async function told(before: Status, now: Status): Promise<string[]> {
  const events: string[] = [];
  const stop = new AbortController();
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n", uid: "u" }, status: before } as Node;
  const client = {
    get: () => Promise.resolve({}),
    update: () => Promise.resolve({}),
    updateStatus: () => Promise.resolve(node),
  } as unknown as Client;
  const agent = new NodeAgent({
    client,
    clock: new FakeClock(),
    log: silentLogger,
    config: { ...DEFAULT_CONFIG, registerNode: false },
    nodeName: "n",
    hostname: "n",
    architecture: "amd64",
    node: () => node,
    // One more condition ends the round.
    computeStatus: () => Promise.resolve({ ...now, conditions: [...(now.conditions ?? []), LAST] }),
    onRegistered: () => undefined,
    onStart: () => events.push("start"),
    onCondition: (type, status) => {
      if (type === LAST.type) stop.abort();
      else events.push(`${type}=${status}`);
    },
    onReboot: (bootID) => events.push(`boot ${bootID}`),
  });
  await agent.run(stop.signal);
  return events;
}

const LAST = { type: "Last", status: "True" } as const;
const boot = (bootID: string) => ({ nodeInfo: { bootID } as Status["nodeInfo"] }) as Status;
const ready = (status: string): Status => ({ conditions: [{ type: "Ready", status }] });

test("a machine that was started anew is told of, one that is new or goes on is not", async () => {
  assert.deepEqual(await told(boot("a"), boot("b")), ["start", "boot b"]);
  assert.deepEqual(await told(boot("b"), boot("b")), ["start"]);
  assert.deepEqual(await told(boot(""), boot("b")), ["start"]);
});

test("readiness is told of when it is another than before, pressure at first, too", async () => {
  assert.deepEqual(await told({}, ready("False")), ["start"]);
  assert.deepEqual(await told(ready("True"), ready("True")), ["start"]);
  assert.deepEqual(await told(ready("Unknown"), ready("True")), ["start", "Ready=True"]);
  const calm: Status = { conditions: [{ type: "MemoryPressure", status: "False" }] };
  assert.deepEqual(await told(calm, calm), ["start", "MemoryPressure=False"]);
});
