import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { eventually, useCluster, within } from "../framework/lab.ts";
import { BUSYBOX, pod } from "../framework/manifests.ts";

const context = useCluster("lifecycle");
const limit = within(180_000);
const SLEEP = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done";

const sh = (script: string) => ["sh", "-c", script];
const init = (name: string, script: string) => ({ name, image: BUSYBOX, command: sh(script) });
const phaseIs = (name: string, phase: string) =>
  eventually(
    `${name} is ${phase}`,
    async () => ((await context.cluster.jsonpath(`pod/${name}`, "{.status.phase}")) === phase ? true : undefined),
    120_000,
  );
const field = (name: string, path: string) => context.cluster.jsonpath(`pod/${name}`, path);

test("init containers run in order, before the others, and to the end", limit, async () => {
  const volumes = [{ name: "data", emptyDir: {} }];
  const volumeMounts = [{ name: "data", mountPath: "/data" }];
  await context.cluster.apply(
    pod("inits", {
      command: sh("cat /data/order"),
      container: { volumeMounts },
      spec: {
        restartPolicy: "Never",
        volumes,
        initContainers: [
          { ...init("first", "sleep 1; echo first >>/data/order"), volumeMounts },
          { ...init("second", "echo second >>/data/order"), volumeMounts },
        ],
      },
    }),
  );
  await phaseIs("inits", "Succeeded");
  assert.equal(await context.cluster.kubectl(["logs", "inits"]), "first\nsecond\n");
  assert.equal(
    await field("inits", "{.status.initContainerStatuses[*].state.terminated.reason}"),
    "Completed Completed",
  );
  assert.equal(await field("inits", '{.status.conditions[?(@.type=="Initialized")].status}'), "True");
});

test("a failing init container fails the pod on Never and is tried again on Always", limit, async () => {
  const initContainers = [init("failing", "exit 4"), init("unreached", "true")];
  await context.cluster.apply([
    pod("init-never", { spec: { restartPolicy: "Never", initContainers } }),
    pod("init-always", { spec: { restartPolicy: "Always", initContainers } }),
  ]);
  await phaseIs("init-never", "Failed");
  assert.equal(await field("init-never", "{.status.initContainerStatuses[0].state.terminated.exitCode}"), "4");
  assert.equal(await field("init-never", "{.status.initContainerStatuses[0].restartCount}"), "0");
  assert.equal(await field("init-never", "{.status.containerStatuses[0].state.waiting.reason}"), "PodInitializing");
  await eventually(
    "a third attempt",
    async () =>
      Number(await field("init-always", "{.status.initContainerStatuses[0].restartCount}")) >= 2 ? true : undefined,
    50_000,
  );
  assert.equal(await field("init-always", "{.status.phase}"), "Pending");
  const initialized = JSON.parse(
    await field("init-always", '{.status.conditions[?(@.type=="Initialized")]}'),
  ) as Record<string, string>;
  assert.equal(initialized["reason"], "ContainersNotInitialized");
  assert.equal(initialized["message"], "containers with incomplete status: [failing unreached]");
});

test("a sidecar starts first, stays beside the others and does not hold up completion", limit, async () => {
  const sidecar = { ...init("sidecar", SLEEP), restartPolicy: "Always" };
  await context.cluster.apply(
    pod("sidecar", { command: sh("sleep 2"), spec: { restartPolicy: "Never", initContainers: [sidecar] } }),
  );
  await eventually("the sidecar is started", async () =>
    (await field("sidecar", "{.status.initContainerStatuses[0].started}")) === "true" ? true : undefined,
  );
  await phaseIs("sidecar", "Succeeded");
});

test("postStart runs before the container counts as running, preStop before it is stopped", limit, async () => {
  const { cluster } = context;
  const lifecycle = {
    postStart: { exec: { command: sh("sleep 1; echo started >/tmp/hook") } },
    preStop: { exec: { command: sh("echo stopping >/proc/1/fd/1") } },
  };
  await cluster.apply(
    pod("hooked", {
      command: sh(`echo up; ${SLEEP}`),
      container: { lifecycle },
      spec: { terminationGracePeriodSeconds: 5, restartPolicy: "Never" },
    }),
  );
  await cluster.ready("pod/hooked");
  assert.equal(await cluster.exec("hooked", "cat", "/tmp/hook"), "started\n");
  const where = ["--kubeconfig", cluster.lab.adminConf, "--namespace", cluster.namespace];
  const following = cluster.spawn("kubectl", [...where, "logs", "--follow", "hooked"]);
  const ended = once(following, "close");
  let followed = "";
  following.stdout!.on("data", (chunk: Buffer) => (followed += chunk.toString()));
  await eventually("the log is followed", async () => (followed === "up\n" ? true : undefined));
  await cluster.kubectl(["delete", "pod", "hooked", "--wait=true"]);
  await ended;
  assert.equal(followed, "up\nstopping\n");
});

test("a failing postStart hook kills the container and says so", limit, async () => {
  const { cluster } = context;
  const lifecycle = { postStart: { exec: { command: ["false"] } } };
  await cluster.apply(pod("bad-hook", { container: { lifecycle } }));
  await eventually("the event", async () => {
    const selector = "--field-selector=involvedObject.name=bad-hook,reason=FailedPostStartHook";
    return (await cluster.kubectl(["get", "events", selector, "-o", "name"])) === "" ? undefined : true;
  });
  await cluster.kubectl([
    "wait",
    "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
    "pod/bad-hook",
    "--timeout=40s",
  ]);
});

test("the termination message comes from its file, or on error from the log", limit, async () => {
  const fallback = { terminationMessagePolicy: "FallbackToLogsOnError" };
  const once = (name: string, script: string, container = {}) =>
    pod(name, { command: sh(script), container, spec: { restartPolicy: "Never" } });
  await context.cluster.apply([
    once("message-file", "echo -n DONE >/dev/termination-log"),
    once("message-path", "echo -n CUSTOM >/dev/custom-log", {
      terminationMessagePath: "/dev/custom-log",
      securityContext: { runAsUser: 1000 },
    }),
    once("message-log", "echo from the log; exit 1", fallback),
    once("message-none", "echo from the log", fallback),
    once("message-both", "echo from the log; echo -n file >/dev/termination-log; exit 1", fallback),
  ]);
  const message = async (name: string, phase: string) => {
    await phaseIs(name, phase);
    return field(name, "{.status.containerStatuses[0].state.terminated.message}");
  };
  assert.equal(await message("message-file", "Succeeded"), "DONE");
  assert.equal(await message("message-path", "Succeeded"), "CUSTOM");
  assert.equal(await message("message-log", "Failed"), "from the log\n");
  assert.equal(await message("message-none", "Succeeded"), "");
  assert.equal(await message("message-both", "Failed"), "file");
});

test("activeDeadlineSeconds ends a pod, also when it is set later", limit, async () => {
  const { cluster } = context;
  await cluster.apply(pod("deadline"));
  await cluster.ready("pod/deadline");
  await cluster.kubectl(["patch", "pod", "deadline", "-p", '{"spec":{"activeDeadlineSeconds":3}}']);
  await phaseIs("deadline", "Failed");
  assert.equal(await field("deadline", "{.status.reason}"), "DeadlineExceeded");
  assert.match(
    await field("deadline", "{.status.message}"),
    /^Pod was active on the node longer than the specified deadline$/,
  );
  const raised = await cluster.try(["patch", "pod", "deadline", "-p", '{"spec":{"activeDeadlineSeconds":30}}']);
  assert.match(raised.stderr, /must be less than or equal to previous value/);
});
