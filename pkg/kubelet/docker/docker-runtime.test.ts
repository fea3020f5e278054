import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { nodes, pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import { createKubelet } from "../index.ts";
import { readLog } from "../server/logs.ts";
import { dialUpgrade, SPDY_HEADERS } from "../streaming/dial.ts";
import { SpdySession } from "../streaming/spdy.ts";
import { configBelow, podOf, startCluster, waitForPod } from "../testing/cluster.ts";
import type { TestCluster } from "../testing/cluster.ts";
import { startDockerd } from "../testing/dockerd.ts";
import type { TestDockerd } from "../testing/dockerd.ts";

const ready = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

describe("kubelet on Docker", () => {
  let docker: TestDockerd;
  let cluster: TestCluster;
  const abort = new AbortController();
  let running: Promise<void>;

  before(async () => {
    docker = await startDockerd("10.212.9");
    cluster = await startCluster();
    const { directory, runtime, cgroupRoot } = docker;
    const config = {
      ...configBelow(directory, cgroupRoot),
    };
    running = createKubelet({
      client: cluster.client,
      runtime,
      nodeName: "d1",
      clock: new RealClock(),
      log: silentLogger,
      config,
    }).run(abort.signal);
    for (let i = 0; i < 1200; i++) {
      await delay(50);
      const [node] = (await cluster.client.list(nodes)).items;
      if (node?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True") return;
    }
    assert.fail("the node did not become ready");
  });
  after(async () => {
    abort.abort();
    try {
      await running;
      await cluster.stop();
    } finally {
      await docker.stop();
    }
  });

  test("runs a pod with volumes, network, limits and environment; logs, executes, stops", async () => {
    const { runtime } = docker;
    await cluster.client.create(
      pods,
      podOf("web", "d1", {
        volumes: [{ name: "data", emptyDir: {} }],
        containers: [
          {
            name: "c",
            image: "busybox:1.35",
            imagePullPolicy: "IfNotPresent",
            command: ["sh", "-c", 'echo "$GREETING" > /data/file; cat /data/file; hostname; exec sleep 1000'],
            env: [{ name: "GREETING", value: "hello" }],
            resources: { limits: { cpu: "100m", memory: "32Mi" } },
            volumeMounts: [{ name: "data", mountPath: "/data" }],
          },
        ],
      }),
    );
    const pod = await waitForPod(cluster.client, "web", ready);
    assert.match(pod.status?.podIP ?? "", /^10\.212\.9\./);
    assert.match(pod.status?.containerStatuses?.[0]?.containerID ?? "", /^docker:\/\//);
    const [container] = await runtime.listContainers({ podUid: pod.metadata.uid });
    const { logPath } = await runtime.containerStatus(container!.id);
    let log = "";
    // Running is told before the shell has come to its first line.
    for (let attempt = 0; attempt < 200 && !log.endsWith("web\n"); attempt++) {
      await delay(20);
      log = "";
      for await (const chunk of readLog(
        { path: logPath, running: () => false },
        { follow: false, timestamps: false, stream: "All" },
        new RealClock(),
        AbortSignal.timeout(5000),
      ))
        log += chunk.toString();
    }
    assert.equal(log, "hello\nweb\n");

    const { exitCode, stdout } = await runtime.execSync(container!.id, ["sh", "-c", "cat /etc/hosts; exit 3"], 5);
    assert.equal(exitCode, 3);
    assert.match(Buffer.from(stdout).toString(), /^# Kubernetes-managed hosts file\./);
    await assert.rejects(runtime.execSync(container!.id, ["sleep", "30"], 1), { code: "DeadlineExceeded" });

    const url = await runtime.exec(container!.id, {
      command: ["cat"],
      tty: false,
      stdin: true,
      stdout: true,
      stderr: true,
    });
    const { socket, head } = await dialUpgrade(
      url,
      { ...SPDY_HEADERS, "x-stream-protocol-version": "v4.channel.k8s.io" },
      AbortSignal.timeout(5000),
    );
    const session = new SpdySession(socket, { role: "client", head });
    const error = session.open({ streamtype: "error" });
    const stdin = session.open({ streamtype: "stdin" });
    const out = session.open({ streamtype: "stdout" });
    session.open({ streamtype: "stderr" }).resume();
    stdin.end("through and back");
    let text = "";
    for await (const chunk of out) text += String(chunk);
    assert.equal(text, "through and back");
    let status = "";
    for await (const chunk of error) status += String(chunk);
    assert.equal(JSON.parse(status).status, "Success");
    session.close();

    await cluster.client.delete(pods, { namespace: "default", name: "web" });
    for (let i = 0; i < 1200 && (await cluster.client.list(pods)).items.length > 0; i++) await delay(50);
    assert.deepEqual((await cluster.client.list(pods)).items, []);
    for (let i = 0; i < 1200 && (await runtime.listSandboxes()).length > 0; i++) await delay(50);
    assert.deepEqual(await runtime.listSandboxes(), []);
  });

  test("restarts what crashes and tells why", async () => {
    await cluster.client.create(
      pods,
      podOf("crash", "d1", {
        containers: [
          { name: "c", image: "busybox:1.35", imagePullPolicy: "IfNotPresent", command: ["sh", "-c", "exit 5"] },
        ],
      }),
    );
    const pod = await waitForPod(
      cluster.client,
      "crash",
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 5);
    assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 1);
  });
});
