import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { hasCode } from "#pkg/util/index.ts";
import { PlainError } from "../plain-errors.ts";
import type { ImageRecipe } from "./catalogue.ts";

const exec = promisify(execFile);

export interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly path: string;
}
export interface BuiltImage {
  readonly reference: string;
  readonly manifest: Blob;
  readonly blobs: readonly Blob[];
}

const ARCHITECTURES: Record<string, string> = { x64: "amd64", arm64: "arm64" };

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return `sha256:${hash.digest("hex")}`;
}

/** A mirror that is there begins to answer within seconds; apt would wait for minutes, again and again. */
const APT_OPTIONS = ["APT::Sandbox::User=root", "Acquire::http::Timeout=20", "Acquire::Retries=1"].flatMap((option) => [
  "-o",
  option,
]);
const DOWNLOAD_TIMEOUT_MS = 120_000;

/** A package that Debian's mirror does not give. */
class PackageError extends PlainError {
  constructor(name: string, cause: unknown) {
    const { stderr = "", message = String(cause) } = cause as Partial<{ stderr: string; message: string }>;
    const why = stderr.trim() === "" ? message : stderr.trim();
    const hint = /unable to locate package/i.test(why)
      ? "'apt-get update' brings the machine's package lists up to date"
      : "it is needed once to build the images; is the mirror in /etc/apt reachable from here?";
    super(`cannot download the Debian package ${name}: ${hint}\n${why}`, { cause });
    this.name = "PackageError";
  }
}

/** Fetches a package into the cache (once) and answers its path. @throws PackageError */
export async function fetchPackage(name: string, cache: string): Promise<string> {
  const folder = join(cache, "debs", name);
  const path = join(folder, "package.deb");
  try {
    await stat(path);
    return path;
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  const staging = `${folder}.${process.pid}`;
  await mkdir(staging, { recursive: true });
  try {
    await exec("apt-get", [...APT_OPTIONS, "download", name], { cwd: staging, timeout: DOWNLOAD_TIMEOUT_MS });
    const { stdout } = await exec("find", [staging, "-name", "*.deb"]);
    await mkdir(folder, { recursive: true });
    await rename(stdout.trim().split("\n")[0]!, path);
  } catch (error) {
    throw new PackageError(name, error);
  } finally {
    await rm(staging, { recursive: true });
  }
  return path;
}

async function assembleRoot(recipe: ImageRecipe, root: string, cache: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const name of recipe.packages) await exec("dpkg", ["-x", await fetchPackage(name, cache), root]);
  for (const path of recipe.drop ?? []) await rm(join(root, path), { recursive: true, force: true });
  for (const path of recipe.directories ?? []) await mkdir(join(root, path), { recursive: true });
  for (const [path, { content, mode = 0o644 }] of Object.entries(recipe.files ?? {})) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content, { mode });
  }
  for (const [path, target] of Object.entries(recipe.links ?? {})) {
    await rm(join(root, path), { force: true });
    await symlink(target, join(root, path));
  }
  if (recipe.busyboxApplets === true) {
    const { stdout } = await exec(join(root, "bin/busybox"), ["--list"]);
    for (const applet of stdout.trim().split("\n")) {
      if (applet !== "busybox") await symlink("/bin/busybox", join(root, "bin", applet)).catch(ignoreExisting);
    }
  }
  await exec("chmod", ["1777", ...(recipe.directories?.includes("tmp") === true ? [join(root, "tmp")] : [root])]);
  await exec("chmod", ["755", root]);
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error;
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== "EEXIST") throw error;
}

/**
 * Builds one image into `work` as OCI blobs, unless the same recipe was built there before. The same recipe and packages
 * give the same digests.
 */
