import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#pkg/api/types/core-v1.ts";
import { alreadyExists } from "#pkg/apimachinery/index.ts";
import type { Client } from "#pkg/client/index.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { DEFAULT_CONFIG } from "../config.ts";
import { NodeAgent, type NodeAgentDeps } from "./agent.ts";

type Status = NonNullable<Node["status"]>;

function agentOf(client: Client, node: Node, deps: Partial<NodeAgentDeps>): NodeAgent {
  return new NodeAgent({
    client,
    clock: new FakeClock(),
    log: silentLogger,
    config: { ...DEFAULT_CONFIG, registerNode: false },
    nodeName: "n",
    hostname: "n",
    architecture: "amd64",
    node: () => node,
    computeStatus: () => Promise.resolve({}),
    onRegistered: () => undefined,
    onStart: () => undefined,
    onCondition: () => undefined,
    onReboot: () => undefined,
    ...deps,
  });
}

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
  const agent = agentOf(client, node, {
    // One more condition ends the round.
    computeStatus: () => Promise.resolve({ ...now, conditions: [...(now.conditions ?? []), LAST] }),
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

test("a node brings its CSINode, and takes over the one that an earlier node of its name has left", async () => {
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: "n", uid: "u" } } as Node;
  for (const left of [false, true]) {
    const stop = new AbortController();
    const written: unknown[] = [];
    const client = {
      create: ({ kind }: { kind: string }, { metadata }: { metadata: object }) => {
        if (kind === "Node") return Promise.resolve(node);
        written.push(metadata);
        return left ? Promise.reject(alreadyExists({ group: "storage.k8s.io", resource: "csinodes" }, "n")) : metadata;
      },
      patch: (_kind: unknown, _key: unknown, _type: unknown, { metadata }: { metadata: object }) => {
        written.push(metadata);
        return Promise.resolve({});
      },
    } as unknown as Client;
    const ended = () => stop.abort();
    await agentOf(client, node, { config: DEFAULT_CONFIG, onStart: ended }).run(stop.signal);
    const ownerReferences = [{ apiVersion: "v1", kind: "Node", name: "n", uid: "u" }];
    assert.deepEqual(written, [{ name: "n", ownerReferences }, ...(left ? [{ ownerReferences }] : [])]);
  }
});
