import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { SpawnRunner } from "#pkg/util/index.ts";
import type { Daemons } from "../daemons.ts";
import { type VmImage, addressOf, macOf } from "./image.ts";

const runner = new SpawnRunner();

/**
 * The machines are new in every lab, so their keys are nothing to compare with. One that is emulated by a busy host may take
 * a minute to greet.
 */
const SSH_SETTINGS = [
  "StrictHostKeyChecking=no",
  "UserKnownHostsFile=/dev/null",
  "LogLevel=ERROR",
  "BatchMode=yes",
  "ConnectTimeout=60",
];

/** On a busy host an emulated machine is too slow for the patience that systemd has with its services. */
const COMMAND_LINE =
  "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet systemd.default_timeout_start_sec=900 systemd.service_watchdogs=0";

export interface MachineOptions {
  readonly number: number;
  /** Of the whole lab; also holds the ssh key and the disk with files. */
  readonly dir: string;
  readonly daemons: Daemons;
  readonly image: VmImage;
  /** Network namespace with the lab's bridge `br0`. */
  readonly namespace: string;
  readonly memoryMiB: number;
  /** Words for the kernel's command line, e.g. "security=selinux". */
  readonly kernelArgs: readonly string[];
}

/** One virtual machine: a disk of its own over the shared image, one interface on the lab's bridge, reached by ssh. */
export class Machine {
  readonly name: string;
  readonly address: string;
  readonly #options: MachineOptions;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.name = options.number === 1 ? "master" : `node-${options.number - 1}`;
    this.address = addressOf(options.number);
  }

  get #enter(): string[] {
    return ["nsenter", `--net=/run/netns/${this.#options.namespace}`];
  }
  get console(): string {
    return join(this.#options.dir, `${this.name}.console`);
  }

  /** Starts QEMU, also after the machine has gone down. Emulation works everywhere; a nested /dev/kvm may be there and not work, so it is asked for by name. */
  async start(): Promise<void> {
    const { number, dir, daemons, image, namespace, memoryMiB, kernelArgs } = this.#options;
    const tap = `tap${number}`;
    const { exitCode } = await runner.run("ip", ["-n", namespace, "link", "show", tap], { allowFailure: true });
    if (exitCode !== 0) await runner.run("ip", ["-n", namespace, "tuntap", "add", tap, "mode", "tap"]);
    await runner.run("ip", ["-n", namespace, "link", "set", tap, "master", "br0", "up"]);
    const disk = join(dir, `${this.name}.qcow2`);
    if (!existsSync(disk))
      await runner.run("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", image.disk, disk]);
    const accel = process.env["KUBITS_VM_ACCEL"] ?? "tcg,thread=multi";
    const options: ReadonlyArray<readonly [string, string]> = [
      ["accel", accel],
      ["cpu", "max"],
      ["smp", "2"],
      ["m", String(memoryMiB)],
      ["display", "none"],
      ["serial", `file:${this.console}`],
      ["kernel", image.kernel],
      ["initrd", image.initrd],
      ["append", [COMMAND_LINE, `systemd.hostname=${this.name}`, ...kernelArgs].join(" ")],
      ["drive", `file=${disk},if=virtio,format=qcow2,cache=unsafe`],
      ["drive", `file=${join(dir, "files.ext4")},if=virtio,format=raw,readonly=on`],
      ["netdev", `tap,id=lan,ifname=${tap},script=no,downscript=no`],
      ["device", `virtio-net-pci,netdev=lan,mac=${macOf(number)}`],
    ];
    const qemu = options.flatMap(([name, value]) => [`-${name}`, value]);
    daemons.start(this.name, [...this.#enter, "qemu-system-x86_64", "-no-reboot", ...qemu]);
  }

  /** Runs a command line as root on the machine. */
  run(command: string, options: { timeoutMs?: number; allowFailure?: boolean; stdin?: string } = {}) {
    const [file, ...args] = this.commandFor(command);
    return runner.run(file!, args, options);
  }

  /** Like `run`, for what takes minutes: hands on line by line what is said. */
  async follow(command: string, onLine: (line: string) => void, timeoutMs: number): Promise<void> {
    const [file, ...args] = this.commandFor(command);
    const child = spawn(file!, args, { stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL" });
    const said: string[] = [];
    const read = async (input: Readable) => {
      for await (const line of createInterface({ input })) {
        said.push(line);
        onLine(line);
      }
    };
    const [[code]] = await Promise.all([once(child, "close"), read(child.stdout), read(child.stderr)]);
    if (code !== 0) throw new Error(`on ${this.name}: ${command} exited with ${code}:\n${said.slice(-20).join("\n")}`);
  }

  /** The command line here that runs a command as root on the machine, each of its words as it is. */
  commandOf(command: readonly string[]): string[] {
    return this.commandFor(command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" "));
  }

  /** The command line here that runs a command line as root on the machine. */
  commandFor(command: string): string[] {
    const key = join(this.#options.dir, "ssh-key");
    const settings = SSH_SETTINGS.flatMap((setting) => ["-o", setting]);
    return [...this.#enter, "ssh", "-i", key, ...settings, `root@${this.address}`, command];
  }

  /** Waits until the machine lets us in; explains with the end of its console when it does not. */
  async booted(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline && this.#options.daemons.pid(this.name) !== undefined) {
      const { exitCode } = await this.run("true", { allowFailure: true, timeoutMs: 60_000 });
      if (exitCode === 0) return;
      await delay(1000);
    }
    const tail = existsSync(this.console) ? readFileSync(this.console, "utf8").split("\n").slice(-20).join("\n") : "";
    throw new Error(`${this.name} did not come up:\n${tail}${this.#options.daemons.tail(this.name)}`);
  }

  stop(): Promise<boolean> {
    return this.#options.daemons.stop(this.name, 10_000);
  }
}
