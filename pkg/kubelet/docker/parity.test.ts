import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { pods, secrets } from "#pkg/api/refs.ts";
import type { Container, EphemeralContainer, Pod, PodSpec, PodStatus } from "#pkg/api/types/core-v1.ts";
import { IMAGES, startContainerd } from "../testing/containerd.ts";
import { startDockerd } from "../testing/dockerd.ts";
import { busybox, hasEnded, isReady, says, startTestBed, waitingReason } from "../testing/node.ts";
import type { TestBed } from "../testing/node.ts";
import { startTestRegistry } from "../testing/registry.ts";

interface Scenario {
  readonly container: Container;
  readonly spec?: Partial<PodSpec>;
  readonly until: (pod: Pod) => boolean;
  /** Joins the pod once it is ready. */
  readonly ephemeral?: EphemeralContainer;
}

const SLEEP = busybox("exec sleep 1000");
const probing = (command: string[]) => ({ exec: { command }, periodSeconds: 1 });
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  init: {
    container: SLEEP,
    spec: { initContainers: [busybox("echo done > /dev/termination-log", { name: "first" })] },
    until: isReady,
  },
  sidecar: {
    container: SLEEP,
    spec: {
      initContainers: [
        busybox("exec sleep 1000", { name: "beside", restartPolicy: "Always", startupProbe: probing(["true"]) }),
      ],
    },
    until: isReady,
  },
  crash: {
    container: busybox("exit 3"),
    until: (pod) => waitingReason(pod) === "CrashLoopBackOff" && pod.status?.containerStatuses?.[0]?.restartCount === 1,
  },
  memory: {
    container: busybox("dd if=/dev/zero of=/dev/shm/x bs=1M count=64 & exec tail /dev/zero", {
      resources: { limits: { memory: "16Mi" } },
    }),
    spec: { restartPolicy: "Never" },
    until: hasEnded,
  },
  probe: {
    container: busybox("touch /tmp/up; exec sleep 1000", {
      readinessProbe: probing(["test", "-e", "/tmp/up"]),
      livenessProbe: probing(["true"]),
    }),
    until: isReady,
  },
  host: { container: SLEEP, spec: { hostNetwork: true }, until: isReady },
  nothing: {
    container: { ...SLEEP, command: ["/no/such/program"] },
    spec: { restartPolicy: "Never" },
    until: hasEnded,
  },
  missing: {
    container: { ...SLEEP, image: "busybox:none", imagePullPolicy: "Never" },
    until: (pod) => waitingReason(pod) === "ErrImageNeverPull",
  },
  message: {
    container: busybox("echo out of luck; exit 1", { terminationMessagePolicy: "FallbackToLogsOnError" }),
    spec: { restartPolicy: "Never" },
    until: hasEnded,
  },
  debugged: {
    container: SLEEP,
    until: ({ status }) => status?.ephemeralContainerStatuses?.[0]?.state?.terminated !== undefined,
    ephemeral: { ...busybox("exit 4"), name: "debug", targetContainerName: "c" },
  },
};

/** What names a runtime, an address or a moment differs by nature, and how each of them says that nothing could be run. */
const VARYING: Readonly<Record<string, string>> = {
  containerID: "an id",
  imageID: "an image",
  podIP: "an address",
  ip: "an address",
  hostIP: "an address",
};
function alike(status: PodStatus | undefined, uid: string): unknown {
  return JSON.parse(
    JSON.stringify(status, (key, value: unknown) => {
      if (key === "terminated" && /"(StartError|ContainerCannotRun)"/.test(JSON.stringify(value))) return "no start";
      if (typeof value !== "string") return value;
      if (key === "image") return value.replace("docker.io/library/", "");
      if (/^\d{4}-\d\d-\d\dT/.test(value)) return "a time";
      return VARYING[key] ?? value.replaceAll(uid, "its uid");
    }),
  );
}

