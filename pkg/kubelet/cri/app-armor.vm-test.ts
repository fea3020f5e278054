/** Needs a kernel with AppArmor: `hack/vm-test pkg/kubelet/cri/app-armor.vm-test.ts`. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { AppArmorProfile, Container, PodSecurityContext, SecurityContext } from "#pkg/api/types/core-v1.ts";
import { readMachine } from "../node/machine.ts";
import { containerConfig, podLogDirectory, sandboxConfig } from "../pod/configs.ts";
import { IMAGES, type TestContainerd, startContainerd } from "../testing/containerd.ts";
import { container, pod } from "../testing/observed.ts";
import type { SandboxConfig } from "./runtime.ts";

const PROFILE = "kubits-test";
const LATE = "kubits-test-late";
const LOCAL: AppArmorProfile = { type: "Localhost", localhostProfile: PROFILE };
const RUNTIME: AppArmorProfile = { type: "RuntimeDefault" };
const NONE: AppArmorProfile = { type: "Unconfined" };
const DEFAULT = "cri-containerd.apparmor.d (enforce)";
/** The machine is emulated. */
const PATIENT = { timeoutMs: 240_000 };
const SCRIPT = "cat /proc/self/attr/current; echo x >/tmp/x && echo written";

let daemon: TestContainerd;
let sandbox: { readonly id: string; readonly config: SandboxConfig };
let count = 0;

function load(name: string): void {
  const flags = "flags=(attach_disconnected,mediate_deleted)";
  const input = `profile ${name} ${flags} { file, network, capability, signal, deny /tmp/** w, }\n`;
  execFileSync("apparmor_parser", ["--replace", "--skip-cache"], { input });
}

const podOf = (containers: readonly Container[], securityContext: PodSecurityContext = {}) =>
  pod({ containers: [...containers], hostNetwork: true, securityContext });

before(async () => {
  assert.equal(readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").trim(), "Y");
  load(PROFILE);
  daemon = await startContainerd("10.91.7", { appArmor: true });
  // Only a pod with a privileged container may have one.
  const subject = podOf([container("c", { securityContext: { privileged: true } })]);
  const config = sandboxConfig({
    pod: subject,
    attempt: 0,
    hostname: "",
    dns: { servers: [], searches: [], options: [] },
    podLogsDir: daemon.directory,
    cgroupParent: daemon.cgroupRoot,
    seccompRoot: daemon.directory,
    seccompDefault: false,
  });
  await mkdir(podLogDirectory(daemon.directory, subject), { recursive: true });
  sandbox = { id: await daemon.runtime.runSandbox(config, "", PATIENT), config };
});
after(() => daemon?.stop());

/** Runs the script in a container of the pod and answers what it says. */
async function said(ofPod: AppArmorProfile | undefined, own: SecurityContext): Promise<string[]> {
  const name = `c${count++}`;
  const subject = container(name, { securityContext: own });
  const { runtime, directory } = daemon;
  const config = containerConfig({
    pod: podOf([subject], ofPod === undefined ? {} : { appArmorProfile: ofPod }),
    container: { ...subject, command: ["sh", "-c", SCRIPT] },
    restartCount: 0,
    image: { image: IMAGES.busybox },
    imageUser: { uid: 0, username: "" },
    env: new Map(),
    mounts: [],
    resources: {},
    seccompRoot: directory,
    seccompDefault: false,
  });
  const { id, config: parent } = sandbox;
  const made = await runtime.createContainer(id, config, parent, PATIENT);
  await runtime.startContainer(made, PATIENT);
  while ((await runtime.containerStatus(made, PATIENT)).state !== "Exited") await delay(200);
  const log = await readFile(join(parent.logDirectory, config.logPath), "utf8");
  // Each line of the log has a time, a stream and a tag before it.
  return log
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ").slice(3).join(" ").replaceAll("\0", ""));
}

test("the node knows that its kernel has AppArmor", async () => {
  const { appArmor, selinux } = await readMachine("x");
  assert.deepEqual({ appArmor, selinux }, { appArmor: true, selinux: false });
});

const cases: ReadonlyArray<readonly [string, AppArmorProfile | undefined, SecurityContext, string]> = [
  ["nothing said: the runtime's", undefined, {}, DEFAULT],
  ["the pod's", RUNTIME, {}, DEFAULT],
  ["none for the pod", NONE, {}, "unconfined"],
  ["the container's own before the pod's", NONE, { appArmorProfile: RUNTIME }, DEFAULT],
  ["none for a privileged container", undefined, { privileged: true }, "unconfined"],
];
for (const [what, ofPod, own, expected] of cases) {
  test(what, async () => assert.deepEqual(await said(ofPod, own), [expected, "written"]));
}

test("a profile of the machine's, which denies what it denies", async () => {
  const [profile, refusal] = await said(RUNTIME, { appArmorProfile: LOCAL });
  assert.equal(profile, `${PROFILE} (enforce)`);
  assert.match(refusal!, /can't create \/tmp\/x: Permission denied/);
});

test("a profile that nobody has loaded: no container, until somebody has", async () => {
  const late = { appArmorProfile: { type: "Localhost", localhostProfile: LATE } };
  await assert.rejects(said(undefined, late), new RegExp(`apparmor profile not found ${LATE}`));
  load(LATE);
  assert.equal((await said(undefined, late))[0], `${LATE} (enforce)`);
});
