import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { leases, pods, secrets } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { IMAGES, startContainerd } from "./testing/containerd.ts";
import { Gate } from "./testing/gate.ts";
import { busybox, isReady, startTestBed } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";
import { RealClock } from "#pkg/util/index.ts";
import { startTestRegistry } from "./testing/registry.ts";
import type { TestRegistry } from "./testing/registry.ts";

const MAX_PIDS = 64;
const HOUR_MS = 3_600_000;

/** A clock of the day that may be set. */
class SettableClock extends RealClock {
  aheadMs = 0;
  override now(): number {
    return super.now() + this.aheadMs;
  }
}
const statusOf = (pod: Pod) => pod.status?.containerStatuses?.[0];
const waitingFor = (pod: Pod) => statusOf(pod)?.state?.waiting?.reason;

describe("the node survives", () => {
  let bed: TestBed;
  let node: TestNode;
  let gate: Gate;
  let registry: TestRegistry;
  const clock = new SettableClock();
  before(async () => {
    registry = await startTestRegistry(IMAGES.busybox);
    bed = await startTestBed(startContainerd("10.214.9"), {
      name: "f1",
      kubeletClient: (client) => (gate = new Gate(client)).client,
      config: () => ({ podPidsLimit: MAX_PIDS }),
      clock,
    });
    node = bed.node;
  });
  after(async () => {
    await bed?.stop();
    await registry?.stop();
  });

  test("an API server that is away: pods run on, probes and restarts go on, all of it is told afterwards", async () => {
    // Breaks once, two seconds after its start.
    const script =
      "[ -e /data/once ] && exec sleep 1000; touch /data/once; sleep 2; touch /tmp/broken; exec sleep 1000";
    const livenessProbe = {
      exec: { command: ["test", "!", "-e", "/tmp/broken"] },
      periodSeconds: 1,
      failureThreshold: 1,
    };
    await node.create("steady", busybox("exec sleep 1000"));
    await node.create("doomed", busybox("exec sleep 1000"));
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    await node.create("probed", busybox(script, { livenessProbe, volumeMounts }), {
      volumes: [{ name: "data", emptyDir: {} }],
    });
    const steady = await node.wait("steady", isReady);
    const doomed = await node.wait("doomed", isReady);
    const probed = await node.wait("probed", isReady);
    gate.close();
    const { name } = await bed.client.get(leases, { namespace: "kube-node-lease", name: "f1" }).then((l) => l.metadata);
    const renewed = async () =>
      (await bed.client.get(leases, { namespace: "kube-node-lease", name })).spec?.renewTime ?? "";
    const before = await renewed();
    // Wanted meanwhile: one pod less, one more.
    await bed.client.delete(pods, { namespace: "default", name: "doomed" });
    await node.create("later", busybox("exec sleep 1000"));
    await node.eventually("the container is restarted although nobody can be told", async () => {
      const containers = await bed.daemon.runtime.listContainers({ podUid: probed.metadata.uid });
      return containers.some(({ metadata, state }) => metadata.attempt === 1 && state === "Running");
    });
    assert.equal(statusOf(await node.wait("probed", () => true))?.restartCount, 0, "the API does not know yet");
    const running = await bed.daemon.runtime.listContainers({ podUid: doomed.metadata.uid });
    assert.equal(running[0]?.state, "Running", "what is wanted now, the node cannot know either");
    gate.open();
    await node.wait("probed", (pod) => statusOf(pod)?.restartCount === 1 && isReady(pod));
    await node.wait("later", isReady);
    await node.eventually("the pod deleted meanwhile goes", async () => {
      const left = await bed.daemon.runtime.listSandboxes({ podUid: doomed.metadata.uid });
      return left.length === 0;
    });
    await node.eventually("the lease is renewed again", async () => (await renewed()) > before);
    const still = await node.wait("steady", isReady);
    assert.equal(statusOf(still)?.containerID, statusOf(steady)?.containerID);
    assert.equal(statusOf(still)?.restartCount, 0);
    for (const gone of ["steady", "probed", "later"]) await node.delete(gone);
  });

  test("a clock that is set, forward and back: containers and probes go on, pods come and go", async () => {
    const readinessProbe = { exec: { command: ["test", "-e", "/tmp/ready"] }, periodSeconds: 1 };
    await node.create("steady", busybox("touch /tmp/ready; exec sleep 1000", { readinessProbe }));
    await node.create("crashing", busybox("sleep 1; exit 1"));
    const steady = await node.wait("steady", isReady);
    const [running] = await bed.daemon.runtime.listContainers({ podUid: steady.metadata.uid });
    let ready = true;
    for (const [index, aheadMs] of [24 * HOUR_MS, -24 * HOUR_MS, 0].entries()) {
      clock.aheadMs = aheadMs;
      // The probe still runs, and what it finds is told.
      ready = !ready;
      await bed.daemon.runtime.execSync(running!.id, [ready ? "touch" : "rm", "/tmp/ready"], 10);
      await node.wait("steady", (pod) => isReady(pod) === ready);
      const name = `meanwhile-${index}`;
      await node.create(name, busybox("exec sleep 1000"));
      await node.wait(name, isReady);
      await node.delete(name, { gracePeriodSeconds: 0 });
    }
    await node.wait("crashing", (pod) => (statusOf(pod)?.restartCount ?? 0) > 0);
    assert.equal(statusOf(await node.wait("steady", () => true))?.restartCount, 0);
    for (const gone of ["steady", "crashing"]) await node.delete(gone, { gracePeriodSeconds: 0 });
  });

  test("a fork bomb stays inside its pod's limit, and goes with it", async () => {
    // Whoever still can has two more, and stays: the pod is at its limit until it goes.
    const bomb = "b() { b 2>/dev/null & b 2>/dev/null & exec sleep 1000; }; b";
    const pod = await node.create("bomb", busybox(bomb, { resources: { limits: { cpu: "100m", memory: "64Mi" } } }));
    await node.eventually("the bomb has gone off", async () => {
      const { status, body } = await node.get("/stats/summary");
      if (status !== 200) return false;
      const { pods } = JSON.parse(body) as {
        pods: { podRef: { uid: string }; process_stats?: { process_count: number } }[];
      };
      const count = pods.find(({ podRef }) => podRef.uid === pod.metadata.uid)?.process_stats?.process_count ?? 0;
      assert.ok(count <= MAX_PIDS, `${count} processes`);
      return count > MAX_PIDS / 2;
    });
    await node.create("neighbour", busybox("exec sleep 1000"));
    await node.wait("neighbour", isReady);
    await node.delete("bomb");
    assert.equal(await node.condition("Ready"), "True");
    await node.delete("neighbour");
  });

  test("hostile arguments are arguments, or refused: no shell sees them, the container runs on", async () => {
    await node.create("target", busybox("exec sleep 1000"));
    const before = await node.wait("target", isReady);
    const [container] = await bed.daemon.runtime.listContainers({ podUid: before.metadata.uid });
    const { id } = container!;
    const hostile = ["a b", "$(id)", "`id`", "; reboot", "\n", "--", "-x", "é\u202e", "%s%n", ""];
    const { stdout, exitCode } = await bed.daemon.runtime.execSync(id, ["printf", "[%s]", ...hostile], 10);
    assert.equal(exitCode, 0);
    assert.equal(Buffer.from(stdout).toString(), hostile.map((word) => `[${word}]`).join(""));
    const refusedOnes = [["echo", "x".repeat(200_000)], ["no\0such"], ["/no/such/program"], []];
    for (const command of refusedOnes) await assert.rejects(bed.daemon.runtime.execSync(id, command, 10));
    const again = await bed.daemon.runtime.execSync(id, ["echo", "alive"], 10);
    assert.equal(Buffer.from(again.stdout).toString(), "alive\n");
    assert.equal(statusOf(await node.wait("target", isReady))?.restartCount, 0);
    await node.delete("target");
  });

  test("a pod that writes more than it may has to go, and only that", async () => {
    const volume = (sizeLimit: string) => ({
      container: busybox("head -c 5000000 /dev/zero > /data/x; exec sleep 1000", {
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      }),
      spec: { volumes: [{ name: "data", emptyDir: { sizeLimit } }] },
    });
    const [greedy, modest] = [volume("1Mi"), volume("10Mi")];
    const chatter = "head -c 5000000 /dev/zero | tr '\\0' x; exec sleep 1000";
    await node.create("modest", modest.container, modest.spec);
    await node.create("greedy", greedy.container, greedy.spec);
    await node.create("chatty", busybox(chatter, { resources: { limits: { "ephemeral-storage": "1Mi" } } }));
    const gone = await Promise.all(
      ["greedy", "chatty"].map((name) => node.wait(name, ({ status }) => status?.phase === "Failed", 120_000)),
    );
    assert.deepEqual(
      gone.map(({ status }) => [status?.reason, status?.message]),
      [
        ["Evicted", 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". '],
        ["Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "],
      ],
    );
    assert.equal((await node.wait("modest", isReady)).status?.phase, "Running");
    for (const name of ["modest", "greedy", "chatty"]) await node.delete(name);
  });

  test("an image of a private registry needs the pod's own credentials, also once it is here", async () => {
    registry.credentials = { username: "robot", password: "s3cret" };
    const image = `${registry.host}/team/private:1`;
    const auths = { [registry.host]: registry.credentials };
    await bed.client.create(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "pull", namespace: "default" },
      type: "kubernetes.io/dockerconfigjson",
      data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
    });
    await node.create("stranger", busybox("exec sleep 1000", { image }));
    const pod = await node.wait("stranger", (found) => waitingFor(found) === "ImagePullBackOff");
    assert.match(
      statusOf(pod)?.state?.waiting?.message ?? "",
      /^Back-off pulling image ".*": ErrImagePull: .*(401|author)/,
    );
    await node.create("friend", busybox("exec sleep 1000", { image }), { imagePullSecrets: [{ name: "pull" }] });
    await node.wait("friend", isReady);
    await node.create("late-stranger", busybox("exec sleep 1000", { image }));
    await node.wait("late-stranger", (found) => ["ErrImagePull", "ImagePullBackOff"].includes(waitingFor(found) ?? ""));
    for (const gone of ["stranger", "friend", "late-stranger"]) await node.delete(gone);
    registry.credentials = undefined;
  });

  test("a corrupt image is refused by name, and had once it is whole", async () => {
    await registry.stop();
    registry = await startTestRegistry(IMAGES.busybox);
    registry.broken = true;
    await node.create("rotten", busybox("exec sleep 1000", { image: `${registry.host}/team/rotten:1` }));
    const pod = await node.wait("rotten", (found) => waitingFor(found) === "ImagePullBackOff");
    assert.match(statusOf(pod)?.state?.waiting?.message ?? "", /digest|checksum/);
    const events = await node.events("rotten");
    assert.ok(
      events.some((text) => /^Failed: Failed to pull image ".*rotten:1": /.test(text)),
      events.join("\n"),
    );
    registry.broken = false;
    await node.wait("rotten", isReady, 90_000);
    await node.delete("rotten");
  });
});

