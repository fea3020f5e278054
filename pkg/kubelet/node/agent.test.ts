import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { DEFAULT_CONFIG } from "../config.ts";
import { NodeAgent } from "./agent.ts";

/** What a node that was last seen with `before` says of a machine that now has the boot id `now`. */
async function rebootsTold(before: string, now: string): Promise<string[]> {
  const told: string[] = [];
  const stop = new AbortController();
  const info = (bootID: string) => ({ nodeInfo: { bootID } as NonNullable<Node["status"]>["nodeInfo"] });
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n", uid: "u" }, status: info(before) } as Node;
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
    computeStatus: () => Promise.resolve({ ...info(now), conditions: [{ type: "Ready", status: "True" }] }),
    onRegistered: () => undefined,
    // The last of a round.
    onCondition: () => stop.abort(),
    onReboot: (bootID) => told.push(bootID),
  });
  await agent.run(stop.signal);
  return told;
}

test("a machine that was started anew is told of, one that is new or goes on is not", async () => {
  assert.deepEqual(await rebootsTold("a", "b"), ["b"]);
  assert.deepEqual(await rebootsTold("b", "b"), []);
  assert.deepEqual(await rebootsTold("", "b"), []);
});
