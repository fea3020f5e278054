import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod, PodStatus } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { FakeClock, silentLogger } from "#pkg/util/index.ts";
import { StatusManager } from "../status-manager.ts";
import { container, exited, observed, pod, ran, sandbox } from "../testing/observed.ts";
import type { ObservedPod } from "./observed.ts";
import { publishStatus, withheld } from "./publisher.ts";
import { PodSubject } from "./subject.ts";
import type { WorkerDeps } from "./worker-deps.ts";

const a = container("a");
const s = sandbox("s");

test("a terminal phase waits, and what was told stands until then", () => {
  const failed: PodStatus = { phase: "Failed", reason: "DeadlineExceeded" };
  assert.equal(withheld(failed, { phase: "Running" }).phase, "Running");
  assert.equal(withheld(failed, { phase: "Running" }).reason, undefined);
  assert.equal(withheld(failed, undefined).phase, "Pending");
  assert.deepEqual(withheld(failed, { phase: "Succeeded" }), failed);
});

test("a pod that ends while its first Running is being written does not go back to Pending", async () => {
  const phases: string[] = [];
  const clock = new FakeClock();
  const known = pod({ restartPolicy: "Never", containers: [a] }, { phase: "Pending" });
  let version = Number(known.metadata.resourceVersion);
  let stored: Pod = known;
  let answer: () => void = () => undefined;
  const client = {
    patch: async (_resource: unknown, _key: unknown, _type: unknown, { status }: { status: PodStatus }) => {
      if (phases.length === 0) await new Promise<void>((resolve) => (answer = resolve));
      if (status.phase !== undefined) phases.push(status.phase);
      const metadata = { ...stored.metadata, resourceVersion: String(++version) };
      return (stored = { ...stored, metadata, status: { ...stored.status, ...status } });
    },
  } as unknown as Client;
  const { signal } = new AbortController();
  const status = new StatusManager({ client, clock, log: silentLogger, signal, onWritten: () => undefined });
  const deps = {
    status,
    clock,
    log: silentLogger,
    apiPod: () => known,
    probes: { started: () => true, ready: () => true },
    node: { hostIPs: () => ["192.0.2.1"] },
    runtimeName: () => "containerd",
    resources: {
      allocated: (given: Pod) => given,
      decorate: (_pod: Pod, given: unknown) => given,
      decoratePod: (_pod: Pod, given: unknown) => given,
      conditions: () => [],
    },
  } as unknown as WorkerDeps;
  const subject = new PodSubject(deps, known);
  const see = (seen: ObservedPod, terminal = false) =>
    publishStatus(subject, { observed: seen, verdict: undefined, terminal, rejected: false });

  see(observed([s], [ran(a, "s")]));
  const ended = observed([s], [exited(a, "s", 0)]);
  assert.equal(see(ended).phase, "Succeeded", "what is computed is not what is told");
  answer();
  await status.flush(known.metadata.uid);
  see(ended, true);
  await status.flush(known.metadata.uid);
  assert.deepEqual(phases, ["Running", "Succeeded"]);
});
