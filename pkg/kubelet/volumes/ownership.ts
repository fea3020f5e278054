/** Gives a volume's files to the pod's fsGroup, as the pod security context documentation says. */
import { lchown, lstat, readdir } from "node:fs/promises";
import { chmod } from "node:fs/promises";
import { join } from "node:path";

const READ_WRITE = 0o660;
const READ_ONLY = 0o440;
const EXECUTE = 0o110;
const SETGID = 0o2000;

/** Root already as wanted means that the whole tree was done before (fsGroupChangePolicy OnRootMismatch). */
async function rootMatches(path: string, gid: number): Promise<boolean> {
  const info = await lstat(path);
  const wanted = READ_WRITE | EXECUTE | SETGID;
  return info.gid === gid && (info.mode & wanted) === wanted;
}

export async function setFsGroup(
  path: string,
  gid: number,
  options: { readOnly: boolean; onRootMismatch: boolean },
): Promise<void> {
  if (options.onRootMismatch && (await rootMatches(path, gid))) return;
  await apply(path, gid, options.readOnly ? READ_ONLY : READ_WRITE);
}

async function apply(path: string, gid: number, mask: number): Promise<void> {
  const info = await lstat(path);
  if (info.isDirectory()) for (const name of await readdir(path)) await apply(join(path, name), gid, mask);
  await lchown(path, info.uid, gid);
  // Symbolic links have no mode, and chmod would follow them out of the volume.
  if (info.isSymbolicLink()) return;
  await chmod(path, (info.mode & 0o7777) | mask | (info.isDirectory() ? SETGID | EXECUTE : 0));
}