export async function buildImage(recipe: ImageRecipe, work: string, cache: string): Promise<BuiltImage> {
  const finished = join(work, recipe.reference.replaceAll(/[/:]/g, "_"));
  const record = join(finished, "image.json");
  const wanted = JSON.stringify(recipe);
  const known = await readFile(record, "utf8").then(
    (text) => JSON.parse(text) as { recipe: string; image: BuiltImage },
    () => undefined, // absent or cut off: build it
  );
  if (known?.recipe === wanted) return known.image;
  // Others may be building the same image: each builds aside, and whole folders change places.
  const folder = `${finished}.${process.pid}`;
  const root = join(folder, "root");
  await rm(folder, { recursive: true, force: true });
  await assembleRoot(recipe, root, cache);

  const layerTar = join(folder, "layer.tar");
  const owner = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
  await exec("tar", [...owner, "-C", root, "-cf", layerTar, "."]);
  const diffId = await sha256(layerTar);
  await exec("gzip", ["-n", "-1", layerTar]);
  const layer = await blobOf("application/vnd.oci.image.layer.v1.tar+gzip", `${layerTar}.gz`);
  await rm(root, { recursive: true });

  const config = await writeBlob(folder, "config.json", "application/vnd.oci.image.config.v1+json", {
    architecture: ARCHITECTURES[process.arch],
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: recipe.config,
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created: "1970-01-01T00:00:00Z", created_by: `packages: ${recipe.packages.join(" ")}` }],
  });
  const describe = ({ mediaType, digest, size }: Blob) => ({ mediaType, digest, size });
  const manifest = await writeBlob(folder, "manifest.json", "application/vnd.oci.image.manifest.v1+json", {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: describe(config),
    layers: [describe(layer)],
  });
  const moved = (blob: Blob): Blob => ({ ...blob, path: join(finished, basename(blob.path)) });
  const image = { reference: recipe.reference, manifest: moved(manifest), blobs: [moved(config), moved(layer)] };
  await writeFile(join(folder, "image.json"), JSON.stringify({ recipe: wanted, image }));
  const replaced = `${folder}.old`;
  await rename(finished, replaced).catch(ignoreMissing);
  await rename(folder, finished);
  await rm(replaced, { recursive: true, force: true });
  return image;
}

async function blobOf(mediaType: string, path: string): Promise<Blob> {
  return { mediaType, path, digest: await sha256(path), size: (await stat(path)).size };
}

async function writeBlob(folder: string, name: string, mediaType: string, content: object): Promise<Blob> {
  const path = join(folder, name);
  await writeFile(path, JSON.stringify(content));
  return blobOf(mediaType, path);
}

/** Writes an OCI image archive that `ctr images import` takes under the full reference. */
export async function writeArchive(image: BuiltImage, archive: string): Promise<void> {
  const layout = `${archive}.layout`;
  await rm(layout, { recursive: true, force: true });
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  for (const blob of [image.manifest, ...image.blobs]) {
    await exec("cp", [blob.path, join(layout, "blobs/sha256", blob.digest.slice("sha256:".length))]);
  }
  const { mediaType, digest, size } = image.manifest;
  const annotations = {
    "io.containerd.image.name": image.reference,
    "org.opencontainers.image.ref.name": image.reference.split(":").at(-1)!,
  };
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType, digest, size, annotations }] }),
  );
  await exec("tar", ["-C", layout, "-cf", `${archive}.partial`, "."]);
  await rename(`${archive}.partial`, archive);
  await rm(layout, { recursive: true });
}

/** Uploads an image to a registry (OCI distribution spec 1.0), e.g. http://127.0.0.1:5000, dropping the reference's host. */
export async function pushImage(image: BuiltImage, registry: string): Promise<void> {
  const [, repository, tag] = /^[^/]+\/(.+):([^:]+)$/.exec(image.reference)!;
  const base = `${registry}/v2/${repository}`;
  for (const blob of image.blobs) {
    const present = await fetch(`${base}/blobs/${blob.digest}`, { method: "HEAD" });
    if (present.ok) continue;
    const started = await request(`${base}/blobs/uploads/`, { method: "POST" });
    const location = new URL(started.headers.get("location")!, registry);
    location.searchParams.set("digest", blob.digest);
    await request(location.href, {
      method: "PUT",
      headers: { "content-type": "application/octet-stream" },
      body: await readFile(blob.path),
    });
  }
  await request(`${base}/manifests/${tag}`, {
    method: "PUT",
    headers: { "content-type": image.manifest.mediaType },
    body: await readFile(image.manifest.path),
  });
}

async function request(url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  if (!response.ok) throw new Error(`${init.method} ${url} answered ${response.status}: ${await response.text()}`);
  return response;
}
