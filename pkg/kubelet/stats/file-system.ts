/** How full a file system is: the one reader of statfs(2) for eviction, statistics and the collection of images. */
import { readFile, stat, statfs } from "node:fs/promises";
import { ifExists } from "#pkg/util/index.ts";

/** Room on a file system. */
export interface FileSystemStats {
  readonly availableBytes: number;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly inodesFree: number;
  readonly inodes: number;
  readonly inodesUsed: number;
}

/** The file system that holds the path, undefined where there is none. */
export async function fileSystemStats(path: string): Promise<FileSystemStats | undefined> {
  const info = await ifExists(statfs(path));
  if (info === undefined) return undefined;
  const { bavail, bsize, blocks, bfree, ffree, files } = info;
  return {
    availableBytes: bavail * bsize,
    capacityBytes: blocks * bsize,
    usedBytes: (blocks - bfree) * bsize,
    inodesFree: ffree,
    inodes: files,
    inodesUsed: files - ffree,
  };
}

/** The device that the file system with the path lies on, or what else it was mounted from; "" where it is not told. */
export async function deviceOf(path: string): Promise<string> {
  const [{ dev }, mountinfo] = await Promise.all([stat(path), readFile("/proc/self/mountinfo", "utf8")]);
  // As the C library takes a device's number apart.
  const major = (dev >> 8) & 0xfff;
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00);
  const line = mountinfo.split("\n").find((one) => one.split(" ", 3)[2] === `${major}:${minor}`);
  return line?.split(" - ")[1]?.split(" ")[1] ?? "";
}
