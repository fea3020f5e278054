import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SpawnRunner } from "#pkg/util/index.ts";
import { program } from "./cluster.ts";
import { Daemons } from "./daemons.ts";
import { DEFAULT_DATA_DIR, layoutOf } from "./layout.ts";

const { values } = parseArgs({
  options: {
    purge: { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
  },
});
const layout = layoutOf(values["data-dir"]);
const daemons = new Daemons({ runDir: layout.runDir, logDir: layout.logDir });
const runner = new SpawnRunner();

async function stop(name: string): Promise<void> {
  if (await daemons.stop(name)) console.log(`Stopped ${name}`);
}

/** The runtime socket hack/up used, if it got that far. */
function usedContainerd(): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(layout.dataDir, "up.json"), "utf8")) as { containerd?: string }).containerd;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Removes pods, mounts, interfaces and rules with the node program itself, while the runtime still answers. */
async function resetNode(socket: string): Promise<void> {
  const [file, ...args] = program("kubits-node");
  await runner.run(
    file!,
    [
      ...args,
      "reset",
      `--container-runtime-endpoint=unix://${socket}`,
      `--root-dir=${layout.kubeletDir}`,
      `--pod-logs-dir=${layout.podLogsDir}`,
      `--container-logs-dir=${layout.containerLogsDir}`,
      `--cni-conf-dir=${layout.cniConfDir}`,
    ],
    { timeoutMs: 180_000 },
  );
  console.log("Removed pods, mounts, interfaces and rules");
}

await stop("kubits-node");
await stop("kubits-master");
const marker = join(layout.dataDir, "up.json");
if (values.purge && !existsSync(marker)) {
  console.error(`hack/down: ${layout.dataDir} was not made by hack/up (there is no ${marker}); nothing is removed`);
  process.exit(1);
}
const socket = usedContainerd();
if (values.purge && socket !== undefined) await resetNode(socket);
await stop("containerd");
await stop("registry");
if (values.purge) {
  const own = [
    layout.confDir,
    layout.kubeletDir,
    layout.podLogsDir,
    layout.containerLogsDir,
    layout.runDir,
    layout.logDir,
    layout.cacheDir,
    layout.dataDir,
  ];
  for (const path of own) rmSync(path, { recursive: true, force: true });
  console.log("Removed all files outside the checkout");
}
