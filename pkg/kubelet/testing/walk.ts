/** Lets pods live from creation to removal while their kubelet or their runtime is killed at each step of the way. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import type { Client } from "#pkg/client/index.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import { isRuntimeError } from "../cri/runtime.ts";
import type { Runtime } from "../cri/runtime.ts";
import { wrapped } from "../cri/wrapped.ts";
import { createKubelet } from "../index.ts";
import { configBelow, podOf, startCluster, waitForPod } from "./cluster.ts";
import type { TestCluster } from "./cluster.ts";
import { Crash, withOutage } from "./crash.ts";
import type { CrashPoint } from "./crash.ts";
import { isReady } from "./node.ts";
import type { TestDaemon } from "./node.ts";
import { cgroupsNamed } from "./traces.ts";

const NODE = "walk";
const IMAGE = "busybox:1.35";
/** Of one step, on a machine that is busy with others. */
const LIMIT_MS = 120_000;
/** Far more than a pod has; a walk that never ends is a fault of its own. */
const MAX_STEPS = 40;

interface RunningKubelet {
  stop(): Promise<void>;
  /** For one that died already. */
  abandon(): void;
}

const open = (gate: string): void => writeFileSync(join(gate, "open"), "");

/**
 * A pod with something of everything that has to be set up and taken down again. Its init container ends once the directory
 * `gate` has a file "open".
 */
