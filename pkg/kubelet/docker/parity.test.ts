import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { pods } from "#pkg/api/refs.ts";
import type { Container, EphemeralContainer, Pod, PodSpec, PodStatus } from "#pkg/api/types/core-v1.ts";
import { startContainerd } from "../testing/containerd.ts";
import { startDockerd } from "../testing/dockerd.ts";
import { busybox, hasEnded, isReady, startTestBed, waitingReason } from "../testing/node.ts";
import type { TestBed } from "../testing/node.ts";

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
});
