import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster, within } from "../framework/lab.ts";
import { BUSYBOX, NGINX, pod } from "../framework/manifests.ts";

const context = useCluster("pods");

test("logs come whole, by the tail and followed", within(120_000), async () => {
  const { cluster } = context;
  const script = "for i in 1 2 3 4 5; do echo line $i; done; sleep 2; echo late; sleep 600";
  await cluster.apply(pod("logger", { command: ["sh", "-c", script] }));
  await cluster.ready("pod/logger");
  await eventually("five lines", async () =>
    (await cluster.kubectl(["logs", "logger"])).includes("line 5") ? true : undefined,
  );
  assert.equal((await cluster.kubectl(["logs", "logger", "--tail=2"])).trimEnd().split("\n").length, 2);
  const followed = await cluster
    .here(
      "timeout",
      ["8", "kubectl", "--kubeconfig", cluster.lab.adminConf, "-n", cluster.namespace, "logs", "-f", "logger"],
      { allowFailure: true },
    )
    .then(({ stdout }) => stdout);
  assert.equal(followed, "line 1\nline 2\nline 3\nline 4\nline 5\nlate\n");
  const stamped = await cluster.kubectl(["logs", "logger", "--timestamps", "--tail=1"]);
  assert.match(stamped, /^\d{4}-\d\d-\d\dT[\d:.]+Z late\n$/);
});

test("exec runs a command, passes standard input and the exit code on", within(120_000), async () => {
  const { cluster } = context;
  const before = { name: "before", image: BUSYBOX, command: ["true"] };
  await cluster.apply(pod("worker", { spec: { initContainers: [before] } }));
  await cluster.ready("pod/worker");
  assert.equal(await cluster.exec("worker", "echo", "hello"), "hello\n");
  assert.equal(await cluster.kubectl(["exec", "-i", "worker", "--", "tr", "a-z", "A-Z"], { stdin: "shout" }), "SHOUT");
  const failed = await cluster.try(["exec", "worker", "--", "sh", "-c", "echo no >&2; exit 7"]);
  assert.equal(failed.exitCode, 7);
  assert.match(failed.stderr, /^no$/m);
  const ended = await cluster.try(["exec", "worker", "-c", "before", "--", "true"]);
  assert.match(ended.stderr, /unable to upgrade connection: container not found \("before"\)/);
  const plain = `/api/v1/namespaces/${cluster.namespace}/pods/worker/exec?command=true&stdout=true&container=main`;
  assert.match((await cluster.try(["get", "--raw", plain])).stderr, /\(BadRequest\): Upgrade request required/);
});

test("exec -it gives a terminal", within(120_000), async () => {
  const { cluster } = context;
  await cluster.apply(pod("terminal"));
  await cluster.ready("pod/terminal");
  const inner = [
    "kubectl",
    "--kubeconfig",
    cluster.lab.adminConf,
    "-n",
    cluster.namespace,
    "exec",
    "-it",
    "terminal",
    "--",
    "sh",
    "-c",
    "tty && stty size",
  ];
  // script(1) gives kubectl a terminal of its own.
  const { stdout } = await cluster.here(
    "script",
    ["-qec", inner.join(" ").replace("sh -c tty && stty size", "sh -c 'tty && stty size'"), "/dev/null"],
    { stdin: "", timeoutMs: 30_000 },
  );
  assert.match(stdout, /\/dev\/pts\/\d+/);
});

test("port-forward reaches the pod", within(120_000), async () => {
  const { cluster } = context;
  await cluster.apply(pod("forwarded", { image: NGINX }));
  await cluster.ready("pod/forwarded");
  const forwarding = cluster.spawn("kubectl", [
    "--kubeconfig",
    cluster.lab.adminConf,
    "-n",
    cluster.namespace,
    "port-forward",
    "pod/forwarded",
    "18080:80",
  ]);
  try {
    const { stdout } = await eventually("the forwarded port answers", () =>
      cluster.here("curl", ["-sSf", "-m", "5", "http://127.0.0.1:18080"]),
    );
    assert.match(stdout, /Welcome to nginx/);
  } finally {
    forwarding.kill("SIGTERM");
  }
});

test(
  "restart policies: Always restarts and counts, OnFailure stops at success, Never fails the pod",
  within(180_000),
  async () => {
    const { cluster } = context;
    await cluster.apply([
      pod("always", { command: ["sh", "-c", "sleep 1; exit 1"] }),
      pod("on-failure", {
        command: ["sh", "-c", "test -f /data/second && exit 0; touch /data/second; exit 1"],
        container: { volumeMounts: [{ name: "data", mountPath: "/data" }] },
        spec: { restartPolicy: "OnFailure", volumes: [{ name: "data", emptyDir: {} }] },
      }),
      pod("never", { command: ["sh", "-c", "exit 3"], spec: { restartPolicy: "Never" } }),
    ]);
    const count = (name: string) => cluster.jsonpath(`pod/${name}`, "{.status.containerStatuses[0].restartCount}");
    await eventually(
      "Always has restarted",
      async () => (Number(await count("always")) >= 1 ? true : undefined),
      60_000,
    );
    await eventually(
      "OnFailure succeeds",
      async () => ((await cluster.jsonpath("pod/on-failure", "{.status.phase}")) === "Succeeded" ? true : undefined),
      60_000,
    );
    assert.equal(await count("on-failure"), "1");
    await eventually("Never fails", async () =>
      (await cluster.jsonpath("pod/never", "{.status.phase}")) === "Failed" ? true : undefined,
    );
    assert.equal(await cluster.jsonpath("pod/never", "{.status.containerStatuses[0].state.terminated.exitCode}"), "3");
  },
);

test("a pod is given its grace period, then killed", within(120_000), async () => {
  const { cluster } = context;
  const stubborn = {
    command: ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
    spec: { terminationGracePeriodSeconds: 3 },
  };
  await cluster.apply([pod("polite"), pod("stubborn", stubborn)]);
  await cluster.ready("pod/polite");
  await cluster.ready("pod/stubborn");
  const begun = Date.now();
  await cluster.kubectl(["delete", "pod", "stubborn", "--wait=true"]);
  const taken = Date.now() - begun;
  assert.ok(taken >= 2500 && taken < 20_000, `took ${taken} ms`);
  await cluster.kubectl(["delete", "pod", "polite", "--wait=true"]);
});

test("an image that does not exist is reported and retried", within(90_000), async () => {
  const { cluster } = context;
  await cluster.apply(pod("no-image", { image: "busybox:no-such-tag" }));
  await eventually("the reason is shown", async () => {
    const reason = await cluster.jsonpath("pod/no-image", "{.status.containerStatuses[0].state.waiting.reason}");
    return ["ErrImagePull", "ImagePullBackOff"].includes(reason) ? true : undefined;
  });
  assert.match(await cluster.kubectl(["describe", "pod", "no-image"]), /Failed to pull image "busybox:no-such-tag"/);
});
