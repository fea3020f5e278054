/**
 * Volumes that must not reach a disk share one tmpfs: a mount for each would cost a process per pod, and every new
 * container a longer table of mounts to copy.
 */
import { statfsSync } from "node:fs";
import { lstat, mkdir, readdir, readlink, rm, rmdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { hasCode, ifExists } from "#pkg/util/index.ts";
import type { Mounts } from "../mounts.ts";
import { inMemory } from "./file-calls.ts";

/** What statfs(2) says of a tmpfs. */
const TMPFS_MAGIC = 0x01021994;

/** False where there is something in the directory. */
async function removeEmpty(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    if (!hasCode(error, "ENOTEMPTY")) throw error;
    return false;
  }
}

export class MemoryDirectories {
  readonly #root: string;
  readonly #mounts: Mounts;
  #mounting: Promise<void> | undefined;

  /** `root` is where the file system is mounted when it is first needed; it stays there for a kubelet that follows. */
  constructor(deps: { root: string; mounts: Mounts }) {
    this.#root = deps.root;
    this.#mounts = deps.mounts;
  }

  directoryOf(podUid: string, name: string): string {
    return join(this.#root, podUid, name);
  }

  /** A directory in memory for the pod, which `link` leads to; resolves to its real path. Idempotent. */
  async ensure(podUid: string, name: string, link: string): Promise<string> {
    await this.#ensureMounted();
    const directory = this.directoryOf(podUid, name);
    // As the root of a tmpfs of its own has it.
    if ((await inMemory.mkdir(directory, { recursive: true })) !== undefined) await inMemory.chmod(directory, 0o1777);
    try {
      await symlink(directory, link);
      return directory;
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    if ((await lstat(link)).isSymbolicLink()) {
      if ((await readlink(link)) === directory) return directory;
      await rm(link);
    } else if ((await this.#mounts.isMountPoint(link)) || !(await removeEmpty(link))) {
      // Earlier releases mounted a tmpfs for each, and wrote downward API files to the disk: containers that run have that
      // one, and must get what is new.
      return link;
    }
    await symlink(directory, link);
    return directory;
  }

  async remove(podUid: string): Promise<void> {
    await rm(join(this.#root, podUid), { recursive: true, force: true });
  }

  /** Uids that have a directory here. */
  async pods(): Promise<string[]> {
    return (await ifExists(readdir(this.#root))) ?? [];
  }

  /** Asks the kernel each time: whoever unmounts it must not make us write secrets to the disk below. */
  async #ensureMounted(): Promise<void> {
    try {
      if (statfsSync(this.#root).type === TMPFS_MAGIC) return;
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
    this.#mounting ??= this.#mount().finally(() => (this.#mounting = undefined));
    await this.#mounting;
  }

  async #mount(): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    await this.#mounts.mountTmpfs(this.#root, { mode: "0700" });
  }
}
