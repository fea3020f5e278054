import { existsSync, globSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildPrograms } from "./cluster.ts";
import { Lab } from "./lab.ts";
import { withPlainErrors } from "./plain-errors.ts";
import { containerdBinaries } from "./sid.ts";
import { VmLab } from "./vm/vm-lab.ts";

const HELP = `Usage: sudo hack/lab up [OPTION]... | hack/lab down DIR|--all | hack/lab exec DIR NODE COMMAND...

A cluster of several nodes on this machine: a network namespace per node, each with its own containerd and
kubits-node; the first node also runs kubits-master.
  up     starts a lab and prints its directory
  down   stops a lab, or with --all every lab of this machine, and removes every trace
  exec   runs a command on a node, e.g. hack/lab exec DIR 1 kubectl get nodes

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
`;

const separator = process.argv.indexOf("exec");
const head = separator === 2 ? ["exec"] : process.argv.slice(2);
const { values, positionals } = parseArgs({
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
    help: { type: "boolean", default: false },
  },
});

/** Labs of both kinds, told apart by what is in their directory. */
const isVmLab = (path: string): boolean => existsSync(join(path, "vm-lab.json"));
const isLab = (path: string): boolean => existsSync(join(path, "nodes")) || isVmLab(path);

const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;

/** Runs a command on the n-th machine of a lab of either kind. */
function runOn(dir: string, number: number, command: readonly string[]) {
  const options = { allowFailure: true, timeoutMs: 600_000 };
  const lab = isVmLab(dir) ? VmLab.attach(dir) : Lab.attach(dir);
  const count = lab instanceof VmLab ? lab.machines.length : lab.nodes.length;
  if (!(number >= 1 && number <= count)) throw new Error(`${dir} has ${count} nodes`);
  if (lab instanceof VmLab) return lab.machines[number - 1]!.run(command.map(quoted).join(" "), options);
  return lab.run(lab.nodes[number - 1]!, "env", [`KUBECONFIG=${lab.adminConf}`, ...command], options);
}

async function execute(dir: string, number: number, command: readonly string[]): Promise<number> {
  const { exitCode, stdout, stderr } = await runOn(dir, number, command.length === 0 ? ["sh"] : command);
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  return exitCode;
}

/** Starts a lab of either kind and prints where it is. */
async function up(): Promise<void> {
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 50) throw new Error("--nodes must be between 1 and 50");
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
  let lab: Lab | VmLab;
  if (values.vm) {
    const { set: settings, memory } = values;
    lab = await VmLab.start({ nodes, settings, memoryMiB: Number(memory), cacheDir, progress });
  } else {
    await buildPrograms();
    lab = await Lab.start({ ...options, progress });
  }
  console.error(`\n  hack/lab exec ${lab.dir} 1 kubectl get nodes\n`);
  console.log(lab.dir);
}

const [command, dir] = positionals;
if (values.help || command === undefined) {
  console.log(HELP);
  process.exitCode = values.help ? 0 : 2;
} else if (command === "up") {
  await withPlainErrors("hack/lab", up);
} else if (command === "down") {
  if (dir === undefined && !values.all) throw new Error("down needs the lab's directory, or --all");
  const dirs = values.all ? globSync(join(tmpdir(), "klab{,vm}-*")) : [dir!];
  for (const each of dirs.filter(isLab)) {
    await (isVmLab(each) ? VmLab : Lab).attach(each).destroy();
    console.log(`removed ${each}`);
  }
} else if (command === "exec") {
  const [, , , where, number, ...rest] = process.argv;
  if (where === undefined || number === undefined) throw new Error("exec needs a directory and the number of a node");
  process.exitCode = await execute(where, Number(number), rest);
} else {
  console.error(HELP);
  process.exitCode = 2;
}
