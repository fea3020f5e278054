import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { IMAGES } from "./catalogue.ts";
import { buildImage, pushImage, writeArchive } from "./oci.ts";

const HELP = `Usage: hack/images [--out DIR] [--push http://HOST:PORT] [--cache DIR] [--only TEXT]

Builds container images from Debian packages (nginx, busybox, pause, ...) into the cache.
  --out DIR     writes an OCI archive per image, for 'ctr -n k8s.io images import'
  --push URL    uploads the images to a registry
  --cache DIR   keeps packages and build results (default /var/cache/kubits)
  --only TEXT   only images whose reference contains TEXT
`;

const { values } = parseArgs({
  options: {
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
await mkdir(values.cache, { recursive: true });
if (values.out !== undefined) await mkdir(values.out, { recursive: true });
for (const recipe of IMAGES.filter(({ reference }) => reference.includes(values.only))) {
  const image = await buildImage(recipe, join(values.cache, "images"), values.cache);
  if (values.out !== undefined)
    await writeArchive(image, join(values.out, `${recipe.reference.replaceAll(/[/:]/g, "_")}.tar`));
  if (values.push !== undefined) await pushImage(image, values.push);
  console.log(`${recipe.reference} ${image.manifest.digest.slice(0, 19)}`);
}
