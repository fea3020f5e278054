/**
 * Writes a set of files so that readers see either all old or all new ones: files live in a timestamped directory,
 * `..data` links to it and is replaced by rename, and each top-level name links through `..data`.
 */
import { dirname, join, normalize } from "node:path";
import { hasCode, ifExists } from "#pkg/util/index.ts";
import type { Clock, Random } from "#pkg/util/index.ts";
import type { FileCalls } from "./file-calls.ts";

/** A file of a volume; `mode` are its permission bits. */
export interface PayloadFile {
  readonly data: Uint8Array;
  readonly mode: number;
  /** Owner, when it must not be root (service account tokens). */
  readonly uid?: number;
}

/** A volume's files by path relative to its root. */
export type Payload = ReadonlyMap<string, PayloadFile>;

const DATA_LINK = "..data";
const TEMP_LINK = "..data_tmp";

/** Refuses names that could leave the volume; the API refuses them too, but a node must not rely on it. */
export function checkPayloadPath(path: string): void {
  const clean = normalize(path);
  if (path === "" || path.startsWith("/") || clean === ".." || clean.startsWith("../") || clean.startsWith("..")) {
    throw new Error(`invalid path ${JSON.stringify(path)} in a volume: it must stay inside the volume`);
  }
}

function timestamp(now: number): string {
  return new Date(now).toISOString().slice(0, 19).replaceAll("-", "_").replaceAll("T", "_").replaceAll(":", "_");
}

async function unchanged(calls: FileCalls, directory: string, payload: Payload): Promise<boolean> {
  const present = await ifExists(listFiles(calls, directory, ""));
  if (present === undefined || present.length !== payload.size) return false;
  for (const [path, file] of payload) {
    const full = join(directory, path);
    const info = await ifExists(calls.stat(full));
    if (info === undefined || (info.mode & 0o777) !== file.mode || info.size !== file.data.length) return false;
    if (file.uid !== undefined && info.uid !== file.uid) return false;
    if (!(await calls.readFile(full)).equals(file.data)) return false;
  }
  return true;
}

async function listFiles(calls: FileCalls, root: string, prefix: string): Promise<string[]> {
  const entries = await calls.readdir(join(root, prefix), { withFileTypes: true });
  const nested = await Promise.all(
    entries.map((entry) =>
      entry.isDirectory() ? listFiles(calls, root, join(prefix, entry.name)) : [join(prefix, entry.name)],
    ),
  );
  return nested.flat();
}

/** Writes `payload` under `root`; resolves to true when something changed. */
export async function writeAtomically(
  root: string,
  payload: Payload,
  options: { clock: Clock; random: Random; calls: FileCalls; fsGroup?: number },
): Promise<boolean> {
  const { calls } = options;
  for (const path of payload.keys()) checkPayloadPath(path);
  const files: Payload =
    options.fsGroup === undefined
      ? payload
      : new Map([...payload].map(([path, file]) => [path, { ...file, mode: file.mode | 0o440 }]));
  const oldName = await ifExists(calls.readlink(join(root, DATA_LINK)));
  if (oldName !== undefined && (await unchanged(calls, join(root, oldName), files))) return false;

  const newName = `..${timestamp(options.clock.now())}.${options.random.int(1_000_000_000)}`;
  const directory = join(root, newName);
  const directoryMode = options.fsGroup === undefined ? 0o755 : 0o2755;
  const own = async (path: string, mode: number, uid = 0) => {
    if (options.fsGroup !== undefined || uid !== 0) await calls.chown(path, uid, options.fsGroup ?? 0);
    await calls.chmod(path, mode); // after chown, which clears setgid
  };
  // The group has the volume itself too; nobody of it may write what the API says.
  if (oldName === undefined && options.fsGroup !== undefined)
    await own(root, ((await calls.stat(root)).mode & 0o7777) | 0o2550);
  await calls.mkdir(directory);
  await own(directory, directoryMode);
  for (const [path, file] of files) {
    const full = join(directory, path);
    for (let parent = dirname(path), missing: string[] = []; ; parent = dirname(parent)) {
      if (parent !== "." && (await ifExists(calls.stat(join(directory, parent)))) === undefined) {
        missing.push(parent);
        continue;
      }
      for (const name of missing.reverse()) {
        await calls.mkdir(join(directory, name));
        await own(join(directory, name), directoryMode);
      }
      break;
    }
    await calls.writeFile(full, file.data);
    await own(full, file.mode, file.uid);
  }
  await linkTo(calls, newName, join(root, TEMP_LINK));
  await calls.rename(join(root, TEMP_LINK), join(root, DATA_LINK));
  await linkNames(calls, root, files);
  if (oldName !== undefined) await calls.rm(join(root, oldName), { recursive: true, force: true });
  return true;
}

/** Makes a link, in place of whatever else has its name. */
async function linkTo(calls: FileCalls, target: string, path: string): Promise<void> {
  try {
    await calls.symlink(target, path);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    if ((await calls.lstat(path)).isSymbolicLink() && (await calls.readlink(path)) === target) return;
    await calls.rm(path, { force: true });
    await calls.symlink(target, path);
  }
}

async function linkNames(calls: FileCalls, root: string, payload: Payload): Promise<void> {
  const names = new Set([...payload.keys()].map((path) => path.split("/")[0]!));
  for (const name of names) await linkTo(calls, `${DATA_LINK}/${name}`, join(root, name));
  for (const entry of await calls.readdir(root, { withFileTypes: true })) {
    if (entry.isSymbolicLink() && !entry.name.startsWith("..") && !names.has(entry.name))
      await calls.unlink(join(root, entry.name));
  }
}
