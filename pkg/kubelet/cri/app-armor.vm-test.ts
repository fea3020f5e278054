/** Needs a kernel with AppArmor: `hack/vm-test pkg/kubelet/cri/app-armor.vm-test.ts`. On containerd and on Docker. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { AppArmorProfile, Container, PodSecurityContext, SecurityContext } from "#pkg/api/types/core-v1.ts";
import { readMachine } from "../node/machine.ts";
import { containerConfig, podLogDirectory, sandboxConfig } from "../pod/configs.ts";
import { IMAGES, startContainerd } from "../testing/containerd.ts";
import { startDockerd } from "../testing/dockerd.ts";
import type { TestDaemon } from "../testing/node.ts";
import { container, pod } from "../testing/observed.ts";
import type { SandboxConfig } from "./runtime.ts";

const PROFILE = "kubits-test";
const LATE = "kubits-test-late";
const LOCAL: AppArmorProfile = { type: "Localhost", localhostProfile: PROFILE };
const RUNTIME: AppArmorProfile = { type: "RuntimeDefault" };
const NONE: AppArmorProfile = { type: "Unconfined" };
/** The machine is emulated. */
const PATIENT = { timeoutMs: 240_000 };
const SCRIPT = "cat /proc/self/attr/current; echo x >/tmp/x && echo written";

function load(name: string): void {
  const flags = "flags=(attach_disconnected,mediate_deleted)";
  const input = `profile ${name} ${flags} { file, network, capability, signal, deny /tmp/** w, }\n`;
  execFileSync("apparmor_parser", ["--replace", "--skip-cache"], { input });
}

const podOf = (containers: readonly Container[], securityContext: PodSecurityContext = {}) =>
  pod({ containers: [...containers], hostNetwork: true, securityContext });

/** The words of a line in a container's log: after a time, a stream and a tag, or within JSON as Docker writes it. */
function wordsOf(line: string): string {
  const text = line.startsWith("{") ? (JSON.parse(line) as { log: string }).log : line.split(" ").slice(3).join(" ");
  return text.trimEnd().replaceAll("\0", "");
}

/** Runs the script in containers of one pod that differ in their profiles. */
class Bed {
  readonly #daemon: TestDaemon;
  readonly #sandbox: { readonly id: string; readonly config: SandboxConfig };
  #count = 0;

  private constructor(daemon: TestDaemon, sandbox: { readonly id: string; readonly config: SandboxConfig }) {
    this.#daemon = daemon;
    this.#sandbox = sandbox;
  }

  static async on(daemon: TestDaemon): Promise<Bed> {
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
    return new Bed(daemon, { id: await daemon.runtime.runSandbox(config, "", PATIENT), config });
  }

  /** What the script says under these profiles. */
  async said(ofPod: AppArmorProfile | undefined, own: SecurityContext): Promise<string[]> {
    const name = `c${this.#count++}`;
    const subject = container(name, { securityContext: own });
    const { runtime, directory } = this.#daemon;
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
    const { id, config: parent } = this.#sandbox;
    const made = await runtime.createContainer(id, config, parent, PATIENT);
    await runtime.startContainer(made, PATIENT);
    while ((await runtime.containerStatus(made, PATIENT)).state !== "Exited") await delay(200);
    const log = await readFile(join(parent.logDirectory, config.logPath), "utf8");
    return log.trimEnd().split("\n").map(wordsOf);
  }

  stop(): Promise<void> {
    return this.#daemon.stop();
  }
}

test("the node knows that its kernel has AppArmor", async () => {
  const { appArmor, selinux } = await readMachine("x");
  assert.deepEqual({ appArmor, selinux }, { appArmor: true, selinux: false });
});

const runtimes = [
  ["containerd", () => startContainerd("10.91.7", { appArmor: true }), "cri-containerd.apparmor.d (enforce)"],
  ["Docker", () => startDockerd("10.91.9"), "docker-default (enforce)"],
] as const;
for (const [index, [runtime, start, byDefault]] of runtimes.entries()) {
  describe(runtime, () => {
    let bed: Bed;
    before(async () => {
      assert.equal(readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").trim(), "Y");
      load(PROFILE);
      bed = await Bed.on(await start());
    });
    after(() => bed?.stop());

    const cases: ReadonlyArray<readonly [string, AppArmorProfile | undefined, SecurityContext, string]> = [
      ["nothing said: the runtime's", undefined, {}, byDefault],
      ["the pod's", RUNTIME, {}, byDefault],
      ["none for the pod", NONE, {}, "unconfined"],
      ["the container's own before the pod's", NONE, { appArmorProfile: RUNTIME }, byDefault],
      ["none for a privileged container", undefined, { privileged: true }, "unconfined"],
    ];
    for (const [what, ofPod, own, expected] of cases) {
      test(what, async () => assert.deepEqual(await bed.said(ofPod, own), [expected, "written"]));
    }

    test("a profile of the machine's, which denies what it denies", async () => {
      const [profile, refusal] = await bed.said(RUNTIME, { appArmorProfile: LOCAL });
      assert.equal(profile, `${PROFILE} (enforce)`);
      assert.match(refusal!, /can't create \/tmp\/x: Permission denied/);
    });

    test("a profile that nobody has loaded: no container, until somebody has", async () => {
      const name = `${LATE}-${index}`;
      const late = { appArmorProfile: { type: "Localhost", localhostProfile: name } };
      await assert.rejects(bed.said(undefined, late), new RegExp(`apparmor profile not found ${name}`));
      load(name);
      assert.equal((await bed.said(undefined, late))[0], `${name} (enforce)`);
    });
  });
}
