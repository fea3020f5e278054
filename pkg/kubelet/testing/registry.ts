/** A registry of one image for tests, over plain HTTP on loopback: it can ask for a password, and serve broken layers. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { archiveOf } from "./containerd.ts";

export interface TestRegistry {
  /** host:port, as images are named by. */
  readonly host: string;
  /** Who may pull; undefined for everybody. */
  credentials: { readonly username: string; readonly password: string } | undefined;
  /** A layer comes with a byte changed, as from a disk that rots. */
  broken: boolean;
  /** Requests are answered only once it resolves. */
  gate: Promise<void> | undefined;
  /** Repositories of which something was asked for. */
  readonly asked: Set<string>;
  stop(): Promise<void>;
}

interface Descriptor {
  readonly mediaType?: string;
  readonly digest: string;
  readonly size: number;
}
interface Manifest {
  readonly mediaType?: string;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}
/** A group that the image alone makes its user nobody (65534) a member of. */
export const IMAGE_GROUP = 50_000;
const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const digestOf = (data: Buffer) => `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** The image with one more layer that no runtime has yet, so that it has to be fetched. */
function withOwnLayer(
  reference: string,
  layerBytes: number,
): { blobs: Map<string, Buffer>; manifest: Buffer; own: string } {
  const folder = mkdtempSync(join(tmpdir(), "kubelet-registry-"));
  try {
    execFileSync("tar", ["-xf", archiveOf(reference), "-C", folder]);
    const directory = join(folder, "blobs/sha256");
    const blobs = new Map(
      readdirSync(directory).map((name) => [`sha256:${name}`, readFileSync(join(directory, name))]),
    );
    const read = (digest: string) => JSON.parse(blobs.get(digest)!.toString()) as object;
    let index: object = JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as object;
    while ("manifests" in index) index = read((index.manifests as Descriptor[])[0]!.digest);
    const manifest = index as Manifest;
    const files = join(folder, "layer");
    mkdirSync(join(files, "etc"), { recursive: true });
    writeFileSync(join(files, "marker"), randomBytes(layerBytes));
    writeFileSync(join(files, "etc/group"), `root:x:0:\nnogroup:x:65534:\nimage:x:${IMAGE_GROUP}:nobody\n`);
    const tar = execFileSync("tar", ["-cf", "-", "-C", files, "."], { maxBuffer: 2 * layerBytes + 1024 ** 2 });
    const layer = gzipSync(tar);
    const config = read(manifest.config.digest) as { rootfs: { diff_ids: string[] }; history?: object[] };
    config.rootfs.diff_ids.push(digestOf(tar));
    config.history?.push({ created_by: "marker" });
    const configText = Buffer.from(JSON.stringify(config));
    for (const blob of [layer, configText]) blobs.set(digestOf(blob), blob);
    const described = (blob: Buffer, mediaType: string | undefined) => ({
      mediaType,
      digest: digestOf(blob),
      size: blob.length,
    });
    const text = JSON.stringify({
      ...manifest,
      config: described(configText, manifest.config.mediaType),
      layers: [...manifest.layers, described(layer, LAYER)],
    });
    return { blobs, manifest: Buffer.from(text), own: digestOf(layer) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Serves the image under any repository's name and tag. */
export async function startTestRegistry(reference: string, { layerBytes = 4096 } = {}): Promise<TestRegistry> {
  const { blobs, manifest, own } = withOwnLayer(reference, layerBytes);
  const { mediaType = "application/vnd.oci.image.manifest.v1+json" } = JSON.parse(manifest.toString()) as Manifest;
  const registry = {
    host: "",
    credentials: undefined as TestRegistry["credentials"],
    broken: false,
    gate: undefined as TestRegistry["gate"],
    asked: new Set<string>(),
  };
  const server = createServer(async (request, response) => {
    const { credentials } = registry;
    const wanted =
      credentials === undefined
        ? undefined
        : `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
    if (wanted !== undefined && request.headers.authorization !== wanted) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="test"' });
      response.end();
      return;
    }
    const path = request.url ?? "";
    registry.asked.add(/^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(path)?.[1] ?? "");
    await registry.gate;
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(path)?.[1];
    let body = /\/manifests\/[^/]+$/.test(path)
      ? manifest
      : digest === undefined
        ? Buffer.from("{}")
        : blobs.get(digest);
    if (body === undefined) {
      response.writeHead(404);
      response.end();
      return;
    }
    if (registry.broken && digest === own) {
      body = Buffer.from(body);
      body[body.length >> 1]! ^= 0xff;
    }
    const type = body === manifest ? mediaType : "application/octet-stream";
    const name = body === manifest ? digestOf(manifest) : (digest ?? "");
    response.writeHead(200, { "content-type": type, "content-length": body.length, "docker-content-digest": name });
    response.end(request.method === "HEAD" ? undefined : body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  registry.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(registry, {
    stop: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  });
}
