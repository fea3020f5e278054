/** What is done with the files of a volume. */
import * as fs from "node:fs";
import * as promises from "node:fs/promises";

/** Calls of node:fs/promises, as far as volumes are written with them. */
export interface FileCalls {
  chmod(path: string, mode: number): Promise<void>;
  chown(path: string, uid: number, gid: number): Promise<void>;
  lstat(path: string): Promise<fs.Stats>;
  mkdir(path: string, options?: { recursive: boolean }): Promise<string | undefined>;
  readdir(path: string, options: { withFileTypes: true }): Promise<fs.Dirent[]>;
  readFile(path: string): Promise<Buffer>;
  readlink(path: string): Promise<string>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { recursive?: boolean; force?: boolean }): Promise<void>;
  stat(path: string): Promise<fs.Stats>;
  symlink(target: string, path: string): Promise<void>;
  unlink(path: string): Promise<void>;
  writeFile(path: string, data: Uint8Array): Promise<void>;
}

/** A disk may take its time: another thread waits for it. */
export const onDisk: FileCalls = {
  ...promises,
  mkdir: async (path, options) => promises.mkdir(path, options),
};

/**
 * A file system in memory answers at once. To hand a call to another thread and be woken by its end costs several times what the
 * call does, and a token's volume takes thirty of them.
 */
export const inMemory: FileCalls = {
  chmod: async (path, mode) => fs.chmodSync(path, mode),
  chown: async (path, uid, gid) => fs.chownSync(path, uid, gid),
  lstat: async (path) => fs.lstatSync(path),
  mkdir: async (path, options) => fs.mkdirSync(path, options),
  readdir: async (path, options) => fs.readdirSync(path, options),
  readFile: async (path) => fs.readFileSync(path),
  readlink: async (path) => fs.readlinkSync(path),
  rename: async (from, to) => fs.renameSync(from, to),
  rm: async (path, options) => fs.rmSync(path, options),
  stat: async (path) => fs.statSync(path),
  symlink: async (target, path) => fs.symlinkSync(target, path),
  unlink: async (path) => fs.unlinkSync(path),
  writeFile: async (path, data) => fs.writeFileSync(path, data),
};
