/**
 * Mounts a part of a volume. The path is walked one name at a time with O_NOFOLLOW from an open directory, so a
 * symbolic link planted by a container can never lead outside the volume, whatever changes meanwhile.
 */
import { constants } from "node:fs";
import { mkdir, open, readFile, readlink, realpath, rmdir, stat, unlink, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { hasCode, ifExists } from "#pkg/util/index.ts";
import { orClosed } from "../handles.ts";
import type { Mounts } from "../mounts.ts";
import { VolumeError } from "./volume.ts";

/** Linux's O_PATH, which Node does not name: a handle that only marks a place. */
const O_PATH = 0o10000000;

function names(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") || parts.includes(".."))
    throw new VolumeError(`subPath "${path}" must be relative and must not contain ".."`);
  return parts;
}

async function resolveInside(root: string, path: string): Promise<string> {
  const realRoot = await realpath(root);
  const resolved = await realpath(join(realRoot, path));
  const inside = relative(realRoot, resolved);
  // Names may begin with two dots (..data is where ConfigMaps keep their files); only a bare ".." leads out.
  if (inside === ".." || inside.startsWith("../") || inside.startsWith("/"))
    throw new VolumeError(`subpath "${path}" is not within volume`);
  return inside;
}

/** Makes the missing directories of `path` below `root`, in the mode of the volume's root. */
async function makeMissing(root: string, path: string): Promise<void> {
  const { mode } = await stat(root);
  let current = await openPath(await realpath(root));
  try {
    for (const name of names(path)) {
      const child = `/proc/self/fd/${current.fd}/${name}`;
      try {
        await mkdir(child, { mode: mode & 0o777 });
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      }
      const next = await openChild(current, name);
      await current.close();
      current = next;
    }
  } finally {
    await current.close();
  }
}

const openPath = (path: string): Promise<FileHandle> => open(path, O_PATH | constants.O_NOFOLLOW);

async function openChild(parent: FileHandle, name: string): Promise<FileHandle> {
  const handle = await openPath(`/proc/self/fd/${parent.fd}/${name}`);
  return orClosed(handle, async () => {
    if ((await handle.stat()).isSymbolicLink()) throw new VolumeError(`subpath component "${name}" is a symbolic link`);
    return handle;
  });
}

/** Opens a resolved path step by step. */
async function openInside(volume: string, inside: string): Promise<FileHandle> {
  let current = await openPath(await realpath(volume));
  try {
    for (const name of names(inside)) {
      const next = await openChild(current, name);
      await current.close();
      current = next;
    }
    return current;
  } catch (error) {
    await current.close();
    throw error;
  }
}

/** A handle that marks the place of a path below the root. A link may lead anywhere, but not out of the root. */
export async function openPlace(root: string, path: string): Promise<FileHandle> {
  names(path);
  return openInside(root, await resolveInside(root, path));
}

/** The text of a file of a volume, undefined when there is none. A link may lead anywhere, but not out of the volume. */
export async function readInside(volume: string, path: string, maxBytes: number): Promise<string | undefined> {
  const place = await ifExists(openPlace(volume, path));
  if (place === undefined) return undefined;
  try {
    const info = await place.stat();
    // Opening a pipe or a device would wait for, or wake, whoever is behind it.
    if (!info.isFile()) throw new VolumeError(`"${path}" is not a regular file`);
    if (info.size > maxBytes) throw new VolumeError(`"${path}" is larger than ${maxBytes} bytes`);
    return await readFile(`/proc/self/fd/${place.fd}`, "utf8");
  } finally {
    await place.close();
  }
}

/** True when `target` shows what `current` is; what else was bound there is taken away. */
async function alreadyBound(mounts: Mounts, current: FileHandle, target: string): Promise<boolean> {
  if (!(await mounts.isMountPoint(target))) return false;
  const [wanted, shown] = await Promise.all([current.stat({ bigint: true }), stat(target, { bigint: true })]);
  if (wanted.dev === shown.dev && wanted.ino === shown.ino) return true;
  await mounts.unmount(target);
  // The place was made for a file or for a directory.
  await ((await stat(target)).isDirectory() ? rmdir(target) : unlink(target));
  return false;
}

/**
 * Binds `volume/subPath` at `target` and resolves to `target`. Idempotent, and follows a volume whose files are
 * replaced (a ConfigMap that has changed): whoever starts next sees the new ones.
 */
export async function bindSubPath(mounts: Mounts, volume: string, subPath: string, target: string): Promise<string> {
  names(subPath);
  let inside: string;
  try {
    inside = await resolveInside(volume, subPath);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    await makeMissing(volume, subPath);
    inside = await resolveInside(volume, subPath);
  }
  const current = await openInside(volume, inside);
  try {
    if (await alreadyBound(mounts, current, target)) return target;
    if ((await current.stat()).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
    else {
      await mkdir(dirname(target), { recursive: true, mode: 0o750 });
      await writeFile(target, "");
    }
    // mount(8) is another process: it reaches our handle by our pid.
    const pid = await readlink("/proc/self");
    await mounts.bind(`/proc/${pid}/fd/${current.fd}`, target);
  } finally {
    await current.close();
  }
  return target;
}
