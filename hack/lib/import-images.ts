import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { SpawnRunner } from "#pkg/util/index.ts";
import { IMAGES } from "./images/catalogue.ts";
import { buildImage, writeArchive } from "./images/oci.ts";

/** Imports an image archive into the containerd behind `socket`, where pods find it. */
export async function loadArchive(socket: string, archive: string): Promise<void> {
  const args = ["--address", socket, "--namespace", "k8s.io", "images", "import", archive];
  await new SpawnRunner().run("ctr", args, { timeoutMs: 300_000 });
}

/** Builds the catalogue's images and imports those that the containerd behind `socket` does not have yet. */
export async function importImages(socket: string, cacheDir: string): Promise<void> {
  const ctr = ["--address", socket, "--namespace", "k8s.io", "images"];
  const runner = new SpawnRunner();
  const present = new Set((await runner.run("ctr", [...ctr, "ls", "-q"])).stdout.split("\n"));
  const folder = join(cacheDir, "archives");
  await mkdir(folder, { recursive: true });
  for (const recipe of IMAGES.filter(({ reference }) => !present.has(reference))) {
    const archive = join(folder, `${recipe.reference.replaceAll(/[/:]/g, "_")}.tar`);
    await writeArchive(await buildImage(recipe, join(cacheDir, "images"), cacheDir), archive);
    await loadArchive(socket, archive);
  }
}
