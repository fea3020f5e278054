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

/** A pod whose statuses are written by hand: each write waits until it is let through. */
function startSubject() {
  const clock = new FakeClock();
  const known = pod({ restartPolicy: "Never", containers: [a] }, { phase: "Pending" });
  const { uid } = known.metadata;
  const written: PodStatus[] = [];
  let stored: Pod = known;
  let through: () => void = () => undefined;
  let held = true;
  const client = {
    patch: async (_resource: unknown, _key: unknown, _type: unknown, { status }: { status: PodStatus }) => {
      if (held) await new Promise<void>((resolve) => (through = resolve));
      written.push(status);
      const resourceVersion = String(Number(stored.metadata.resourceVersion) + 1);
      stored = {
        ...stored,
        metadata: { ...stored.metadata, resourceVersion },
        status: { ...stored.status, ...status },
      };
      return stored;
    },
  } as unknown as Client;
  const { signal } = new AbortController();
  const status = new StatusManager({ client, clock, log: silentLogger, signal, onWritten: () => undefined });
  const subject = new PodSubject(
    {
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
    } as unknown as WorkerDeps,
    known,
  );
  return {
    see: (seen: ObservedPod, terminal = false) =>
      publishStatus(subject, { observed: seen, verdict: undefined, terminal, rejected: false }),
    /** Lets this write and all later ones through; the phases that were written, and the last word of the container. */
    settle: async () => {
      held = false;
      through();
      await status.flush(uid);
      return {
        phases: written.flatMap(({ phase }) => (phase === undefined ? [] : [phase])),
        message: stored.status?.containerStatuses?.[0]?.state?.terminated?.message,
      };
    },
  };
}

test("a pod that ends while its first Running is being written does not go back to Pending", async () => {
  const { see, settle } = startSubject();
  see(observed([s], [ran(a, "s")]));
  const ended = observed([s], [exited(a, "s", 0)]);
  assert.equal(see(ended).phase, "Succeeded", "what is computed is not what is told");
  await settle();
  see(ended, true);
  assert.deepEqual((await settle()).phases, ["Running", "Succeeded"]);
});

test("a container's last words outlive their file, be the write that tells them still on its way", async () => {
  const { see, settle } = startSubject();
  see(observed([s], [ran(a, "s")]));
  see(observed([s], [exited(a, "s", 0, { message: "done" })]));
  see(observed([s], [exited(a, "s", 0)]), true);
  assert.deepEqual(await settle(), { phases: ["Running", "Succeeded"], message: "done" });
});
