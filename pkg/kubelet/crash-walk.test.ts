import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import { isRuntimeError } from "./cri/runtime.ts";
import type { Runtime } from "./cri/runtime.ts";
import { createKubelet } from "./index.ts";
import { configBelow, podOf, startCluster, waitForPod } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";
import { startContainerd } from "./testing/containerd.ts";
import type { TestContainerd } from "./testing/containerd.ts";
import { Crash, withOutage } from "./testing/crash.ts";
import type { CrashPoint } from "./testing/crash.ts";

const NODE = "walk";
const IMAGE = "busybox:1.35";
const LIMIT_MS = 60_000;
/** Far more than a pod has; a walk that never ends is a fault of its own. */
const MAX_STEPS = 40;

interface RunningKubelet {
  stop(): Promise<void>;
  /** For one that died already. */
  abandon(): void;
}

const ready = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

/** A pod with something of everything that has to be set up and taken down again. */
const podToWalk = (name: string) =>
  podOf(name, NODE, {
    volumes: [{ name: "memory", emptyDir: { medium: "Memory" } }],
    initContainers: [{ name: "init", image: IMAGE, imagePullPolicy: "Never", command: ["true"] }],
    containers: [
      {
        name: "c",
        image: IMAGE,
        imagePullPolicy: "Never",
        command: ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
        volumeMounts: [{ name: "memory", mountPath: "/memory" }],
      },
    ],
  });

describe("a pod survives the death of its kubelet, and of its runtime", () => {
  let containerd: TestContainerd;
  let cluster: TestCluster;
  const kubelets = new Set<RunningKubelet>();
  before(async () => {
    containerd = await startContainerd("10.213.9");
    cluster = await startCluster();
  });
  after(async () => {
    for (const kubelet of kubelets) kubelet.abandon();
    try {
      await cluster.stop();
    } finally {
      await containerd.stop();
    }
  });

  function startKubelet(runtime: Runtime, client: Client): RunningKubelet {
    const { directory, cgroupRoot } = containerd;
    const abort = new AbortController();
    const config = {
      ...configBelow(directory, cgroupRoot),
      anonymousAuth: true,
      authorizationMode: "AlwaysAllow" as const,
    };
    const clock = new RealClock();
    const deps = { client, runtime, nodeName: NODE, clock, log: silentLogger, config };
    const running = createKubelet(deps).run(abort.signal);
    const kubelet: RunningKubelet = {
      async stop() {
        kubelets.delete(kubelet);
        abort.abort();
        await running;
      },
      abandon() {
        kubelets.delete(kubelet);
        abort.abort();
        running.catch(() => undefined); // it is dead: whatever it says about that, nobody hears
      },
    };
    kubelets.add(kubelet);
    return kubelet;
  }

  async function gone(name: string): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    while ((await cluster.client.list(pods, { fieldSelector: `metadata.name=${name}` })).items.length > 0) {
      assert.ok(performance.now() < end, `pod ${name} is still there`);
      await delay(20);
    }
  }

  async function tracesOf(uid: string): Promise<string[]> {
    const { runtime, directory } = containerd;
    return [
      ...(await runtime.listSandboxes({ podUid: uid })).map(({ id }) => `sandbox ${id}`),
      ...(await runtime.listContainers({ podUid: uid })).map(({ id }) => `container ${id}`),
      ...readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(uid)),
      ...[join(directory, "kubelet/pods", uid)].filter((path) => existsSync(path)),
    ];
  }

  /** Nothing may be left of a pod in the runtime, in the file system or among the mounts. */
  async function assertNoTrace(uid: string): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    for (;;) {
      const left = await tracesOf(uid).catch((error: unknown) => {
        if (isRuntimeError(error, "Unavailable")) return ["what the runtime has, which is away"];
        throw error;
      });
      if (left.length === 0) return;
      assert.ok(performance.now() < end, `left over: ${left.join(", ")}`);
      await delay(50);
    }
  }

  /** Each container has run once, in the pod's only sandbox. */
  async function assertUnharmed(pod: Pod, died: string | undefined): Promise<void> {
    const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
    assert.deepEqual(
      statuses.map(({ name: container, restartCount }) => [container, restartCount]),
      [
        ["init", 0],
        ["c", 0],
      ],
      `died at ${died}`,
    );
    const sandboxes = await containerd.runtime.listSandboxes({ podUid: pod.metadata.uid });
    assert.equal(sandboxes.filter(({ state }) => state === "Ready").length, 1, `died at ${died}`);
  }

  /** Lets a pod live from creation to removal while its kubelet dies at the point. Answers where that was. */
  async function live(name: string, point: CrashPoint): Promise<string | undefined> {
    const crash = new Crash(containerd.runtime, cluster.client, point);
    const first = startKubelet(crash.runtime, crash.client);
    const { uid } = (await cluster.client.create(pods, podToWalk(name))).metadata;
    let died = await Promise.race([crash.happened, waitForPod(cluster.client, name, ready).then(() => undefined)]);
    const diedBeforeReady = died !== undefined;
    let second: RunningKubelet | undefined;
    const takeOver = () => {
      first.abandon();
      second = startKubelet(containerd.runtime, cluster.client);
    };
    if (diedBeforeReady) takeOver();
    const pod = await waitForPod(cluster.client, name, ready);
    await assertUnharmed(pod, died);
    await cluster.client.delete(pods, { namespace: "default", name });
    const removed = gone(name).then(() => assertNoTrace(uid));
    if (!diedBeforeReady) {
      died = await Promise.race([crash.happened, removed.then(() => undefined)]);
      if (died !== undefined) takeOver();
    }
    await removed;
    await (second ?? first).stop();
    return died;
  }

  /** Lets a pod live while containerd is killed, and started again, at the point. Answers where that was. */
  async function liveWithOutage(name: string, point: CrashPoint): Promise<string | undefined> {
    const { runtime, happened } = withOutage(containerd.runtime, point, async () => {
      await containerd.kill();
      await containerd.start();
    });
    const kubelet = startKubelet(runtime, cluster.client);
    const { uid } = (await cluster.client.create(pods, podToWalk(name))).metadata;
    await assertUnharmed(await waitForPod(cluster.client, name, ready), happened());
    await cluster.client.delete(pods, { namespace: "default", name });
    await gone(name);
    await assertNoTrace(uid);
    await kubelet.stop();
    return happened();
  }

  async function walk(one: (step: number) => Promise<string | undefined>): Promise<void> {
    const points: string[] = [];
    for (let step = 1; ; step++) {
      assert.ok(step <= MAX_STEPS, points.join(", "));
      const died = await one(step);
      if (died === undefined) break;
      points.push(died);
    }
    // The walk came through all of a pod's life.
    for (const name of ["runSandbox", "createContainer", "startContainer", "stopContainer", "stopSandbox"])
      assert.ok(points.includes(name), `${name} is not among ${points.join(", ")}`);
  }

  for (const when of ["before", "after"] as const)
    test(`killed ${when} each call that changes the runtime: nothing restarted, nothing leaked`, () =>
      walk((step) => live(`walk-${when}-${step}`, { step, when })));

  test("its runtime killed at each of these calls: nothing restarted, nothing leaked", () =>
    walk((step) => liveWithOutage(`outage-${step}`, { step, when: "after" })));
});
