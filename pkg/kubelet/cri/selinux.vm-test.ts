/**
 * Needs a kernel with SELinux and Debian's policy, enforced or not:
 * `KUBITS_VM_SELINUX=1 hack/vm-test pkg/kubelet/cri/selinux.vm-test.ts`.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { SELinuxOptions } from "#pkg/api/types/core-v1.ts";
import { SpawnRunner, silentLogger } from "#pkg/util/index.ts";
import { HostMounts } from "../mounts.ts";
import { readMachine } from "../node/machine.ts";
import { containerConfig, podLogDirectory, sandboxConfig } from "../pod/configs.ts";
import { containerMounts } from "../pod/mounts.ts";
import { IMAGES, type TestContainerd, startContainerd } from "../testing/containerd.ts";
import { container, pod } from "../testing/observed.ts";
import type { MountedVolume } from "../volumes/volume.ts";

const LEVEL = "s0:c123,c456";
/** The machine is emulated. */
const PATIENT = { timeoutMs: 240_000 };
let daemon: TestContainerd;
let directory: string;

before(async () => {
  daemon = await startContainerd("10.91.8", { selinux: true });
  directory = daemon.directory;
});
after(() => daemon?.stop());

const label = (path: string) => execFileSync("stat", ["-c", "%C", path], { encoding: "utf8" }).trim();

/** Runs a container with these options of the pod and of its own; answers its process's label. */
async function labelOf(name: string, ofPod: SELinuxOptions | undefined, own: SELinuxOptions | undefined) {
  const { runtime } = daemon;
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
    cgroupParent: daemon.cgroupRoot,
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
  // A line of the log has a time, a stream and a tag before it.
  return { label: log.trim().split(" ")[3]!.replaceAll("\0", ""), podDirectory };
}

test("without options the runtime labels, each pod by categories of its own", async () => {
  const { label: process, podDirectory } = await labelOf("plain", undefined, undefined);
  const [, level] = /^system_u:system_r:svirt_t:(s0:c\d+,c\d+)$/.exec(process) ?? [];
  assert.notEqual(level, undefined, process);
  for (const path of ["own", "own/file", "etc-hosts"])
    assert.equal(label(join(podDirectory, path)), `system_u:object_r:svirt_image_t:${level}`, path);
  assert.doesNotMatch(label(join(podDirectory, "host")), /svirt_image_t/, "what is the machine's stays as it is");
});

test("a pod's options are its containers', and its volumes follow", async () => {
  const { label: process, podDirectory } = await labelOf("level", { level: LEVEL }, undefined);
  assert.equal(process, `system_u:system_r:svirt_t:${LEVEL}`);
  assert.equal(label(join(podDirectory, "own", "file")), `system_u:object_r:svirt_image_t:${LEVEL}`);
});

test("a container's own options come before the pod's", async () => {
  const own = { type: "initrc_t", level: LEVEL };
  assert.equal((await labelOf("own", { level: "s0:c1,c2" }, own)).label, `system_u:system_r:initrc_t:${LEVEL}`);
});
