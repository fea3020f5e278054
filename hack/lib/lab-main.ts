import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type AnyLab, attachLab, isLab } from "./any-lab.ts";
import { buildPrograms } from "./cluster.ts";
import { Lab } from "./lab.ts";
import { parseCommandLine } from "#pkg/util/index.ts";
import { PlainError, withPlainErrors } from "./plain-errors.ts";
import { containerdBinaries } from "./sid.ts";
import { VmLab } from "./vm/vm-lab.ts";

const HELP = `Usage: sudo hack/lab up [OPTION]... | hack/lab down DIR|--all | hack/lab exec DIR NODE COMMAND...

A cluster of several nodes on this machine: a network namespace per node, each with its own containerd and
kubits-node; the first node also runs kubits-master.
  up     starts a lab and prints its directory
  down   stops a lab, or with --all every lab of this machine, and removes every trace
  exec   runs a command (or a shell) on a node in this terminal, e.g. hack/lab exec DIR 1 kubectl get nodes

Options of up:
  --nodes N              how many nodes (default 2)
  --dual-stack           gives everything IPv6 addresses as well
  --containerd DIR|sid   another containerd than the installed one, from a directory or from Debian's development release
  --docker               gives every node a dockerd, which its kubits-node then drives
  --master-arg=--FLAG    a further flag of kubits-master; may be repeated
  --node-arg=--FLAG      a further flag of every kubits-node; may be repeated
  --cache DIR            keeps packages and images between labs (default /var/cache/kubits)
  --vm                   Debian machines under QEMU instead of namespaces, which run Kubits as systemd services from its
                         package; the first is the master, --nodes counts the others
  --set KEY=VALUE        with --vm: a line of every machine's /etc/kubits/node.yaml, e.g. proxy-mode=ipvs
  --memory MIB           with --vm: of each machine (default 1536)
  --deb FILE             with --vm: the package to install, as hack/release makes it; without it one is made
  --package NAME         with --vm: a further Debian package on every machine, e.g. docker.io; may be repeated
  --kernel-arg WORD      with --vm: a word for every machine's kernel, e.g. security=selinux; may be repeated
`;

const separator = process.argv.indexOf("exec");
const head = separator === 2 ? ["exec"] : process.argv.slice(2);
const { values, positionals } = parseCommandLine("hack/lab", {
  args: head,
  allowPositionals: true,
  options: {
    nodes: { type: "string", default: "2" },
    "dual-stack": { type: "boolean", default: false },
    containerd: { type: "string" },
    docker: { type: "boolean", default: false },
    "master-arg": { type: "string", multiple: true, default: [] },
    "node-arg": { type: "string", multiple: true, default: [] },
    cache: { type: "string", default: "/var/cache/kubits" },
    all: { type: "boolean", default: false },
    vm: { type: "boolean", default: false },
    set: { type: "string", multiple: true, default: [] },
    memory: { type: "string", default: "1536" },
    deb: { type: "string" },
    package: { type: "string", multiple: true, default: [] },
    "kernel-arg": { type: "string", multiple: true, default: [] },
    help: { type: "boolean", default: false },
  },
});

/** The command line that runs a command on the n-th machine of a lab of either kind. */
function commandLine(dir: string, number: number, command: readonly string[]): string[] {
  if (!isLab(dir)) throw new PlainError(`${dir} is no directory of a lab; "hack/lab up" prints one`);
  const lab = attachLab(dir);
  const node = lab.nodes[number - 1];
  if (node === undefined) throw new PlainError(`${dir} has nodes 1 to ${lab.nodes.length}`);
  return lab.commandOn(node, command);
}

/** Runs a command on a machine with this terminal as its own, and ends as it ends. */
async function execute(dir: string, number: number, command: readonly string[]): Promise<void> {
  const [file, ...args] = commandLine(dir, number, command.length === 0 ? ["sh"] : command);
  const child = spawn(file!, args, { stdio: "inherit" });
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  process.exitCode = code ?? 128 + constants.signals[signal!];
}

/** Starts a lab of either kind and prints where it is. */
async function up(): Promise<void> {
  const nodes = Number(values.nodes);
  // The master among virtual machines is a node as well.
  const least = values.vm ? 0 : 1;
  if (!Number.isInteger(nodes) || nodes < least || nodes > 50)
    throw new PlainError(`--nodes must be between ${least} and 50`);
  const cacheDir = resolve(values.cache);
  const containerd =
    values.containerd === undefined ? undefined : await containerdBinaries(values.containerd, cacheDir);
  const options = {
    nodes,
    dualStack: values["dual-stack"],
    masterArgs: values["master-arg"],
    nodeArgs: values["node-arg"],
    ...(containerd === undefined ? {} : { containerd }),
    docker: values.docker,
    cacheDir,
  };
  const progress = (line: string) => console.error(line);
  let lab: AnyLab;
  if (values.vm) {
    const { set: settings, memory, package: packages, "kernel-arg": kernelArgs } = values;
    const machine = { memoryMiB: Number(memory), packages, kernelArgs, debian: values.deb };
    lab = await VmLab.start({ nodes, settings, ...machine, cacheDir, progress });
  } else {
    await buildPrograms();
    lab = await Lab.start({ ...options, progress });
  }
  console.error(`\n  hack/lab exec ${lab.dir} 1 kubectl get nodes\n`);
  console.log(lab.dir);
}

async function down(): Promise<void> {
  const dir = positionals[1];
  if (dir === undefined && !values.all) throw new PlainError("down needs a lab's directory, or --all");
  if (dir !== undefined && !isLab(dir)) throw new PlainError(`${dir} is no directory of a lab`);
  const dirs = dir === undefined ? globSync(join(tmpdir(), "klab{,vm}-*")).filter(isLab) : [dir];
  for (const each of dirs) {
    await attachLab(each).destroy();
    console.log(`removed ${each}`);
  }
}

const [command] = positionals;
if (values.help || command === undefined) {
  console.log(HELP);
  process.exitCode = values.help ? 0 : 2;
} else if (command === "up") {
  await withPlainErrors("hack/lab", up);
} else if (command === "down") {
  await withPlainErrors("hack/lab", down);
} else if (command === "exec") {
  const [, , , where, number, ...rest] = process.argv;
  await withPlainErrors("hack/lab", async () => {
    if (where === undefined || number === undefined)
      throw new PlainError("exec needs a lab's directory and the number of a node");
    await execute(where, Number(number), rest);
  });
} else {
  console.error(HELP);
  process.exitCode = 2;
}
