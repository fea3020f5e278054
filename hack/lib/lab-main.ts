import { existsSync, globSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildPrograms } from "./cluster.ts";
import { Lab } from "./lab.ts";

const HELP = `Usage: sudo hack/lab up [--nodes N] | hack/lab down [DIR] | hack/lab exec DIR NODE COMMAND...

A cluster of several nodes on this machine: a network namespace per node, each with its own containerd and
kubits-node; the first node also runs kubits-master.
  up     starts a lab and prints its directory
  down   stops a lab (all labs without DIR) and removes every trace
  exec   runs a command on a node, e.g. hack/lab exec DIR 1 kubectl get nodes
`;

const separator = process.argv.indexOf("exec");
const head = separator === 2 ? ["exec"] : process.argv.slice(2);
const { values, positionals } = parseArgs({
  args: head,
  allowPositionals: true,
  options: {
    nodes: { type: "string", default: "2" },
    "master-arg": { type: "string", multiple: true, default: [] },
    "node-arg": { type: "string", multiple: true, default: [] },
    help: { type: "boolean", default: false },
  },
});

async function execute(dir: string, number: number, command: readonly string[]): Promise<number> {
  const lab = Lab.attach(dir);
  const node = lab.nodes[number - 1];
  if (node === undefined) throw new Error(`${dir} has ${lab.nodes.length} nodes`);
  const [file = "sh", ...args] = command;
  const { exitCode, stdout, stderr } = await lab.run(node, "env", [`KUBECONFIG=${lab.adminConf}`, file, ...args], {
    allowFailure: true,
    timeoutMs: 600_000,
  });
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  return exitCode;
}

const [command, dir] = positionals;
if (values.help || command === undefined) {
  console.log(HELP);
  process.exitCode = values.help ? 0 : 2;
} else if (command === "up") {
  const nodes = Number(values.nodes);
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > 50) throw new Error("--nodes must be between 1 and 50");
  const options = { nodes, masterArgs: values["master-arg"], nodeArgs: values["node-arg"] };
  await buildPrograms();
  const lab = await Lab.start({ ...options, progress: (line) => console.error(line) });
  console.error(`\n  hack/lab exec ${lab.dir} 1 kubectl get nodes\n`);
  console.log(lab.dir);
} else if (command === "down") {
  const dirs = dir === undefined ? globSync(join(tmpdir(), "klab-*")) : [dir];
  for (const each of dirs.filter((path) => existsSync(join(path, "nodes")))) {
    await Lab.attach(each).destroy();
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
