import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DEFAULT_DATA_DIR, layoutOf } from "../layout.ts";
import { loadArchive } from "../import-images.ts";
import { runtimeSockets } from "../more-nodes.ts";
import { parseCommandLine } from "#pkg/util/index.ts";
import { withPlainErrors } from "../plain-errors.ts";
import { IMAGES } from "./catalogue.ts";
import { buildImage, pushImage, writeArchive } from "./oci.ts";

const HELP = `Usage: hack/images [--out DIR] [--push http://HOST:PORT] [--cache DIR] [--only TEXT]
       sudo hack/images --load ARCHIVE... [--data-dir DIR]

Builds container images from Debian packages (nginx, busybox, pause, ...) into the cache, or puts images of yours on the nodes.
  --out DIR     writes an OCI archive per image, for 'ctr -n k8s.io images import'
  --push URL    uploads the images to a registry
  --cache DIR   keeps packages and build results (default /var/cache/kubits)
  --only TEXT   only images whose reference contains TEXT
  --load        imports image archives ('docker save', 'ctr images export') into the containerd of every node that
                hack/up started, so that pods with these images need no registry
`;

const { values, positionals } = parseCommandLine("hack/images", {
  allowPositionals: true,
  options: {
    load: { type: "boolean", default: false },
    "data-dir": { type: "string", default: DEFAULT_DATA_DIR },
    out: { type: "string" },
    push: { type: "string" },
    cache: { type: "string", default: "/var/cache/kubits" },
    only: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
if (values.load) {
  const sockets = runtimeSockets(layoutOf(values["data-dir"]));
  if (sockets.length === 0) {
    console.error("hack/images: there is no cluster of hack/up on this machine");
    process.exit(1);
  }
  for (const archive of positionals) {
    await Promise.all(sockets.map((socket) => loadArchive(socket, archive)));
    console.log(`${archive} is on ${sockets.length} nodes`);
  }
  process.exit(0);
}
async function buildAll(): Promise<void> {
  await mkdir(values.cache, { recursive: true });
  if (values.out !== undefined) await mkdir(values.out, { recursive: true });
  for (const recipe of IMAGES.filter(({ reference }) => reference.includes(values.only))) {
    const image = await buildImage(recipe, join(values.cache, "images"), values.cache);
    if (values.out !== undefined)
      await writeArchive(image, join(values.out, `${recipe.reference.replaceAll(/[/:]/g, "_")}.tar`));
    if (values.push !== undefined) await pushImage(image, values.push);
    console.log(`${recipe.reference} ${image.manifest.digest.slice(0, 19)}`);
  }
}

await withPlainErrors("hack/images", buildAll);
