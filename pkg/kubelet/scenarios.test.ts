import assert from "node:assert/strict";
import { cpus } from "node:os";
import { after, before, describe, test } from "node:test";
import { configMaps, pods } from "#pkg/api/refs.ts";
import type { Container, Pod } from "#pkg/api/types/core-v1.ts";
import { startContainerd } from "./testing/containerd.ts";
import { hasEnded, isReady, says, startTestBed, waitingReason } from "./testing/node.ts";
import type { TestBed, TestNode } from "./testing/node.ts";

describe("what pods can count on", { concurrency: 8 }, () => {
  let bed: TestBed;
  let node: TestNode;
  before(async () => {
    bed = await startTestBed(startContainerd("10.211.8"), {
      name: "s1",
      config: () => ({ clusterDNS: ["10.96.0.10"] }),
    });
    node = bed.node;
  });
  after(() => bed?.stop());

  test("identity: user, groups, capabilities, no new privileges, read-only root", async () => {
    const container = says("id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; touch /x || echo read-only", {
      securityContext: {
        runAsUser: 1001,
        runAsGroup: 2002,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
      },
    });
    const { said } = await node.outcome("identity", container, {
      securityContext: { supplementalGroups: [3003], fsGroup: 4004 },
    });
    assert.deepEqual(said.trim().split("\n").slice(0, 3), ["1001", "2002", "2002 3003 4004"]);
    assert.match(said, /NoNewPrivs:\t1/);
    assert.match(said, /read-only$/m);
  });

  test("runAsNonRoot keeps an image that would run as root from starting", async () => {
    await node.create("nonroot", says("true", { securityContext: { runAsNonRoot: true } }));
    const pod = await node.wait("nonroot", (p) => waitingReason(p) === "CreateContainerConfigError");
    assert.match(
      pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? "",
      /^container has runAsNonRoot and image will run as root/,
    );
  });

  test("emptyDir: open to all, in memory when asked, owned by fsGroup", async () => {
    const container = says(
      "stat -c %a /disk; grep ' /memory ' /proc/mounts | cut -d' ' -f3; stat -c %g /disk; touch /disk/f; stat -c %g /disk/f",
      {
        securityContext: { runAsUser: 1001 },
        volumeMounts: [
          { name: "disk", mountPath: "/disk" },
          { name: "memory", mountPath: "/memory" },
        ],
      },
    );
    const { said } = await node.outcome("empty", container, {
      securityContext: { fsGroup: 123 },
      volumes: [
        { name: "disk", emptyDir: {} },
        { name: "memory", emptyDir: { medium: "Memory" } },
      ],
    });
    assert.deepEqual(said.trim().split("\n"), ["2777", "tmpfs", "123", "123"]);
  });

  test("subPath mounts one file over an existing one, and expressions name directories", async () => {
    await bed.client.create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: "files", namespace: "default" },
      data: { passwd: "mine" },
    });
    const container = says("cat /etc/passwd; echo; echo x > /logs/f; ls /all", {
      env: [{ name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
      volumeMounts: [
        { name: "files", mountPath: "/etc/passwd", subPath: "passwd" },
        { name: "data", mountPath: "/logs", subPathExpr: "dir/$(POD)" },
        { name: "data", mountPath: "/all" },
      ],
    });
    const { said } = await node.outcome("subpath", container, {
      volumes: [
        { name: "files", configMap: { name: "files" } },
        { name: "data", emptyDir: {} },
      ],
    });
    assert.deepEqual(said.trim().split("\n"), ["mine", "dir"]);
  });

  test("a subPath expression that fails can be mended by an annotation", async () => {
    const container = says("exec sleep 1000", {
      env: [{ name: "WHERE", valueFrom: { fieldRef: { fieldPath: "metadata.annotations['where']" } } }],
      volumeMounts: [{ name: "data", mountPath: "/data", subPathExpr: "$(WHERE)" }],
    });
    await node.create("mended", container, { volumes: [{ name: "data", emptyDir: {} }] });
    await node.wait("mended", (p) => waitingReason(p) === "CreateContainerConfigError");
    await bed.client.patch(pods, { namespace: "default", name: "mended" }, "merge", {
      metadata: { annotations: { where: "here" } },
    });
    await node.wait("mended", isReady);
    await bed.client.delete(pods, { namespace: "default", name: "mended" }, { gracePeriodSeconds: 0 });
  });

  test("names: host name, domain, hosts file with aliases, resolv.conf", async () => {
    const container = says("hostname; cat /etc/hosts; cat /etc/resolv.conf");
    const { said } = await node.outcome("names", container, {
      hostname: "alpha",
      subdomain: "beta",
      hostAliases: [{ ip: "1.2.3.4", hostnames: ["foo", "bar"] }],
    });
    assert.match(said, /^alpha\n# Kubernetes-managed hosts file\.\n/);
    assert.match(said, /\talpha\.beta\.default\.svc\.cluster\.local\talpha\n/);
    assert.match(said, /1\.2\.3\.4\tfoo\tbar\n/);
    assert.match(said, /search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local/);
    assert.match(said, /nameserver 10\.96\.0\.10\noptions ndots:5/);
  });

  test("the host's network and hosts file, without our header", async () => {
    const { pod, said } = await node.outcome("hostnet", says("cat /etc/hosts; ls /sys/class/net"), {
      hostNetwork: true,
    });
    assert.equal(said.includes("# Kubernetes-managed hosts file.\n"), false);
    assert.match(said, /eth0/);
    assert.equal(pod.status?.podIP, pod.status?.hostIP);
  });

  test("downward API: fields, limits, and the node's allocatable where no limit is set", async () => {
    const container = says('echo "$NAME $LIMIT $DEFAULT"; cat /info/labels', {
      env: [
        { name: "NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
        { name: "LIMIT", valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } } },
        { name: "DEFAULT", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      ],
      resources: { limits: { memory: "32Mi" } },
      volumeMounts: [{ name: "info", mountPath: "/info" }],
    });
    const { said } = await node.outcome(
      "downward",
      container,
      {
        volumes: [
          { name: "info", downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
        ],
      },
      { labels: { app: "x" } },
    );
    assert.match(said, /^downward 32 \d+\napp="x"$/m);
  });

  test("termination messages: from the log only after an error, and from a path of one's own", async () => {
    const plain = (command: string, more: Partial<Container>): Container => ({
      name: "c",
      image: "busybox:1.35",
      imagePullPolicy: "IfNotPresent",
      command: ["sh", "-c", command],
      ...more,
    });
    const fallback = { terminationMessagePolicy: "FallbackToLogsOnError" };
    const [failed, fine, own, long] = await Promise.all([
      node.outcome("message-failed", plain("echo from the log; exit 1", fallback)),
      node.outcome("message-fine", plain("echo from the log", fallback)),
      node.outcome(
        "message-own",
        plain("echo -n own > /dev/my-log", {
          terminationMessagePath: "/dev/my-log",
          securityContext: { runAsUser: 10_000 },
        }),
      ),
      node.outcome(
        "message-long",
        plain("(head -c 5000 /dev/zero | tr '\\0' x; echo -n end) > /dev/my-log", {
          terminationMessagePath: "/dev/my-log",
        }),
      ),
    ]);
    assert.deepEqual([failed.said, fine.said, own.said], ["from the log\n", "", "own"]);
    assert.deepEqual([long.said.length, long.said.slice(-4)], [4096, "xend"], "of more than fits the end is kept");
  });

  test("a hook that fails is told in its container's status, its words are the shell's", async () => {
    const command = ["sh", "-c", "echo $$ >&2; echo out; exit 3"];
    await node.create("hook-fails", says("exec sleep 1000", { lifecycle: { postStart: { exec: { command } } } }));
    const waiting = (found: Pod) => found.status?.containerStatuses?.[0]?.state?.waiting;
    const pod = await node.wait("hook-fails", (found) => waiting(found)?.reason === "PostStartHookError");
    assert.match(
      waiting(pod)?.message ?? "",
      /^Exec lifecycle hook \(\[sh -c echo \$\$ >&2; echo out; exit 3\]\) for Container "c" in Pod "hook-fails_default\(.*\)" failed - error: command 'sh -c .*' exited with 3: \d+\n, message: "out\\n\d+\\n"$/,
    );
    await node.delete("hook-fails", { gracePeriodSeconds: 0 });
  });

  test("a deadline ends the pod with its reason", async () => {
    const { pod } = await node.outcome("deadline", says("exec sleep 1000"), {
      activeDeadlineSeconds: 1,
      restartPolicy: "Always",
    });
    assert.deepEqual([pod.status?.phase, pod.status?.reason], ["Failed", "DeadlineExceeded"]);
  });

  test("hooks: postStart runs before readiness, preStop before the signal and inside the grace period", async () => {
    const container = says("trap 'cat /data/f; exit 0' TERM; while true; do sleep 0.1; done", {
      lifecycle: {
        postStart: { exec: { command: ["sh", "-c", "echo post >> /data/f"] } },
        preStop: { exec: { command: ["sh", "-c", "sleep 0.5; echo pre >> /data/f"] } },
      },
      volumeMounts: [{ name: "data", mountPath: "/data" }],
    });
    await node.create(
      "hooks",
      container,
      // Far longer than the wait for its end below: it ends by itself.
      { terminationGracePeriodSeconds: 600, volumes: [{ name: "data", emptyDir: {} }] },
      { finalizers: ["example.com/hold"] },
    );
    await node.wait("hooks", isReady);
    await bed.client.delete(pods, { namespace: "default", name: "hooks" });
    const pod = await node.wait(
      "hooks",
      ({ status }) => status?.containerStatuses?.[0]?.state?.terminated !== undefined,
    );
    assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.message, "post\npre\n");
    await bed.client.patch(pods, { namespace: "default", name: "hooks" }, "merge", {
      metadata: { finalizers: null },
    });
  });

  test("an init container that fails for good fails the pod", async () => {
    const { pod } = await node.outcome("init-fails", says("true"), {
      initContainers: [says("exit 1", { name: "init" })],
    });
    assert.equal(pod.status?.phase, "Failed");
    assert.equal(
      pod.status?.conditions?.find(({ type }) => type === "Initialized")?.message,
      "containers with incomplete status: [init]",
    );
    assert.equal(waitingReason(pod), "PodInitializing");
  });

  test("an ephemeral container joins a running pod and shares its target's processes", async () => {
    await node.create("debugged", says("exec sleep 12345"));
    const pod = await node.wait("debugged", isReady);
    const debug = {
      ...says("ps; sleep 1"),
      name: "debug",
      targetContainerName: "c",
      terminationMessagePath: "/dev/termination-log",
    };
    await bed.client.updateSubresource(pods, { namespace: "default", name: "debugged" }, "ephemeralcontainers", {
      ...pod,
      spec: { ...pod.spec, ephemeralContainers: [debug] },
    });
    const after = await node.wait(
      "debugged",
      ({ status }) => status?.ephemeralContainerStatuses?.[0]?.state?.terminated !== undefined,
    );
    assert.match(after.status?.ephemeralContainerStatuses?.[0]?.state?.terminated?.message ?? "", /sleep 12345/);
    await bed.client.delete(pods, { namespace: "default", name: "debugged" }, { gracePeriodSeconds: 0 });
  });

  test("a pod the node cannot take is failed with the reason, without being started", async () => {
    await node.create("toobig", says("true", { resources: { requests: { cpu: "1000" } } }));
    const pod = await node.wait("toobig", hasEnded);
    assert.deepEqual([pod.status?.phase, pod.status?.reason], ["Failed", "OutOfcpu"]);
    await node.eventually("an event says so", async () =>
      (await node.events("toobig")).some((text) => text.startsWith("OutOfcpu: ")),
    );
  });

  test("a critical pod has room made for it, and the pod that made it says why it ended", async () => {
    // More than half of the machine.
    const asking = { resources: { requests: { cpu: `${cpus().length * 600}m` } } };
    await node.create("fills", says("exec sleep 1000", asking), { terminationGracePeriodSeconds: 0 });
    await node.wait("fills", isReady);
    await node.create("critical", says("exec sleep 1000", asking), { priority: 2_000_001_000 });
    const pod = await node.wait("fills", hasEnded);
    assert.deepEqual([pod.status?.phase, pod.status?.reason], ["Failed", "Preempting"]);
    const disruption = pod.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
    assert.equal(disruption?.message, "Preempted in order to admit critical pod");
    await node.wait("critical", isReady);
    await bed.client.delete(pods, { namespace: "default", name: "critical" }, { gracePeriodSeconds: 0 });
  });

  test("images: names that are none, policies that forbid pulling, registries that are away", async () => {
    await Promise.all([
      node.create("badname", says("true", { image: "UPPER" })),
      node.create("never", says("true", { image: "none:1", imagePullPolicy: "Never" })),
      node.create("away", says("true", { image: "127.0.0.1:9/none:1" })),
    ]);
    const [badname, never, away] = await Promise.all([
      node.wait("badname", (p) => waitingReason(p) === "InvalidImageName"),
      node.wait("never", (p) => waitingReason(p) === "ErrImageNeverPull"),
      node.wait("away", (p) => waitingReason(p) === "ImagePullBackOff"),
    ]);
    assert.deepEqual(
      [badname.status?.phase, never.status?.phase, away.status?.phase],
      ["Pending", "Pending", "Pending"],
    );
  });

  test("a container that takes too much memory is reported as killed for it", async () => {
    const container: Container = {
      name: "c",
      image: "busybox:1.35",
      imagePullPolicy: "IfNotPresent",
      command: ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=64 & exec tail /dev/zero"],
      resources: { limits: { memory: "16Mi" } },
    };
    const { pod } = await node.outcome("oom", container);
    assert.equal(pod.status?.containerStatuses?.[0]?.state?.terminated?.reason, "OOMKilled");
  });
});
