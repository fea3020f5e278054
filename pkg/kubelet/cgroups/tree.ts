/** Cgroups as directories: the same path below every hierarchy's mount point, with the processes in it. */
import { type Dirent, readdirSync, readFileSync } from "node:fs";
import { readdir, readFile, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hasCode, ifExists } from "#pkg/util/index.ts";
import type { CommandRunner } from "#pkg/util/index.ts";
import type { CgroupHierarchies } from "./manager.ts";

export class CgroupTree {
  readonly #mounts: ReadonlySet<string>;
  readonly #commands: CommandRunner;

  constructor({ mounts, unified }: CgroupHierarchies, commands: CommandRunner) {
    this.#mounts = new Set([...mounts.values(), ...(unified === undefined ? [] : [unified])]);
    this.#commands = commands;
  }

  /** Wherever the path may lie. */
  directories(path: string): string[] {
    return [...this.#mounts].map((mount) => join(mount, path));
  }

  async exists(path: string): Promise<boolean> {
    for (const directory of this.directories(path)) if ((await ifExists(stat(directory))) !== undefined) return true;
    return false;
  }

  /** Removes the cgroup and all below it. False when a process in it is still on its way out. */
  async remove(path: string): Promise<boolean> {
    let gone = true;
    for (const directory of this.directories(path)) gone = (await removeDirectory(directory)) && gone;
    return gone;
  }

  /** The ids of the processes in it and below. */
  async processes(path: string): Promise<ReadonlySet<string>> {
    const processes = new Set<string>();
    await this.#walk(path, async (directory) => {
      const listed = (await contentOf(join(directory, "cgroup.procs"))) ?? "";
      // 0 stands for a process of another PID namespace, and would mean our own process group.
      for (const id of listed.split("\n")) if (Number(id) > 1) processes.add(id);
    });
    return processes;
  }

  /** Kills the processes in it and below; they go a moment later. Answers which there were. */
  async kill(path: string): Promise<readonly string[]> {
    const processes = [...(await this.processes(path))];
    if (processes.length === 0) return [];
    await this.#commands.run("kill", ["-KILL", ...processes], { allowFailure: true });
    // A runtime that died while it changed a container has left it frozen: with version 1 that cannot even be killed.
    await this.#walk(path, async (directory) => {
      const file = join(directory, "freezer.state");
      const state = await contentOf(file);
      if (state !== undefined && state !== "THAWED") await ifExists(writeFile(file, "THAWED"));
    });
    return processes;
  }

  async #walk(path: string, visit: (directory: string) => Promise<void>): Promise<void> {
    const walk = async (directory: string): Promise<void> => {
      await visit(directory);
      for (const name of await listDirectories(directory)) await walk(join(directory, name));
    };
    for (const directory of this.directories(path)) await walk(directory);
  }
}

async function removeDirectory(directory: string): Promise<boolean> {
  for (const name of await listDirectories(directory)) await removeDirectory(join(directory, name));
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return true;
    // Busy: a process is still on its way out; whoever asked comes back.
    if (hasCode(error, "EBUSY")) return false;
    throw error;
  }
}

/** How the kernel says that there is no such file, or no more. */
const MISSING = ["ENOENT", "ENODEV", "EOPNOTSUPP"];

/** undefined where there is no such file, or no more. */
export async function contentOf(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, "utf8")).trim();
  } catch (error) {
    if (hasCode(error, ...MISSING)) return undefined;
    throw error;
  }
}

/** The same, at once. */
export function contentNow(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if (hasCode(error, ...MISSING)) return undefined;
    throw error;
  }
}

const names = (entries: readonly Dirent[]) => entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);

export async function listDirectories(directory: string): Promise<string[]> {
  return names((await ifExists(readdir(directory, { withFileTypes: true }))) ?? []);
}

/** The same, at once. */
export function listDirectoriesNow(directory: string): string[] {
  try {
    return names(readdirSync(directory, { withFileTypes: true }));
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