describe("pods on Docker and on containerd", { concurrency: 4 }, () => {
  const beds: TestBed[] = [];
  before(async () => {
    const starting = [
      startTestBed(startDockerd("10.219.6"), { name: "n" }),
      startTestBed(startContainerd("10.219.7"), { name: "n" }),
    ];
    for (const result of await Promise.allSettled(starting)) {
      if (result.status === "rejected") throw result.reason;
      beds.push(result.value);
    }
  });
  after(() => Promise.all(beds.map((bed) => bed.stop())));

  async function statusOn({ client, node }: TestBed, name: string): Promise<unknown> {
    const { container, spec, until, ephemeral } = SCENARIOS[name]!;
    await node.create(name, container, spec);
    if (ephemeral !== undefined) {
      const pod = await node.wait(name, isReady);
      const wanted = { ...pod, spec: { ...pod.spec, ephemeralContainers: [ephemeral] } };
      await client.updateSubresource(pods, { namespace: "default", name }, "ephemeralcontainers", wanted);
    }
    const { status, metadata } = await node.wait(name, until);
    await node.delete(name, { gracePeriodSeconds: 0 });
    return alike(status, metadata.uid);
  }

  for (const name of Object.keys(SCENARIOS))
    test(`have the same status: ${name}`, async () => {
      const [docker, containerd] = await Promise.all(beds.map((bed) => statusOn(bed, name)));
      assert.deepEqual(docker, containerd);
    });

  const RUNTIMES = ["Docker", "containerd"];
  const onEach = (what: string, check: (bed: TestBed) => Promise<void>) => {
    for (const [index, runtime] of RUNTIMES.entries()) test(`${what}: ${runtime}`, () => check(beds[index]!));
  };

  onEach("namespaces: of the container, of the pod, of the host", async ({ node }) => {
    const looking = says("for n in pid ipc net uts; do readlink /proc/self/ns/$n; done; cat /proc/1/comm");
    const seen = async (name: string, spec: Partial<PodSpec>) => {
      const lines = (await node.outcome(name, looking, spec)).said.trim().split("\n");
      await node.delete(name);
      return { pid: lines[0], ipc: lines[1], net: lines[2], uts: lines[3], first: lines[4] };
    };
    const host = (name: string) => readlinkSync(`/proc/self/ns/${name}`);
    const [own, shared, all] = await Promise.all([
      seen("own", {}),
      seen("shared", { shareProcessNamespace: true }),
      seen("all-host", { hostPID: true, hostIPC: true, hostNetwork: true }),
    ]);
    assert.equal(shared.first, "pause");
    assert.notEqual(own.first, "pause");
    for (const name of ["pid", "ipc", "net", "uts"] as const) assert.notEqual(own[name], host(name), name);
    for (const name of ["pid", "ipc", "net"] as const) assert.equal(all[name], host(name), name);
  });

  onEach("who is killed first when memory runs out is who asked for nothing", async ({ node }) => {
    const score = says("cat /proc/self/oom_score_adj");
    const resources = { requests: { memory: "64Mi" } };
    const [nothing, something] = await Promise.all([
      node.outcome("best-effort", score),
      node.outcome("burstable", { ...score, resources }),
    ]);
    assert.equal(Number(nothing.said), 1000);
    assert.ok(Number(something.said) > 0 && Number(something.said) < 1000, something.said);
    for (const name of ["best-effort", "burstable"]) await node.delete(name);
  });

  onEach("a readiness gate is somebody else's to open", async ({ node, client }) => {
    const conditionType = "example.com/gate";
    await node.create("gated", SLEEP, { readinessGates: [{ conditionType }] });
    const condition = (pod: Pod, type: string) => pod.status?.conditions?.find((one) => one.type === type);
    const pod = await node.wait("gated", (found) => condition(found, "ContainersReady")?.status === "True");
    assert.deepEqual(
      [condition(pod, "Ready")?.status, condition(pod, "Ready")?.reason],
      ["False", "ReadinessGatesNotReady"],
    );
    const opened = { status: { conditions: [{ type: conditionType, status: "True" }] } };
    const key = { namespace: "default", name: "gated" };
    await client.patch(pods, key, "strategic", opened, { subresource: "status" });
    await node.wait("gated", isReady);
    await node.delete("gated", { gracePeriodSeconds: 0 });
  });

  onEach("hooks ask a server, or let time pass", async ({ node, client }) => {
    const asked = busybox(
      `trap 'head -n 1 /tmp/request > /dev/termination-log; exit 0' TERM
      printf 'HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n' | nc -l -p 8080 > /tmp/request &
      while :; do sleep 0.1; done`,
      {
        readinessProbe: probing(["grep", ":1F90 ", "/proc/net/tcp", "/proc/net/tcp6"]),
        lifecycle: { preStop: { httpGet: { path: "/bye", port: 8080 } } },
      },
    );
    const patient = busybox("trap 'exit 0' TERM; while :; do sleep 0.1; done", {
      name: "patient",
      lifecycle: { preStop: { sleep: { seconds: 2 } } },
    });
    const metadata = { finalizers: ["example.com/hold"] };
    await node.create("hooked", asked, { containers: [asked, patient], terminationGracePeriodSeconds: 600 }, metadata);
    await node.wait("hooked", isReady);
    const begun = performance.now();
    await client.delete(pods, { namespace: "default", name: "hooked" });
    const ends = ({ status }: Pod) => status?.containerStatuses?.map(({ state }) => state?.terminated) ?? [];
    const pod = await node.wait("hooked", (found) => ends(found).every((end) => end !== undefined));
    assert.ok(performance.now() - begun >= 2000, "the second hook sleeps for two seconds");
    assert.equal(ends(pod)[0]?.message, "GET /bye HTTP/1.1\r\n");
    assert.deepEqual(
      ends(pod).map((end) => end?.exitCode),
      [0, 0],
    );
    await client.patch(pods, { namespace: "default", name: "hooked" }, "merge", { metadata: { finalizers: null } });
  });

  onEach("attached, one speaks with a container's first process", async ({ node }) => {
    await node.create("listening", busybox('read line; echo "got $line"; exec sleep 1000', { stdin: true }));
    await node.wait("listening", isReady);
    const url = `wss://127.0.0.1:${await node.port()}/attach/default/listening/c?stdin=true&stdout=true&stderr=true`;
    const socket = new WebSocket(url, ["v5.channel.k8s.io"], { rejectUnauthorized: false });
    let heard = "";
    const answered = new Promise<void>((resolve, reject) => {
      socket.on("message", (data: Buffer) => {
        if (data[0] === 1) heard += data.toString("utf8", 1);
        if (heard.endsWith("\n")) resolve();
      });
      socket.on("close", () => reject(new Error(`closed after ${JSON.stringify(heard)}`)));
      socket.on("error", reject);
    });
    socket.on("open", () => socket.send(Buffer.from("\0hello\n")));
    await answered;
    assert.equal(heard, "got hello\n");
    socket.removeAllListeners("close").terminate();
    await node.delete("listening", { gracePeriodSeconds: 0 });
  });

  onEach("what a pod uses is counted", async ({ node }) => {
    await node.create("counted", busybox("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exec sleep 1000"));
    await node.wait("counted", isReady);
    const series = async (name: string) => {
      const { body } = await node.get("/metrics/cadvisor");
      const line = body
        .split("\n")
        .find((one) => one.startsWith(`${name}{container="c",`) && one.includes('"counted"'));
      return Number(line?.split(" ").at(-1) ?? 0);
    };
    for (const name of ["container_cpu_usage_seconds_total", "container_memory_working_set_bytes"])
      await node.eventually(name, async () => (await series(name)) > 0);
    const { body } = await node.get("/metrics/resource");
    assert.match(
      body,
      /^container_memory_working_set_bytes\{container="c",namespace="default",pod="counted"\} \d+ \d+$/m,
    );
    await node.delete("counted", { gracePeriodSeconds: 0 });
  });

  onEach("a private image is for those who have its password", async ({ node, client }) => {
    const registry = await startTestRegistry(IMAGES.busybox);
    try {
      registry.credentials = { username: "robot", password: "s3cret" };
      const container = { ...SLEEP, image: `${registry.host}/team/private:1` };
      const auths = { [registry.host]: registry.credentials };
      await client.create(secrets, {
        apiVersion: "v1",
        kind: "Secret",
        metadata: { name: "pull", namespace: "default" },
        type: "kubernetes.io/dockerconfigjson",
        data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
      });
      await node.create("stranger", container);
      await node.wait("stranger", (pod) => waitingReason(pod) === "ImagePullBackOff");
      await node.create("friend", container, { imagePullSecrets: [{ name: "pull" }] });
      await node.wait("friend", isReady);
      for (const name of ["stranger", "friend"]) await node.delete(name, { gracePeriodSeconds: 0 });
    } finally {
      await registry.stop();
    }
  });
});
