/**
 * Mounts a part of a volume. The path is walked one name at a time with O_NOFOLLOW from an open directory, so a
 * symbolic link planted by a container can never lead outside the volume, whatever changes meanwhile.
 */
import { constants } from "node:fs";
import { mkdir, open, readlink, realpath, stat, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
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
    throw new VolumeError(`subpath "${path}" not within volume path "${root}"`);
  return inside;
}

/** Makes the missing directories of `path` below `root`, in the mode of the volume's root. */
async function makeMissing(root: string, path: string): Promise<void> {
  let current = await openPath(await realpath(root));
  const { mode } = await stat(root);
  try {
    for (const name of names(path)) {
      const child = `/proc/self/fd/${current.fd}/${name}`;
      try {
        await mkdir(child, { mode: mode & 0o777 });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
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
  if ((await handle.stat()).isSymbolicLink()) {
    await handle.close();
    throw new VolumeError(`subpath component "${name}" is a symbolic link`);
  }
  return handle;
}

/** Binds `volume/subPath` at `target` and resolves to `target`. Idempotent. */
export async function bindSubPath(mounts: Mounts, volume: string, subPath: string, target: string): Promise<string> {
  if (await mounts.isMountPoint(target)) return target;
  names(subPath);
  let inside: string;
  try {
    inside = await resolveInside(volume, subPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    await makeMissing(volume, subPath);
    inside = await resolveInside(volume, subPath);
  }
  let current = await openPath(await realpath(volume));
  try {
    for (const name of names(inside)) {
      const next = await openChild(current, name);
      await current.close();
      current = next;
    }
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
