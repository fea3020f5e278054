import assert from "node:assert/strict";
import { request } from "node:https";
import { connect } from "node:tls";
import { join } from "node:path";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { configMaps, events, nodes, pods } from "#pkg/api/refs.ts";
import type { Container, Pod } from "#pkg/api/types/core-v1.ts";
import { RealClock, silentLogger } from "#pkg/util/index.ts";
import { createKubelet } from "./index.ts";
import { SpdySession } from "./streaming/spdy.ts";
import { configBelow, podOf, startCluster, waitForPod } from "./testing/cluster.ts";
import type { TestCluster } from "./testing/cluster.ts";
import { startContainerd } from "./testing/containerd.ts";
import type { TestContainerd } from "./testing/containerd.ts";

const NODE = "n1";
const ready = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

function busybox(command: string, more: Partial<Container> = {}): Container {
  return { name: "c", image: "busybox:1.35", imagePullPolicy: "IfNotPresent", command: ["sh", "-c", command], ...more };
}

describe("kubelet on containerd", () => {
  let containerd: TestContainerd;
  let cluster: TestCluster;
  let abort: AbortController;
  let running: Promise<void>;
  let port = 0;

  function start(): void {
    abort = new AbortController();
    const { directory, cgroupRoot, runtime } = containerd;
    const config = {
      ...configBelow(directory, cgroupRoot),
      staticPodPath: join(directory, "manifests"),
      anonymousAuth: true,
      authorizationMode: "AlwaysAllow" as const,
    };
    running = createKubelet({
      client: cluster.client,
      runtime,
      nodeName: NODE,
      clock: new RealClock(),
      log: silentLogger,
      config,
    }).run(abort.signal);
  }
  const create = (name: string, container: Container, spec: Partial<Pod["spec"]> = {}) =>
    cluster.client.create(pods, podOf(name, NODE, { containers: [container], ...spec }));
  const wait = (name: string, condition: (pod: Pod) => boolean) => waitForPod(cluster.client, name, condition);
  async function gone(name: string): Promise<void> {
    for (let i = 0; i < 3000; i++) {
      const list = await cluster.client.list(pods, { fieldSelector: `metadata.name=${name}` });
      if (list.items.length === 0) return;
      await delay(20);
    }
    throw new Error(`pod ${name} is still there`);
  }
  function get(path: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const call = request({ host: "127.0.0.1", port, path, rejectUnauthorized: false, agent: false }, (response) => {
        let body = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (body += chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
      });
      call.on("error", reject);
      call.end();
    });
  }

  before(async () => {
    containerd = await startContainerd("10.211.9");
    cluster = await startCluster();
    await mkdir(join(containerd.directory, "manifests"));
    start();
    for (let i = 0; i < 1200 && port === 0; i++) {
      await delay(50);
      const [node] = (await cluster.client.list(nodes)).items;
      if (node?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True")
        port = node.status.daemonEndpoints?.kubeletEndpoint?.Port ?? 0;
    }
    assert.notEqual(port, 0);
  });
  after(async () => {
    abort.abort();
    try {
      await running;
      await cluster.stop();
    } finally {
      await containerd.stop();
    }
  });

  test("runs a pod, serves its log and commands, and takes it over after a restart", async () => {
    await create("web", busybox("echo one; echo two; exec sleep 1000"));
    const pod = await wait("web", ready);
    assert.equal(pod.status?.phase, "Running");
    assert.equal(pod.status?.podIPs?.length, 1);
    assert.equal(pod.status?.observedGeneration, pod.metadata.generation);
    assert.equal((await get("/containerLogs/default/web/c?tailLines=1")).body, "two\n");
    assert.match((await get("/containerLogs/default/web/c?timestamps=true")).body, /^\d{4}-\d\d-\d\dT\S+ one\n/);
    assert.equal((await get("/containerLogs/default/web/c?previous=true")).status, 400);

    const socket = new WebSocket(
      `wss://127.0.0.1:${port}/exec/default/web/c?command=cat&stdin=true&stdout=true&stderr=true`,
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

    abort.abort();
    await running;
    start();
    await delay(1500);
    const after = await wait("web", ready);
    assert.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(after.status?.containerStatuses?.[0]?.containerID, pod.status?.containerStatuses?.[0]?.containerID);
    const [node] = (await cluster.client.list(nodes)).items;
    port = node!.status!.daemonEndpoints!.kubeletEndpoint!.Port;
    for (let i = 0; i < 100 && (await get("/healthz").catch(() => undefined)) === undefined; i++) {
      await delay(100);
      port = (await cluster.client.list(nodes)).items[0]!.status!.daemonEndpoints!.kubeletEndpoint!.Port;
    }
    await cluster.client.delete(pods, { namespace: "default", name: "web" });
    await gone("web");
  });

  test("tunnels SPDY to the runtime", async () => {
    await create("spdy", busybox("exec sleep 1000"));
    await wait("spdy", ready);
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
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
    const tunnel = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
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
    let answer = Buffer.alloc(0);
    for await (const chunk of tunnel) {
      answer = Buffer.concat([answer, chunk as Buffer]);
      if (answer.includes(ping)) break;
    }
    assert.ok(answer.includes(ping), answer.toString("hex"));
    await cluster.client.delete(pods, { namespace: "default", name: "spdy" }, { gracePeriodSeconds: 0 });
    await gone("spdy");
  });

  test("replaces a container that was created and never started, without counting it", async () => {
    await create("half", busybox("exec sleep 1000"));
    const pod = await wait("half", ready);
    abort.abort();
    await running;
    const { runtime } = containerd;
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
    start();
    const again = await wait(
      "half",
      (p) =>
        ready(p) && p.status?.containerStatuses?.[0]?.containerID !== pod.status?.containerStatuses?.[0]?.containerID,
    );
    assert.equal(again.status?.containerStatuses?.[0]?.restartCount, 0);
    for (let i = 0; i < 100; i++) {
      port = (await cluster.client.list(nodes)).items[0]!.status!.daemonEndpoints!.kubeletEndpoint!.Port;
      if ((await get("/healthz").catch(() => undefined)) !== undefined) break;
      await delay(100);
    }
    await cluster.client.delete(pods, { namespace: "default", name: "half" });
    await gone("half");
  });

  test("outlives a killed runtime: the node says so, containers go on, nothing restarts", async () => {
    await create("steady", busybox("exec sleep 1000"));
    const before = await wait("steady", ready);
    const nodeReady = async () =>
      (await cluster.client.list(nodes)).items[0]?.status?.conditions?.find(({ type }) => type === "Ready");
    const nodeBecomes = async (status: string) => {
      for (let i = 0; i < 1200 && (await nodeReady())?.status !== status; i++) await delay(50);
      assert.equal((await nodeReady())?.status, status);
    };
    await containerd.kill();
    await nodeBecomes("False");
    assert.match((await nodeReady())?.message ?? "", /container runtime is down/);
    await containerd.start();
    await nodeBecomes("True");
    await create("later", busybox("exec sleep 1000"));
    await wait("later", ready);
    const after = await wait("steady", ready);
    assert.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(after.status?.containerStatuses?.[0]?.containerID, before.status?.containerStatuses?.[0]?.containerID);
    for (const name of ["steady", "later"]) await cluster.client.delete(pods, { namespace: "default", name });
    for (const name of ["steady", "later"]) await gone(name);
  });

  test("speaks the old WebSocket protocols", async () => {
    await create("old", busybox("exec sleep 1000"));
    await wait("old", ready);
    async function run(protocol: string, command: string): Promise<Buffer[]> {
      const query = `command=sh&command=-c&command=${encodeURIComponent(command)}&stdout=1&stderr=1`;
      const socket = new WebSocket(`wss://127.0.0.1:${port}/exec/default/old/c?${query}`, [protocol], {
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
    await cluster.client.delete(pods, { namespace: "default", name: "old" }, { gracePeriodSeconds: 0 });
    await gone("old");
  });

  test("restarts what crashes, with growing delays, and keeps the terminated state", async () => {
    await create("crash", busybox("echo last words > /dev/termination-log; exit 3"));
    const pod = await wait(
      "crash",
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff",
    );
    const status = pod.status!.containerStatuses![0]!;
    assert.equal(status.restartCount, 1);
    assert.equal(status.lastState?.terminated?.exitCode, 3);
    assert.equal(status.lastState?.terminated?.message, "last words\n");
    assert.match(status.state!.waiting!.message!, /^back-off 10s restarting failed container=c pod=crash_default/);
    assert.equal(pod.status?.phase, "Running");
    assert.equal((await get("/containerLogs/default/crash/c?previous=true")).status, 200);
    await cluster.client.delete(pods, { namespace: "default", name: "crash" });
    await gone("crash");
  });

  test("ends pods that never restart, after init containers and sidecars in order", async () => {
    const shared = { volumeMounts: [{ name: "data", mountPath: "/data" }] };
    await create("ordered", busybox("cat /data/log; echo main >> /data/log", shared), {
      restartPolicy: "Never",
      volumes: [{ name: "data", emptyDir: {} }],
      initContainers: [
        busybox("echo init >> /data/log", { name: "init", ...shared }),
        busybox("echo sidecar >> /data/log; exec sleep 1000", { name: "sidecar", restartPolicy: "Always", ...shared }),
      ],
    });
    const pod = await wait("ordered", ({ status }) => status?.phase === "Succeeded");
    assert.deepEqual(
      pod.status?.initContainerStatuses?.map(({ name, state }) => [name, state?.terminated !== undefined]),
      [
        ["init", true],
        ["sidecar", true],
      ],
    );
    assert.equal((await get("/containerLogs/default/ordered/c")).body.startsWith("init\n"), true);
    await cluster.client.delete(pods, { namespace: "default", name: "ordered" });
    await gone("ordered");
  });

  test("projects ConfigMaps into files and environment and follows their changes", async () => {
    const draft = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "settings", namespace: "default" },
      data: { color: "red" },
    };
    await cluster.client.create(configMaps, draft as never);
    const container = busybox('echo "$COLOR $POD"; while true; do cat /etc/settings/color; echo; sleep 0.2; done', {
      env: [
        { name: "COLOR", valueFrom: { configMapKeyRef: { name: "settings", key: "color" } } },
        { name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ],
      volumeMounts: [{ name: "settings", mountPath: "/etc/settings" }],
    });
    await create("config", container, { volumes: [{ name: "settings", configMap: { name: "settings" } }] });
    await wait("config", ready);
    const logged = async (text: string) => {
      let log = "";
      for (let i = 0; i < 1200 && !log.includes(text); i++) {
        await delay(50);
        log = (await get("/containerLogs/default/config/c")).body;
      }
      return log;
    };
    assert.match(await logged("\nred\n"), /^red config\nred\n/);
    await cluster.client.patch(configMaps, { namespace: "default", name: "settings" }, "merge", {
      data: { color: "blue" },
    });
    assert.match(await logged("blue"), /\nblue\n/);
    await cluster.client.delete(pods, { namespace: "default", name: "config" });
    await gone("config");
  });

  test("restarts a container whose liveness probe fails, and holds readiness back", async () => {
    const container = busybox("touch /tmp/alive; exec sleep 1000", {
      livenessProbe: { exec: { command: ["test", "-f", "/tmp/alive"] }, periodSeconds: 1, failureThreshold: 1 },
      readinessProbe: { exec: { command: ["test", "-f", "/tmp/ready"] }, periodSeconds: 1 },
    });
    await create("probed", container);
    const unready = await wait("probed", ({ status }) => status?.containerStatuses?.[0]?.started === true);
    assert.equal(ready(unready), false);
    const { id } = (await containerd.runtime.listContainers()).find(
      ({ state, labels }) => state === "Running" && labels["io.kubernetes.pod.name"] === "probed",
    )!;
    await containerd.runtime.execSync(id, ["touch", "/tmp/ready"], 5);
    await wait("probed", ready);
    await containerd.runtime.execSync(id, ["rm", "/tmp/alive"], 5);
    await wait("probed", ({ status }) => status?.containerStatuses?.[0]?.restartCount === 1);
    const reasons = new Set(
      (await cluster.client.list(events, { fieldSelector: "involvedObject.name=probed" })).items.map(
        ({ reason }) => reason,
      ),
    );
    assert.ok(reasons.has("Unhealthy") && reasons.has("Killing"));
    await cluster.client.delete(pods, { namespace: "default", name: "probed" });
    await gone("probed");
  });

  test("resizes a running container in place", async () => {
    await create(
      "resize",
      busybox("exec sleep 1000", {
        resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { cpu: "200m", memory: "64Mi" } },
      }),
    );
    await wait("resize", ready);
    const resized = { ...(await cluster.client.get(pods, { namespace: "default", name: "resize" })) };
    resized.spec = {
      ...resized.spec,
      containers: [
        {
          ...resized.spec.containers[0]!,
          resources: { requests: { cpu: "200m", memory: "96Mi" }, limits: { cpu: "300m", memory: "96Mi" } },
        },
      ],
    };
    await cluster.client.updateSubresource(pods, { namespace: "default", name: "resize" }, "resize", resized);
    const pod = await wait(
      "resize",
      ({ status }) =>
        String(status?.containerStatuses?.[0]?.resources?.limits?.["memory"]) === "96Mi" &&
        status?.conditions?.every(({ type }) => !type.startsWith("PodResize")) === true,
    );
    assert.equal(pod.status?.containerStatuses?.[0]?.restartCount, 0);
    const { id } = (await containerd.runtime.listContainers()).find(
      ({ labels }) => labels["io.kubernetes.pod.name"] === "resize",
    )!;
    const { stdout } = await containerd.runtime.execSync(
      id,
      ["sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/memory.max"],
      5,
    );
    assert.equal(Number(Buffer.from(stdout).toString()), 96 * 2 ** 20);
    await cluster.client.delete(pods, { namespace: "default", name: "resize" });
    await gone("resize");
  });

  test("runs static pods and shows them by mirror pods", async () => {
    const path = join(containerd.directory, "manifests", "static.yaml");
    const manifest = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "static" },
      spec: { terminationGracePeriodSeconds: 1, containers: [busybox("exec sleep 1000")] },
    };
    await writeFile(path, JSON.stringify(manifest));
    for (
      let i = 0;
      i < 3000 &&
      (await cluster.client.list(pods, { fieldSelector: `metadata.name=static-${NODE}` })).items.length === 0;
      i++
    )
      await delay(20);
    const mirror = await wait(`static-${NODE}`, ready);
    assert.equal(mirror.metadata.ownerReferences?.[0]?.kind, "Node");
    const id = mirror.status?.containerStatuses?.[0]?.containerID;
    await cluster.client.delete(pods, { namespace: "default", name: mirror.metadata.name });
    const again = await waitForMirror(mirror.metadata.uid);
    assert.equal(again.status?.containerStatuses?.[0]?.containerID, id, "deleting the mirror must not touch the pod");
    await rm(path);
    await gone(`static-${NODE}`);
  });

  async function waitForMirror(oldUid: string): Promise<Pod> {
    for (let i = 0; i < 3000; i++) {
      const [mirror] = (await cluster.client.list(pods, { fieldSelector: `metadata.name=static-${NODE}` })).items;
      if (mirror !== undefined && mirror.metadata.uid !== oldUid && ready(mirror)) return mirror;
      await delay(20);
    }
    throw new Error("the mirror pod did not come back");
  }
});
