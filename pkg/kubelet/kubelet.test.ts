import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { text } from "node:stream/consumers";
import { connect } from "node:tls";
import { join } from "node:path";
import { mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { configMaps, events, nodes, pods } from "#pkg/api/refs.ts";
import type { Pod } from "#pkg/api/types/core-v1.ts";
import { SpdySession } from "./streaming/spdy.ts";
import { startContainerd } from "./testing/containerd.ts";
import { busybox, hasEnded, isReady, startTestBed } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";
import { cgroupsNamed } from "./testing/traces.ts";

const NODE = "n1";

describe("kubelet on containerd", () => {
  let bed: TestBed;
  let node: TestNode;
  before(async () => {
    bed = await startTestBed(startContainerd("10.211.9"), {
      name: NODE,
      config: ({ directory }) => ({ staticPodPath: join(directory, "manifests"), runtimeDownAfterSeconds: 3 }),
      prepare: ({ directory }) => mkdirSync(join(directory, "manifests")),
    });
    node = bed.node;
  });
  after(() => bed?.stop());

  test("runs a pod, serves its log and commands, and takes it over after a restart", async () => {
    await node.create("web", busybox("echo one; echo two; exec sleep 1000"));
    const pod = await node.wait("web", isReady);
    assert.equal(pod.status?.phase, "Running");
    assert.equal(pod.status?.podIPs?.length, 1);
    assert.equal(pod.status?.observedGeneration, pod.metadata.generation);
    const last = async () => (await node.get("/containerLogs/default/web/c?tailLines=1")).body;
    await node.eventually("what the container says is in its log", async () => (await last()) === "two\n");
    assert.match((await node.get("/containerLogs/default/web/c?timestamps=true")).body, /^\d{4}-\d\d-\d\dT\S+ one\n/);
    assert.equal((await node.get("/containerLogs/default/web/c?previous=true")).status, 400);
    const refusals: readonly [path: string, status: number, body: string][] = [
      ["/containerLogs/default/none/c", 404, 'pod "none" does not exist'],
      ["/containerLogs/default/web/none", 404, 'container "none" not found in pod "web"'],
      ["/containerLogs/default/web/c?tailLines=-1", 422, '{"message": "Invalid request."}'],
      [
        "/containerLogs/default/web/c?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z",
        422,
        '{"message": "Invalid request."}',
      ],
      ["/containerLogs/default/web/c?tailLines=x", 400, '{"message": "Unable to decode query."}'],
      ["/exec/default/web/c?command=ls", 400, "you must specify at least 1 of stdin, stdout, stderr"],
      ["/exec/default/none/c?command=ls&output=1", 404, "pod does not exist"],
      ["/exec/default/web/none?command=ls&output=1", 500, 'container not found ("none")'],
      ["/attach/default/web/none?output=1", 500, "container none not found in pod web_default"],
      ["/exec/default/web/c?command=ls&output=1", 500, "Upgrade request required"],
      ["/portForward/default/web", 500, "Upgrade request required"],
      ["/portForward/default/none", 404, "pod does not exist"],
      ["/run/default/web/c?cmd=ls", 405, "405: Method Not Allowed"],
    ];
    for (const [path, status, body] of refusals) assert.deepEqual(await node.get(path), { status, body }, path);

    const socket = new WebSocket(
      `wss://127.0.0.1:${await node.port()}/exec/default/web/c?command=cat&stdin=true&stdout=true&stderr=true`,
      ["v5.channel.k8s.io"],
      { rejectUnauthorized: false },
    );
    const messages: Buffer[] = [];
    socket.on("message", (data: Buffer) => messages.push(data));
    await new Promise((resolve) => socket.once("open", resolve));
    socket.send(Buffer.concat([Buffer.from([0]), Buffer.from("hello")]));
    socket.send(Buffer.from([255, 0])); // end of stdin: cat must end by itself
    await new Promise((resolve) => socket.once("close", resolve));
    const out = Buffer.concat(
      messages.filter((message) => message[0] === 1).map((message) => message.subarray(1)),
    ).toString();
    assert.equal(out, "hello");
    assert.equal(
      JSON.parse(
        messages
          .findLast((message) => message[0] === 3)!
          .subarray(1)
          .toString(),
      ).status,
      "Success",
    );

    await node.stop();
    await node.start();
    const after = await node.wait("web", isReady);
    assert.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(after.status?.containerStatuses?.[0]?.containerID, pod.status?.containerStatuses?.[0]?.containerID);
    await node.delete("web");
  });

  test("tunnels SPDY to the runtime", async () => {
    await node.create("spdy", busybox("exec sleep 1000"));
    await node.wait("spdy", isReady);
    const refused = connect({ host: "127.0.0.1", port: await node.port(), rejectUnauthorized: false });
    refused.write(
      `POST /exec/default/spdy/c?command=${"x".repeat(128 * 1024)}&stdout=true HTTP/1.1\r\nhost: n1\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n`,
    );
    assert.match(
      await text(refused),
      /^HTTP\/1.1 500 [^]*\r\n\r\nrpc error: code = InvalidArgument desc = argument list too long\n$/,
    );
    const socket = connect({ host: "127.0.0.1", port: await node.port(), rejectUnauthorized: false });
    socket.write(
      "POST /exec/default/spdy/c?command=sh&command=-c&command=exit+7&stdout=true&stderr=true HTTP/1.1\r\nhost: n1\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\r\n",
    );
    const head = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
    assert.match(head.toString("latin1"), /^HTTP\/1.1 101 .*\r\n/);
    const session = new SpdySession(socket, { role: "client", head: head.subarray(head.indexOf("\r\n\r\n") + 4) });
    const error = session.open({ streamtype: "error" });
    session.open({ streamtype: "stdout" }).resume();
    session.open({ streamtype: "stderr" }).resume();
    let report = "";
    for await (const chunk of error) report += String(chunk);
    session.close();
    assert.equal(JSON.parse(report).details.causes[0].message, "7");

    // The same inside of WebSocket's messages, as kubectl port-forward prefers it: a ping comes back.
    const tunnel = connect({ host: "127.0.0.1", port: await node.port(), rejectUnauthorized: false });
    tunnel.write(
      "GET /portForward/default/spdy HTTP/1.1\r\nhost: n1\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-protocol: SPDY/3.1+portforward.k8s.io\r\n\r\n",
    );
    const accepted = await new Promise<Buffer>((resolve) => tunnel.once("data", resolve));
    assert.match(
      accepted.toString("latin1"),
      /^HTTP\/1.1 101 [^]*\r\nSec-WebSocket-Protocol: SPDY\/3\.1\+portforward\.k8s\.io\r\n/i,
    );
    const ping = Buffer.from([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]);
    tunnel.write(Buffer.concat([Buffer.from([0x82, 0x80 | ping.length, 0, 0, 0, 0]), ping]));
    tunnel.setTimeout(60_000, () => tunnel.destroy(new Error("the ping was not answered")));
    let answer = Buffer.alloc(0);
    for await (const chunk of tunnel) {
      answer = Buffer.concat([answer, chunk as Buffer]);
      if (payloadsOf(answer).includes(ping)) break;
    }
    assert.ok(payloadsOf(answer).includes(ping), answer.toString("hex"));
    await node.delete("spdy", { gracePeriodSeconds: 0 });
  });

  test("replaces a container that was created and never started, without counting it", async () => {
    await node.create("half", busybox("exec sleep 1000"));
    const pod = await node.wait("half", isReady);
    await node.stop();
    const { runtime } = bed.daemon;
    const [sandbox] = await runtime.listSandboxes({ podUid: pod.metadata.uid });
    const [old] = await runtime.listContainers({ podUid: pod.metadata.uid });
    await runtime.stopContainer(old!.id, 0);
    await runtime.removeContainer(old!.id);
    const labels = { ...old!.labels };
    const annotations = { ...old!.annotations };
    const image = { image: "busybox:1.35" };
    const security = {
      privileged: false,
      namespaces: { network: "Pod", pid: "Container", ipc: "Pod" },
      supplementalGroups: [],
    } as const;
    const half = {
      metadata: old!.metadata,
      image,
      command: ["true"],
      args: [],
      workingDir: "",
      envs: [],
      mounts: [],
      devices: [],
      labels,
      annotations,
      logPath: "c/0.log",
      stdin: false,
      stdinOnce: false,
      tty: false,
      resources: {},
    };
    const containerSecurity = {
      ...security,
      capabilities: { add: [], drop: [] },
      readonlyRootfs: false,
      noNewPrivs: false,
      maskedPaths: [],
      readonlyPaths: [],
    };
    const sandboxSpec = {
      metadata: sandbox!.metadata,
      hostname: "",
      logDirectory: "",
      dns: { servers: [], searches: [], options: [] },
      portMappings: [],
      labels: {},
      annotations: {},
      cgroupParent: "",
      sysctls: {},
      securityContext: security,
    };
    await runtime.createContainer(sandbox!.id, { ...half, securityContext: containerSecurity }, sandboxSpec);
    await node.start();
    const again = await node.wait(
      "half",
      (p) =>
        isReady(p) && p.status?.containerStatuses?.[0]?.containerID !== pod.status?.containerStatuses?.[0]?.containerID,
    );
    assert.equal(again.status?.containerStatuses?.[0]?.restartCount, 0);
    await node.delete("half");
  });

  const relists = async () =>
    Number(/^kubelet_pleg_relist_duration_seconds_count (\d+)$/m.exec((await node.get("/metrics")).body)?.[1]);

  /** A container's end is told by the runtime: lists are read every thirty seconds then, not every second. */
  const tellsByEvent = async (name: string) => {
    await node.create(name, busybox("sleep 4; exit 3"), { restartPolicy: "Never" });
    await node.wait(name, isReady);
    const count = await relists();
    const { status } = await node.wait(name, hasEnded);
    const { finishedAt } = status?.containerStatuses?.[0]?.state?.terminated ?? {};
    const lateMs = Date.now() - Date.parse(finishedAt ?? "");
    assert.ok(lateMs < 20_000, `told ${lateMs} ms after`);
    assert.ok((await relists()) - count <= 1, "nobody has to ask");
    await node.delete(name);
  };

  test("what the runtime tells is known without asking it", () => tellsByEvent("told"));

  test("outlives a killed runtime: the node says so, containers go on, nothing restarts", async () => {
    await node.create("steady", busybox("exec sleep 1000"));
    const before = await node.wait("steady", isReady);
    const nodeReady = async () =>
      (await bed.client.list(nodes)).items[0]?.status?.conditions?.find(({ type }) => type === "Ready");
    const nodeBecomes = async (status: string) => {
      for (let i = 0; i < 1200 && (await nodeReady())?.status !== status; i++) await delay(50);
      assert.equal((await nodeReady())?.status, status);
    };
    await bed.daemon.kill();
    await nodeBecomes("False");
    assert.match((await nodeReady())?.message ?? "", /container runtime is down/);
    await bed.daemon.start();
    await nodeBecomes("True");
    await node.create("later", busybox("exec sleep 1000"));
    await node.wait("later", isReady);
    const after = await node.wait("steady", isReady);
    await node.eventually("the runtime's events are followed again", async () => {
      const count = await relists();
      await delay(2500);
      return (await relists()) === count;
    });
    await tellsByEvent("told-again");
    assert.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(after.status?.containerStatuses?.[0]?.containerID, before.status?.containerStatuses?.[0]?.containerID);
    await Promise.all(["steady", "later"].map((name) => node.delete(name)));
  });

  test("speaks the old WebSocket protocols", async () => {
    await node.create("old", busybox("exec sleep 1000"));
    await node.wait("old", isReady);
    async function run(protocol: string, command: string): Promise<Buffer[]> {
      const query = `command=sh&command=-c&command=${encodeURIComponent(command)}&stdout=1&stderr=1`;
      const socket = new WebSocket(`wss://127.0.0.1:${await node.port()}/exec/default/old/c?${query}`, [protocol], {
        rejectUnauthorized: false,
      });
      const messages: Buffer[] = [];
      socket.on("message", (data: Buffer) => messages.push(data));
      await new Promise((resolve) => socket.once("close", resolve));
      assert.equal(socket.protocol, protocol);
      return messages;
    }
    const binary = await run("channel.k8s.io", "echo out; echo err >&2; exit 2");
    assert.deepEqual(binary[0], Buffer.from([1]), "an empty message says that the connection stands");
    assert.ok(binary.some((message) => message.toString() === "\u0001out\n"));
    assert.ok(binary.some((message) => message.toString() === "\u0002err\n"));
    assert.match(binary.find((message) => message[0] === 3)?.toString() ?? "", /exit status 2|exit code 2/);
    const text = await run("base64.channel.k8s.io", "echo out");
    assert.ok(text.some((message) => message.toString() === `1${Buffer.from("out\n").toString("base64")}`));
    assert.equal(
      text.some((message) => message[0] === 0x33),
      false,
      "success says nothing",
    );
    const v4 = await run("v4.channel.k8s.io", "exit 3");
    assert.equal(
      JSON.parse(v4.find((message) => message[0] === 3)!.toString("utf8", 1)).details.causes[0].message,
      "3",
    );
    await node.delete("old", { gracePeriodSeconds: 0 });
  });

  test("restarts what crashes, with growing delays, and keeps the terminated state", async () => {
    await node.create("crash", busybox("echo last words > /dev/termination-log; exit 3"));
    await node.wait("crash", ({ status }) => {
      const [container] = status?.containerStatuses ?? [];
      return container?.restartCount === 1 && container.state?.terminated?.exitCode === 3;
    });
    const pod = await node.wait(
      "crash",
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    const status = pod.status!.containerStatuses![0]!;
    assert.equal(status.restartCount, 1);
    assert.equal(status.lastState?.terminated?.exitCode, 3);
    assert.equal(status.lastState?.terminated?.message, "last words\n");
    assert.match(status.state!.waiting!.message!, /^back-off 10s restarting failed container=c pod=crash_default/);
    assert.equal(pod.status?.phase, "Running");
    assert.equal((await node.get("/containerLogs/default/crash/c?previous=true")).status, 200);
    await node.delete("crash");
  });

  test("ends pods that never restart, after init containers and sidecars in order", async () => {
    const shared = { volumeMounts: [{ name: "data", mountPath: "/data" }] };
    await node.create("ordered", busybox("cat /data/log; echo main >> /data/log", shared), {
      restartPolicy: "Never",
      volumes: [{ name: "data", emptyDir: {} }],
      initContainers: [
        busybox("echo init >> /data/log", { name: "init", ...shared }),
        busybox("echo sidecar >> /data/log; exec sleep 1000", { name: "sidecar", restartPolicy: "Always", ...shared }),
      ],
    });
    const pod = await node.wait("ordered", ({ status }) => status?.phase === "Succeeded");
    assert.deepEqual(
      pod.status?.initContainerStatuses?.map(({ name, state }) => [name, state?.terminated !== undefined]),
      [
        ["init", true],
        ["sidecar", true],
      ],
    );
    assert.equal((await node.get("/containerLogs/default/ordered/c")).body.startsWith("init\n"), true);
    await node.delete("ordered");
  });

  test("projects ConfigMaps into files and environment and follows their changes", async () => {
    const draft = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace: "default" },
      data: { color: "red" },
    };
    await bed.client.create(configMaps, draft as never);
    const container = busybox('echo "$COLOR $POD"; while true; do cat /etc/settings/color; echo; sleep 0.2; done', {
      env: [
        { name: "COLOR", valueFrom: { configMapKeyRef: { name: "settings", key: "color" } } },
        { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ],
      volumeMounts: [{ name: "settings", mountPath: "/etc/settings" }],
    });
    await node.create("config", container, { volumes: [{ name: "settings", configMap: { name: "settings" } }] });
    await node.wait("config", isReady);
    const logged = async (text: string) => {
      let log = "";
      for (let i = 0; i < 1200 && !log.includes(text); i++) {
        await delay(50);
        log = (await node.get("/containerLogs/default/config/c")).body;
      }
      return log;
    };
    assert.match(await logged("\nred\n"), /^red config\nred\n/);
    await bed.client.patch(configMaps, { namespace: "default", name: "settings" }, "merge", {
      data: { color: "blue" },
    });
    assert.match(await logged("blue"), /\nblue\n/);
    await node.delete("config");
  });

  test("restarts a container whose liveness probe fails, and holds readiness back", async () => {
    const container = busybox("touch /tmp/alive; exec sleep 1000", {
      livenessProbe: { exec: { command: ["test", "-f", "/tmp/alive"] }, periodSeconds: 1, failureThreshold: 1 },
      readinessProbe: { exec: { command: ["test", "-f", "/tmp/ready"] }, periodSeconds: 1 },
    });
    await node.create("probed", container);
    const unready = await node.wait("probed", ({ status }) => status?.containerStatuses?.[0]?.started === true);
    assert.equal(isReady(unready), false);
    const { id } = (await bed.daemon.runtime.listContainers()).find(
      ({ state, labels }) => state === "Running" && labels["io.kubernetes.pod.name"] === "probed",
    )!;
    await bed.daemon.runtime.execSync(id, ["touch", "/tmp/ready"], 5);
    await node.wait("probed", isReady);
    await bed.daemon.runtime.execSync(id, ["rm", "/tmp/alive"], 5);
    await node.wait("probed", ({ status }) => status?.containerStatuses?.[0]?.restartCount === 1);
    const reasons = new Set(
      (await bed.client.list(events, { fieldSelector: "involvedObject.name=probed" })).items.map(
        ({ reason }) => reason,
      ),
    );
    assert.ok(reasons.has("Unhealthy") && reasons.has("Killing"));
    await node.delete("probed");
  });

  test("keeps two instances of a container, and removes what belongs to no pod", async () => {
    const { runtime, directory } = bed.daemon;
    // Ends at once three times, and so passes its first back-off.
    const script = "echo x >> /data/runs; [ $(wc -l < /data/runs) -gt 2 ] && exec sleep 1000; exit 1";
    const pod = await node.create("thrice", busybox(script, { volumeMounts: [{ name: "data", mountPath: "/data" }] }), {
      volumes: [{ name: "data", emptyDir: {} }],
    });
    const { uid } = pod.metadata;
    await node.wait(
      "thrice",
      ({ status }) => status?.containerStatuses?.[0]?.restartCount === 2 && isReady({ ...pod, status }),
    );
    await node.eventually("the oldest instance and its log are gone", async () => {
      const attempts = (await runtime.listContainers({ podUid: uid })).map(({ metadata }) => metadata.attempt).sort();
      const logs = await readdir(join(directory, "pods", `default_thrice_${uid}`, "c"));
      return attempts.join() === "1,2" && logs.sort().join() === "1.log,2.log";
    });
    await node.stop();
    const orphan = "3d0c4f8e-0000-4000-8000-000000000000";
    const logs = join(directory, "pods", `default_gone_${orphan}`);
    const volumes = join(directory, "kubelet/pods", orphan);
    const link = join(directory, "containers", "gone_default_c-0.log");
    const [mine] = await runtime.listSandboxes({ podUid: uid });
    await runtime.runSandbox(
      {
        metadata: { name: "gone", namespace: "default", uid: orphan, attempt: 0 },
        hostname: "gone",
        logDirectory: logs,
        dns: { servers: [], searches: [], options: [] },
        portMappings: [],
        labels: { ...mine!.labels, "io.kubernetes.pod.uid": orphan, "io.kubernetes.pod.name": "gone" },
        annotations: {},
        cgroupParent: `${bed.daemon.cgroupRoot}/kubepods/besteffort/pod${orphan}`,
        sysctls: {},
        securityContext: {
          privileged: false,
          namespaces: { network: "Pod", pid: "Container", ipc: "Pod" },
          supplementalGroups: [],
        },
      },
      "",
    );
    for (const path of [logs, volumes]) await mkdir(path, { recursive: true });
    await symlink(join(logs, "c/0.log"), link);
    // Not a pod's, whoever made it.
    await mkdir(join(directory, "pods/others"));
    await node.start();
    await node.eventually("the sandbox that no pod owns is gone", async () => {
      const left = await runtime.listSandboxes({ podUid: orphan });
      return left.length === 0 && cgroupsNamed(bed.daemon.cgroupRoot, `pod${orphan}`).length === 0;
    });
    await node.stop();
    // What belonged to it goes with the next look, at the latest when the kubelet begins again.
    await node.start();
    await node.eventually(
      "its directories, logs and links are gone",
      async () =>
        [logs, volumes].every((path) => !existsSync(path)) &&
        !(await readdir(join(directory, "containers"))).includes("gone_default_c-0.log"),
    );
    assert.ok(existsSync(join(directory, "pods/others")));
    assert.equal((await runtime.listContainers({ podUid: uid })).length, 2, "the pod is untouched");
    await node.delete("thrice", { gracePeriodSeconds: 0 });
  });

  test("runs static pods and shows them by mirror pods", async () => {
    const path = join(bed.daemon.directory, "manifests", "static.yaml");
    const manifest = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "static" },
      spec: { terminationGracePeriodSeconds: 1, containers: [busybox("exec sleep 1000")] },
    };
    await writeFile(path, JSON.stringify(manifest));
    for (
      let i = 0;
      i < 3000 && (await bed.client.list(pods, { fieldSelector: `metadata.name=static-${NODE}` })).items.length === 0;
      i++
    )
      await delay(20);
    const mirror = await node.wait(`static-${NODE}`, isReady);
    assert.equal(mirror.metadata.ownerReferences?.[0]?.kind, "Node");
    const id = mirror.status?.containerStatuses?.[0]?.containerID;
    await bed.client.delete(pods, { namespace: "default", name: mirror.metadata.name });
    const again = await waitForMirror(mirror.metadata.uid);
    assert.equal(again.status?.containerStatuses?.[0]?.containerID, id, "deleting the mirror must not touch the pod");
    await writeFile(path, JSON.stringify({ ...manifest, metadata: { name: "static", labels: { changed: "yes" } } }));
    const changed = await waitForMirror(again.metadata.uid);
    assert.deepEqual(changed.metadata.labels, { changed: "yes" });
    const { restartCount, lastState } = changed.status!.containerStatuses![0]!;
    assert.deepEqual([restartCount, lastState], [0, {}], "another pod has another past");
    await rm(path);
    await node.gone(`static-${NODE}`);
  });

  async function waitForMirror(oldUid: string): Promise<Pod> {
    for (let i = 0; i < 3000; i++) {
      const [mirror] = (await bed.client.list(pods, { fieldSelector: `metadata.name=static-${NODE}` })).items;
      if (mirror !== undefined && mirror.metadata.uid !== oldUid && isReady(mirror)) return mirror;
      await delay(20);
    }
    throw new Error("the mirror pod did not come back");
  }
});

/** What short WebSocket messages of a server say together: the runtime writes a frame of SPDY in as many pieces as it likes. */
function payloadsOf(messages: Buffer): Buffer {
  const payloads: Buffer[] = [];
  for (let at = 0; at + 2 <= messages.length; at += 2 + messages[at + 1]!)
    payloads.push(messages.subarray(at + 2, at + 2 + messages[at + 1]!));
  return Buffer.concat(payloads);
}
