import { rmSync } from "node:fs";
import { parseCommandLine } from "#pkg/util/index.ts";
import { resetNode } from "./cluster.ts";
import { recall } from "./choices.ts";
import { netnsMarker, startContainerd } from "./containerd.ts";
import { Daemons } from "./daemons.ts";
import { DEFAULT_DATA_DIR, layoutOf } from "./layout.ts";
import { MoreNodes } from "./more-nodes.ts";
import { unshareNetns } from "./netns.ts";

const { values } = parseCommandLine("hack/down", {
  options: {
    purge: { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
  },
});
const layout = layoutOf(values["data-dir"]);
const daemons = new Daemons({ runDir: layout.runDir, logDir: layout.logDir });

async function stop(name: string): Promise<void> {
  if (await daemons.stop(name)) console.log(`Stopped ${name}`);
}

const choices = recall(layout);
if (values.purge && choices === undefined) {
  console.error(`hack/down: ${layout.dataDir} was not made by hack/up (there is no up.json in it); nothing is removed`);
  process.exit(1);
}
const more = new MoreNodes({
  layout,
  network: choices?.network ?? "",
  address: choices?.address ?? "",
  binaries: choices?.binaries,
});
for (const number of more.existing()) {
  await (values.purge ? more.purge(number) : more.stop(number));
  console.log(`${values.purge ? "Removed" : "Stopped"} ${more.node(number).name}`);
}
await stop("kubits-node");
await stop("kubits-master");
if (values.purge && choices?.containerd !== undefined) {
  // One of our own that an earlier hack/down stopped is needed once more, to remove what it runs.
  if (choices.containerd.startsWith(layout.runDir))
    await startContainerd(layout, daemons, { binaries: choices.binaries });
  await resetNode(layout, { containerRuntimeEndpoint: `unix://${choices.containerd}` });
  console.log("Removed pods, mounts, interfaces and rules");
}
await stop("containerd");
await stop("registry");
if (values.purge) {
  if (choices?.network !== undefined) await more.removeNetwork();
  await unshareNetns(netnsMarker(layout));
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
