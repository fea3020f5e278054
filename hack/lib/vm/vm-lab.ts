import { copyFileSync, cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { RunOptions } from "../any-lab.ts";
import { Daemons } from "../daemons.ts";
import { PlainError } from "../plain-errors.ts";
import { type VmImage, MAX_MACHINES, ensureImage, fileSystem } from "./image.ts";
import { Machine } from "./machine.ts";

const root = join(import.meta.dirname, "../../..");
const runner = new SpawnRunner();
/** Emulated machines on a busy host are slow; on real ones these limits are never met. */
const BOOT_TIMEOUT_MS = 900_000;
const STEP_TIMEOUT_MS = 1_800_000;

export interface VmLabOptions {
  /** Besides the master, which is a node too. */
  readonly nodes: number;
  /** Lines for /etc/kubits/node.yaml, e.g. "proxy-mode=ipvs". */
  readonly settings: readonly string[];
  readonly cacheDir: string;
  readonly memoryMiB: number;
  /** Debian packages that the machines have besides those that every lab's have. */
  readonly packages: readonly string[];
  readonly kernelArgs: readonly string[];
  /** The package of Kubits to install; undefined: one is built. */
  readonly debian: string | undefined;
  readonly progress: (line: string) => void;
}

async function buildPackage(out: string, progress: (line: string) => void): Promise<string> {
  progress("Debian package");
  await runner.run(join(root, "hack/release"), ["--quick", "--out", out], { timeoutMs: STEP_TIMEOUT_MS });
  const [debian] = globSync("kubits_*.deb", { cwd: out });
  return join(out, debian!);
}

/** What comes from packages that few machines have. Rejects before anything is made. */
async function requirePrograms(): Promise<void> {
  const programs = { debootstrap: "debootstrap", "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils" };
  const missing: string[] = [];
  for (const [program, debian] of Object.entries(programs)) {
    const { exitCode } = await runner.run("which", [program], { allowFailure: true });
    if (exitCode !== 0) missing.push(debian);
  }
  if (missing.length > 0) throw new PlainError(`virtual machines need: apt-get install ${missing.join(" ")}`);
}

interface State {
  readonly machines: number;
  readonly image: VmImage;
  readonly memoryMiB: number;
  readonly kernelArgs: readonly string[];
}

/**
 * Debian machines under QEMU that run Kubits as systemd services from the built package. Their network is a bridge in a
 * namespace of its own, so nothing of the host is touched. The first machine is the master.
 */
export class VmLab {
  readonly dir: string;
  readonly machines: readonly Machine[];
  readonly #namespace: string;

  constructor(dir: string, { machines, ...machine }: State) {
    this.dir = dir;
    this.#namespace = basename(dir).toLowerCase();
    const daemons = new Daemons({ runDir: join(dir, "run"), logDir: join(dir, "log") });
    const shared = { dir, daemons, namespace: this.#namespace, ...machine };
    this.machines = Array.from({ length: machines }, (_, index) => new Machine({ ...shared, number: index + 1 }));
  }

  static attach(dir: string): VmLab {
    return new VmLab(dir, JSON.parse(readFileSync(join(dir, "vm-lab.json"), "utf8")) as State);
  }

  get nodes(): readonly Machine[] {
    return this.machines;
  }
  get adminConf(): string {
    return join(this.dir, "admin.conf");
  }
  get server(): string {
    return `https://${this.master.address}:6443`;
  }
  get reach(): readonly string[] {
    return ["nsenter", `--net=/run/netns/${this.#namespace}`];
  }
  get master(): Machine {
    return this.machines[0]!;
  }

  /** Builds what is missing, boots all machines at once and provisions them: the master first, then the others together. */
  static async start(options: VmLabOptions): Promise<VmLab> {
    const { nodes, settings, cacheDir, memoryMiB, packages, kernelArgs, debian, progress } = options;
    const machines = nodes + 1;
    if (machines > MAX_MACHINES) throw new Error(`a lab has at most ${MAX_MACHINES - 1} nodes`);
    await requirePrograms();
    const image = await ensureImage(cacheDir, packages, progress);
    const dir = mkdtempSync(join(tmpdir(), "klabvm-"));
    const state: State = { machines, image, memoryMiB, kernelArgs };
    writeFileSync(join(dir, "vm-lab.json"), JSON.stringify(state));
    const lab = new VmLab(dir, state);
    try {
      await lab.#prepareFiles(debian, cacheDir, progress);
      await lab.#createNetwork();
      progress(`starting ${machines} machines`);
      await Promise.all(
        lab.machines.map(async (machine) => {
          await machine.start();
          await machine.booted(BOOT_TIMEOUT_MS);
          progress(`${machine.name} is up (${machine.address})`);
        }),
      );
      await lab.#provision(settings, progress);
      return lab;
    } catch (error) {
      await lab.destroy().catch((cleanup: unknown) => console.error(cleanup)); // the first error is the one to report
      throw error;
    }
  }

  /** The disk that all machines can read: package, provisioning script, images; and the key that opens them. */
  async #prepareFiles(debian: string | undefined, cacheDir: string, progress: (line: string) => void): Promise<void> {
    const files = join(this.dir, "files");
    mkdirSync(files, { recursive: true });
    const key = join(this.dir, "ssh-key");
    await runner.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
    copyFileSync(`${key}.pub`, join(files, "authorized_keys"));
    copyFileSync(debian ?? (await buildPackage(this.dir, progress)), join(files, "kubits.deb"));
    copyFileSync(join(root, "hack/provision"), join(files, "provision"));
    cpSync(join(root, "hack/demo"), join(files, "demo"), { recursive: true });
    progress("container images");
    const images = ["--out", join(files, "images"), "--cache", cacheDir];
    await runner.run(join(root, "hack/images"), images, { timeoutMs: STEP_TIMEOUT_MS });
    await fileSystem(join(this.dir, "files.ext4"), files, "1G", "files");
  }

  async #createNetwork(): Promise<void> {
    const ip = (...args: string[]) => runner.run("ip", args);
    await ip("netns", "add", this.#namespace);
    await ip("-n", this.#namespace, "link", "add", "br0", "type", "bridge");
    await ip("-n", this.#namespace, "addr", "add", "192.168.56.1/24", "dev", "br0");
    for (const link of ["lo", "br0"]) await ip("-n", this.#namespace, "link", "set", link, "up");
  }

  async #provision(settings: readonly string[], progress: (line: string) => void): Promise<void> {
    const set = settings.map((setting) => `--set ${setting}`).join(" ");
    const provision = async (machine: Machine, role: string) => {
      progress(`provisioning ${machine.name}`);
      const common = `--package /mnt/kubits.deb --images /mnt/images --address ${machine.address} ${set}`;
      const tell = (line: string) => {
        if (line.startsWith("== ")) progress(`${machine.name}: ${line.slice(3)}`);
      };
      await machine.follow(`sh /mnt/provision ${common} ${role}`, tell, STEP_TIMEOUT_MS);
    };
    const [master, ...others] = this.machines;
    await provision(master!, "--master");
    await Promise.all(
      others.map(async (machine) => {
        const { stdout } = await master!.run("kubits-master join-command", { timeoutMs: STEP_TIMEOUT_MS });
        await provision(machine, `--join "${stdout.trim()}"`);
      }),
    );
    const { stdout: adminConf } = await master!.run("cat /etc/kubernetes/admin.conf");
    writeFileSync(this.adminConf, adminConf, { mode: 0o600 });
    progress("waiting for the nodes to be Ready");
    await this.#registered();
    await this.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=600s");
  }

  /** A service counts as started before the cluster knows its node, and kubectl does not wait for what is not there. */
  async #registered(): Promise<void> {
    const deadline = Date.now() + STEP_TIMEOUT_MS;
    const known = async () => (await this.kubectl("get", "nodes", "--output=name")).split("\n").filter(Boolean).length;
    while ((await known()) < this.machines.length) {
      if (Date.now() > deadline) throw new Error("not every machine has become a node of the cluster");
      await delay(1000);
    }
  }

  /** Runs a command on a machine and answers its output. */
  run(machine: Machine, file: string, args: readonly string[], options: RunOptions = {}) {
    const [ssh, ...rest] = machine.commandOf([file, ...args]);
    return runner.run(ssh!, rest, options);
  }

  /** The command line here that runs a command on a machine with the administrator's kubeconfig. */
  commandOn(machine: Machine, command: readonly string[]): string[] {
    return machine.commandOf(["env", "KUBECONFIG=/etc/kubernetes/admin.conf", ...command]);
  }

  /** kubectl of this machine, in the lab's network. */
  async kubectl(...args: string[]): Promise<string> {
    const [enter, ...rest] = [...this.reach, "kubectl", "--kubeconfig", this.adminConf, ...args];
    return (await runner.run(enter!, rest, { timeoutMs: STEP_TIMEOUT_MS })).stdout;
  }

  /** Stops the machines and removes every trace. Safe to repeat. */
  async destroy(): Promise<void> {
    await Promise.all(this.machines.map((machine) => machine.stop()));
    const { stdout } = await runner.run("ip", ["netns", "list"]);
    if (stdout.split("\n").some((line) => line.split(" ")[0] === this.#namespace))
      await runner.run("ip", ["netns", "del", this.#namespace]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
