import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, useCluster, within } from "../framework/lab.ts";
import { BUSYBOX, NGINX, pod } from "../framework/manifests.ts";

const context = useCluster("probes");
const limit = within(150_000);
const field = (name: string, path: string) => context.cluster.jsonpath(`pod/${name}`, path);
const SLEEP = "trap 'exit 0' TERM; while :; do sleep 1 & wait; done";

interface Status {
  readonly restartCount: number;
  readonly ready: boolean;
  readonly started: boolean;
}
const status = async (name: string) =>
  JSON.parse(await field(name, "{.status.containerStatuses[0]}")) as Status & { state: object };
const until = (what: string, name: string, holds: (status: Status) => boolean) =>
  eventually(what, async () => (holds(await status(name)) ? true : undefined), 40_000);

test("a failing liveness probe restarts the container, a good one does not", limit, async () => {
  const { cluster } = context;
  const liveness = (command: string[]) => ({
    livenessProbe: { exec: { command }, periodSeconds: 1, failureThreshold: 1 },
  });
  await cluster.apply([
    pod("dying", {
      command: ["sh", "-c", `touch /tmp/ok; (sleep 3; rm /tmp/ok) & ${SLEEP}`],
      container: liveness(["cat", "/tmp/ok"]),
    }),
    pod("living", { container: liveness(["true"]) }),
  ]);
  await until("the dying one has been restarted", "dying", ({ restartCount }) => restartCount >= 1);
  assert.equal((await status("living")).restartCount, 0);
  const events = await cluster.kubectl(["get", "events", "--field-selector=involvedObject.name=dying"]);
  assert.match(events, /Warning +Unhealthy +pod\/dying +Liveness probe failed: cat: can't open '\/tmp\/ok'/);
  assert.match(events, /Killing +pod\/dying +Container main failed liveness probe, will be restarted/);
});

test("readiness by HTTP and TCP: not before the initial delay, and without restarts", limit, async () => {
  const { cluster } = context;
  const probed = (readinessProbe: object) => ({ image: NGINX, container: { readinessProbe } });
  await cluster.apply([
    pod("http", probed({ httpGet: { path: "/", port: 80 }, initialDelaySeconds: 5, periodSeconds: 1 })),
    pod("tcp", probed({ tcpSocket: { port: 80 }, periodSeconds: 1 })),
    pod("refused", probed({ httpGet: { path: "/missing", port: 80 }, periodSeconds: 1 })),
  ]);
  await cluster.ready("pod/http", 40);
  await cluster.ready("pod/tcp", 40);
  const started = Date.parse(await field("http", "{.status.containerStatuses[0].state.running.startedAt}"));
  const ready = Date.parse(await field("http", '{.status.conditions[?(@.type=="Ready")].lastTransitionTime}'));
  assert.ok(ready - started >= 5000, `ready after ${ready - started} ms`);
  const selector = "--field-selector=involvedObject.name=refused";
  const events = await eventually("the probe is reported", async () => {
    const text = await cluster.kubectl(["get", "events", selector]);
    return text.includes("Unhealthy") ? text : undefined;
  });
  assert.match(events, /Readiness probe failed: HTTP probe failed with statuscode: 404/);
  const refused = await status("refused");
  assert.deepEqual([refused.ready, refused.restartCount], [false, 0]);
});

test("a startup probe holds the others back until it succeeds", limit, async () => {
  const { cluster } = context;
  const exec = { command: ["test", "-f", "/tmp/up"] };
  const container = {
    startupProbe: { exec, periodSeconds: 1, failureThreshold: 40 },
    livenessProbe: { exec, periodSeconds: 1, failureThreshold: 1 },
  };
  await cluster.apply(pod("slow", { container }));
  await eventually("a failed start is reported", async () => {
    const events = await cluster.kubectl(["get", "events", "--field-selector=involvedObject.name=slow"]);
    return events.includes("Startup probe failed") ? true : undefined;
  });
  const before = await status("slow");
  assert.deepEqual([before.started, before.ready, before.restartCount], [false, false, 0]);
  await cluster.exec("slow", "touch", "/tmp/up");
  await cluster.ready("pod/slow", 20);
  const after = await status("slow");
  assert.deepEqual([after.started, after.restartCount], [true, 0]);
});

test("kubectl debug adds an ephemeral container that sees the target's processes", limit, async () => {
  const { cluster } = context;
  await cluster.apply(pod("debugged"));
  await cluster.ready("pod/debugged");
  const debug = [
    "debug",
    "debugged",
    `--image=${BUSYBOX}`,
    "--container=debugger",
    "--target=main",
    "--profile=general",
  ];
  await cluster.kubectl([...debug, "--", "sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"]);
  await eventually("the debugger has ended", async () =>
    (await field("debugged", "{.status.ephemeralContainerStatuses[0].state.terminated.reason}")) === "Completed"
      ? true
      : undefined,
  );
  assert.match(await cluster.kubectl(["logs", "debugged", "-c", "debugger"]), /^sh -c trap/);
  assert.equal((await status("debugged")).restartCount, 0);
  const removed = await cluster.try([
    "patch",
    "pod",
    "debugged",
    "--subresource=ephemeralcontainers",
    "--type=json",
    "-p",
    '[{"op":"remove","path":"/spec/ephemeralContainers"}]',
  ]);
  assert.match(removed.stderr, /existing ephemeral containers "debugger" may not be removed/);
});

test("resources are resized in place, without a restart, and the generation is observed", limit, async () => {
  const { cluster } = context;
  const resources = { requests: { cpu: "100m", memory: "32Mi" }, limits: { cpu: "200m", memory: "64Mi" } };
  await cluster.apply(pod("resized", { container: { resources } }));
  await cluster.ready("pod/resized");
  assert.equal(await field("resized", "{.metadata.generation} {.status.observedGeneration}"), "1 1");
  // The files of cgroup v2, or those of v1 where the machine still has it.
  const limits = () =>
    cluster.exec(
      "resized",
      "sh",
      "-c",
      "cd /sys/fs/cgroup; if [ -f cpu.max ]; then cat cpu.max memory.max; else " +
        "echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); cat memory/memory.limit_in_bytes; fi",
    );
  assert.equal(await limits(), `20000 100000\n${64 * 1024 * 1024}\n`);
  const wanted = { requests: { cpu: "150m", memory: "32Mi" }, limits: { cpu: "300m", memory: "96Mi" } };
  const patch = JSON.stringify({ spec: { containers: [{ name: "main", resources: wanted }] } });
  await cluster.kubectl(["patch", "pod", "resized", "--subresource=resize", "-p", patch]);
  await eventually("the kubelet has done it", async () => {
    const done = await field(
      "resized",
      "{.status.observedGeneration} {.status.containerStatuses[0].resources.limits.memory}",
    );
    return done === "2 96Mi" ? true : undefined;
  });
  assert.equal(await limits(), `30000 100000\n${96 * 1024 * 1024}\n`);
  assert.deepEqual(JSON.parse(await field("resized", "{.status.containerStatuses[0].resources}")), wanted);
  assert.equal((await status("resized")).restartCount, 0);
  await eventually("an event says what the pod has now", async () => {
    const of = "--field-selector=involvedObject.name=resized,reason=ResizeCompleted";
    const said = await cluster.kubectl(["get", "events", of, "-o", "jsonpath={.items[*].message}"]);
    const summary = { containers: [{ name: "main", resources: { limits: wanted.limits, requests: wanted.requests } }] };
    return said === `Pod resize completed: ${JSON.stringify({ ...summary, generation: 2 })}` ? true : undefined;
  });
  const refused = await cluster.try(["patch", "pod", "resized", "-p", patch.replace("150m", "160m")]);
  assert.match(refused.stderr, /pod updates may not change fields other than/);
});
