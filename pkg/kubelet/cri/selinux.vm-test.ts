/**
 * Needs a kernel with SELinux and Debian's policy, enforced or not:
 * `KUBITS_VM_SELINUX=1 hack/vm-test pkg/kubelet/cri/selinux.vm-test.ts`. On containerd and on Docker.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { SELinuxOptions } from "#pkg/api/types/core-v1.ts";
import { SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { HostMounts } from "../mounts.ts";
import { readMachine } from "../node/machine.ts";
import { containerConfig, podLogDirectory, sandboxConfig } from "../pod/configs.ts";
import { containerMounts } from "../pod/mounts.ts";
import { IMAGES, startContainerd } from "../testing/containerd.ts";
import { startDockerd } from "../testing/dockerd.ts";
import type { TestDaemon } from "../testing/node.ts";
import { container, pod } from "../testing/observed.ts";
import type { MountedVolume } from "../volumes/volume.ts";

const LEVEL = "s0:c123,c456";
/** The machine is emulated. */
const PATIENT = { timeoutMs: 240_000 };
const label = (path: string) => execFileSync("stat", ["-c", "%C", path], { encoding: "utf8" }).trim();

/** Runs a container with these options of the pod and of its own; answers its process's label. */
async function labelOf(
  { runtime, directory, cgroupRoot }: TestDaemon,
  name: string,
  ofPod: SELinuxOptions | undefined,
  own: SELinuxOptions | undefined,
) {
  const volumeMounts = ["own", "host"].map((volume) => ({ name: volume, mountPath: `/${volume}` }));
  const subject = container("c", {
    volumeMounts,
    ...(own === undefined ? {} : { securityContext: { seLinuxOptions: own } }),
  });
  const securityContext = ofPod === undefined ? {} : { seLinuxOptions: ofPod };
  const of = pod({ containers: [subject], hostNetwork: true, securityContext }, {}, { name, uid: name });
  const podDirectory = join(directory, name);
  for (const volume of volumeMounts) await mkdir(join(podDirectory, volume.name), { recursive: true });
  await writeFile(join(podDirectory, "own", "file"), "");
  const common = { pod: of, seccompRoot: directory, seccompDefault: false };
  const parent = sandboxConfig({
    ...common,
    attempt: 0,
    hostname: "",
    dns: { servers: [], searches: [], options: [] },
    podLogsDir: directory,
    cgroupParent: cgroupRoot,
  });
  await mkdir(podLogDirectory(directory, of), { recursive: true });
  const { selinux } = await readMachine("x");
  const volumes = new Map(
    ["own", "host"].map((volume): [string, MountedVolume] => {
      const hostPath = join(podDirectory, volume);
      return [volume, { kind: "path", hostPath, readOnly: false, relabel: volume === "own" }];
    }),
  );
  const mounts = await containerMounts({
    pod: of,
    container: subject,
    volumes,
    images: new Map(),
    env: new Map(),
    podDirectory,
    mounts: new HostMounts(new SpawnRunner()),
    log: silentLogger,
    hosts: "127.0.0.1 localhost\n",
    recursiveReadOnlySupported: false,
    selinux,
  });
  const config = containerConfig({
    ...common,
    container: { ...subject, command: ["cat", "/proc/self/attr/current"] },
    restartCount: 0,
    image: { image: IMAGES.busybox },
    imageUser: { uid: 0, username: "" },
    env: new Map(),
    mounts,
    resources: {},
  });
  const sandboxId = await runtime.runSandbox(parent, "", PATIENT);
  const made = await runtime.createContainer(sandboxId, config, parent, PATIENT);
  await runtime.startContainer(made, PATIENT);
  while ((await runtime.containerStatus(made, PATIENT)).state !== "Exited") await delay(200);
  const log = await readFile(join(parent.logDirectory, config.logPath), "utf8");
  return { label: /\w+:\w+:\w+:s0[\w:,.]*/.exec(log)?.[0] ?? log, podDirectory };
}

const runtimes = [
  ["containerd", () => startContainerd("10.91.8", { selinux: true })],
  ["Docker", () => startDockerd("10.91.6", { selinux: true })],
] as const;
for (const [runtime, start] of runtimes) {
  describe(runtime, () => {
    let daemon: TestDaemon;
    before(async () => {
      daemon = await start();
    });
    after(() => daemon?.stop());

    test("without options the runtime labels, each pod by categories of its own", async () => {
      const { label: process, podDirectory } = await labelOf(daemon, "plain", undefined, undefined);
      const [, level] = /^system_u:system_r:svirt_t:(s0:c\d+,c\d+)$/.exec(process) ?? [];
      assert.notEqual(level, undefined, process);
      for (const path of ["own", "own/file", "etc-hosts"])
        assert.equal(label(join(podDirectory, path)), `system_u:object_r:svirt_image_t:${level}`, path);
      assert.doesNotMatch(label(join(podDirectory, "host")), /svirt_image_t/, "what is the machine's stays as it is");
    });

    test("a pod's options are its containers', and its volumes follow", async () => {
      const { label: process, podDirectory } = await labelOf(daemon, "level", { level: LEVEL }, undefined);
      assert.equal(process, `system_u:system_r:svirt_t:${LEVEL}`);
      assert.equal(label(join(podDirectory, "own", "file")), `system_u:object_r:svirt_image_t:${LEVEL}`);
    });

    test("a container's own options come before the pod's", async () => {
      const own = { type: "initrc_t", level: LEVEL };
      const { label: process } = await labelOf(daemon, "own", { level: "s0:c1,c2" }, own);
      assert.equal(process, `system_u:system_r:initrc_t:${LEVEL}`);
    });
  });
}