describe("a node whose disk is full", () => {
  let bed: TestBed;
  let node: TestNode;
  before(async () => {
    bed = await startTestBed(startContainerd("10.214.8"), {
      name: "full",
      config: () => ({ evictionHard: { "nodefs.available": "20%" }, evictionPressureTransitionSeconds: 1 }),
      prepare({ directory }) {
        const root = join(directory, "kubelet");
        mkdirSync(root);
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m", "tmpfs", root]);
      },
    });
    node = bed.node;
  });
  after(() => bed?.stop());

  test("says so, ends the pod that filled it and no other, and takes pods again when there is room", async () => {
    await node.create("innocent", busybox("exec sleep 1000"));
    const innocent = await node.wait("innocent", isReady);
    let pressed = false;
    await node.create(
      "hog",
      busybox("dd if=/dev/zero of=/data/x bs=1M count=100; exec sleep 1000", {
        volumeMounts: [{ name: "data", mountPath: "/data" }],
      }),
      { volumes: [{ name: "data", emptyDir: {} }] },
    );
    const hog = await node.wait("hog", (pod) => pod.status?.phase === "Failed");
    assert.equal(hog.status?.reason, "Evicted");
    assert.match(
      hog.status?.message ?? "",
      /^The node was low on resource: ephemeral-storage\. Threshold quantity: \S+, available: \S+\. /,
    );
    assert.equal(
      hog.status?.conditions?.find(({ type }) => type === "DisruptionTarget")?.reason,
      "TerminationByKubelet",
    );
    await node.eventually("disk pressure is told, then over", async () => {
      const now = await node.condition("DiskPressure");
      if (now === "True") pressed = true;
      return now === "False";
    });
    assert.ok(pressed, "the condition was seen");
    assert.match((await node.get("/metrics")).body, /^kubelet_evictions\{eviction_signal="nodefs\.available"\} 1$/m);
    await node.create("late", busybox("exec sleep 1000"));
    await node.wait("late", isReady);
    assert.equal(statusOf(await node.wait("innocent", isReady))?.containerID, statusOf(innocent)?.containerID);
  });
});
