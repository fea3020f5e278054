import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { RealClock } from "#pkg/util/index.ts";
import { readLog } from "../server/logs.ts";
import { dialUpgrade, SPDY_HEADERS } from "../streaming/dial.ts";
import { SpdySession } from "../streaming/spdy.ts";
import { startDockerd } from "../testing/dockerd.ts";
import { busybox, hasEnded, isReady, startTestBed } from "../testing/node.ts";
import type { TestBed, TestNode } from "../testing/node.ts";

describe("kubelet on Docker", () => {
  let bed: TestBed;
  let node: TestNode;
  before(async () => {
    bed = await startTestBed(startDockerd("10.212.9"), { name: "d1" });
    node = bed.node;
  });
  after(() => bed?.stop());

  test("runs a pod with volumes, network, limits and environment; logs, executes, stops", async () => {
    const { runtime } = bed.daemon;
    const script = 'echo "$GREETING" > /data/file; cat /data/file; hostname; exec sleep 1000';
    const spec = busybox(script, {
      env: [{ name: "GREETING", value: "hello" }],
      resources: { limits: { cpu: "100m", memory: "32Mi" } },
      volumeMounts: [{ name: "data", mountPath: "/data" }],
    });
    await node.create("web", spec, { volumes: [{ name: "data", emptyDir: {} }] });
    const pod = await node.wait("web", isReady);
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

    await node.delete("web");
    await node.eventually("nothing of it is left", async () => (await runtime.listSandboxes()).length === 0);
  });

  test("ends a container by the signal that it asks for, and tells of it", async () => {
    const container = busybox("trap 'exit 7' USR1; touch /tmp/ready; while :; do sleep 0.1; done", {
      lifecycle: { stopSignal: "SIGUSR1" },
      readinessProbe: { exec: { command: ["test", "-e", "/tmp/ready"] }, periodSeconds: 1 },
    });
    await node.create("signalled", container, { os: { name: "linux" }, restartPolicy: "Never" });
    const pod = await node.wait("signalled", isReady);
    assert.equal(pod.status?.containerStatuses?.[0]?.stopSignal, "SIGUSR1");
    const { runtime } = bed.daemon;
    const [running] = await runtime.listContainers({ podUid: pod.metadata.uid });
    await runtime.stopContainer(running!.id, 30);
    const ended = await node.wait("signalled", hasEnded);
    assert.equal(ended.status?.containerStatuses?.[0]?.state?.terminated?.exitCode, 7);
    await node.delete("signalled");
  });

  test("a container that takes too much memory is reported as killed for it; strict groups are refused", async () => {
    const limits = { resources: { limits: { memory: "16Mi" } } };
    const [killed, refused] = await Promise.all([
      node.outcome("oom", busybox("exec tail /dev/zero", limits)),
      node.outcome("strict", busybox("true"), { securityContext: { supplementalGroupsPolicy: "Strict" } }),
    ]);
    assert.equal(killed.pod.status?.containerStatuses?.[0]?.state?.terminated?.reason, "OOMKilled");
    assert.equal(refused.pod.status?.reason, "SupplementalGroupsPolicyNotSupported");
    for (const name of ["oom", "strict"]) await node.delete(name);
  });

  test("restarts what crashes and tells why", async () => {
    await node.create("crash", busybox("exit 5"));
    const pod = await node.wait(
      "crash",
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    assert.equal(pod.status?.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 5);
    assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 1);
  });
});