const podToWalk = (name: string, gate: string) =>
  podOf(name, NODE, {
    volumes: [
      { name: "memory", emptyDir: { medium: "Memory" } },
      { name: "gate", hostPath: { path: gate } },
    ],
    initContainers: [
      {
        name: "init",
        image: IMAGE,
        imagePullPolicy: "Never",
        command: ["sh", "-c", "until [ -e /gate/open ]; do sleep 0.02; done"],
        volumeMounts: [{ name: "gate", mountPath: "/gate" }],
      },
    ],
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

export class CrashWalk {
  readonly #daemon: TestDaemon;
  readonly #cluster: TestCluster;
  readonly #kubelets = new Set<RunningKubelet>();

  constructor(daemon: TestDaemon, cluster: TestCluster) {
    this.#daemon = daemon;
    this.#cluster = cluster;
  }

  static async begin(daemon: Promise<TestDaemon>): Promise<CrashWalk> {
    return new CrashWalk(await daemon, await startCluster());
  }
  async end(): Promise<void> {
    for (const kubelet of this.#kubelets) kubelet.abandon();
    try {
      await this.#cluster.stop();
    } finally {
      await this.#daemon.stop();
    }
  }

  #startKubelet(runtime: Runtime, client: Client): RunningKubelet {
    const { directory, cgroupRoot } = this.#daemon;
    const abort = new AbortController();
    const config = configBelow(directory, cgroupRoot);
    const clock = new RealClock();
    const deps = { client, runtime, nodeName: NODE, clock, log: silentLogger, config };
    const running = createKubelet(deps).run(abort.signal);
    const kubelets = this.#kubelets;
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

  async #gone(name: string): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    while ((await this.#cluster.client.list(pods, { fieldSelector: `metadata.name=${name}` })).items.length > 0) {
      assert.ok(performance.now() < end, `pod ${name} is still there`);
      await delay(20);
    }
  }

  async #tracesOf(uid: string): Promise<string[]> {
    const { runtime, directory } = this.#daemon;
    return [
      ...(await runtime.listSandboxes({ podUid: uid })).map(({ id }) => `sandbox ${id}`),
      ...(await runtime.listContainers({ podUid: uid })).map(({ id }) => `container ${id}`),
      ...readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(uid)),
      ...[join(directory, "kubelet/pods", uid)].filter((path) => existsSync(path)),
      ...cgroupsNamed(this.#daemon.cgroupRoot, `pod${uid}`),
    ];
  }

  /** Nothing may be left of a pod in the runtime, in the file system or among the mounts. */
  async #assertNoTrace(uid: string): Promise<void> {
    const end = performance.now() + LIMIT_MS;
    for (;;) {
      const left = await this.#tracesOf(uid).catch((error: unknown) => {
        if (isRuntimeError(error, "Unavailable")) return ["what the runtime has, which is away"];
        throw error;
      });
      if (left.length === 0) return;
      assert.ok(performance.now() < end, `left over: ${left.join(", ")}`);
      await delay(50);
    }
  }

  /** Each container has run once, in the pod's only sandbox. */
  async #assertUnharmed(pod: Pod, died: string | undefined): Promise<void> {
    const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
    assert.deepEqual(
      statuses.map(({ name: container, restartCount }) => [container, restartCount]),
      [
        ["init", 0],
        ["c", 0],
      ],
      `died at ${died}`,
    );
    const sandboxes = await this.#daemon.runtime.listSandboxes({ podUid: pod.metadata.uid });
    assert.equal(sandboxes.filter(({ state }) => state === "Ready").length, 1, `died at ${died}`);
  }

  #gateOf(name: string): string {
    const gate = join(this.#daemon.directory, "gates", name);
    mkdirSync(gate, { recursive: true });
    return gate;
  }

  /** Lets a pod live from creation to removal while its kubelet dies at the point. Answers where that was. */
  async live(name: string, point: CrashPoint): Promise<string | undefined> {
    const gate = this.#gateOf(name);
    open(gate); // its init container ends whenever it likes
    const crash = new Crash(this.#daemon.runtime, this.#cluster.client, point);
    const first = this.#startKubelet(crash.runtime, crash.client);
    const { uid } = (await this.#cluster.client.create(pods, podToWalk(name, gate))).metadata;
    let died = await Promise.race([
      crash.happened,
      waitForPod(this.#cluster.client, name, isReady, LIMIT_MS).then(() => undefined),
    ]);
    const diedBeforeReady = died !== undefined;
    let second: RunningKubelet | undefined;
    const takeOver = () => {
      first.abandon();
      second = this.#startKubelet(this.#daemon.runtime, this.#cluster.client);
    };
    if (diedBeforeReady) takeOver();
    const pod = await waitForPod(this.#cluster.client, name, isReady, LIMIT_MS);
    await this.#assertUnharmed(pod, died);
    await this.#cluster.client.delete(pods, { namespace: "default", name });
    const removed = this.#gone(name).then(() => this.#assertNoTrace(uid));
    if (!diedBeforeReady) {
      died = await Promise.race([crash.happened, removed.then(() => undefined)]);
      if (died !== undefined) takeOver();
    }
    await removed;
    await (second ?? first).stop();
    return died;
  }

  /**
   * Lets a pod live while its runtime is killed, and started again, at the point. Answers where that was. No container
   * ends just then: a dockerd that dies between hearing of an end and writing it down has lost the exit code for good (it says
   * 255), and to run such an init container once more is right.
   */
  async liveWithOutage(name: string, point: CrashPoint): Promise<string | undefined> {
    const gate = this.#gateOf(name);
    const { runtime, happened } = withOutage(this.#daemon.runtime, point, async () => {
      await this.#daemon.kill();
      await this.#daemon.start();
    });
    const opening = wrapped(runtime, (step, call) =>
      step === "startContainer" ? (call() as Promise<unknown>).finally(() => open(gate)) : call(),
    );
    const kubelet = this.#startKubelet(opening, this.#cluster.client);
    const { uid } = (await this.#cluster.client.create(pods, podToWalk(name, gate))).metadata;
    await this.#assertUnharmed(await waitForPod(this.#cluster.client, name, isReady, LIMIT_MS), happened());
    await this.#cluster.client.delete(pods, { namespace: "default", name });
    await this.#gone(name);
    await this.#assertNoTrace(uid);
    await kubelet.stop();
    return happened();
  }

  /** From the first step to the last. */
  async walk(one: (step: number) => Promise<string | undefined>): Promise<void> {
    const points: string[] = [];
    try {
      for (let step = 1; ; step++) {
        assert.ok(step <= MAX_STEPS, points.join(", "));
        const died = await one(step);
        if (died === undefined) break;
        points.push(died);
      }
    } finally {
      // A kubelet that a failed step left behind must not interfere with the next walk.
      for (const kubelet of this.#kubelets) kubelet.abandon();
    }
    // The walk came through all of a pod's life.
    for (const name of ["runSandbox", "createContainer", "startContainer", "stopContainer", "stopSandbox"])
      assert.ok(points.includes(name), `${name} is not among ${points.join(", ")}`);
  }
}
