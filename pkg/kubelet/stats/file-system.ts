/** How full a file system is: the one reader of statfs(2) for eviction, statistics and the collection of images. */
import { statfs } from "node:fs/promises";
import { ifExists } from "#pkg/util/index.ts";

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
