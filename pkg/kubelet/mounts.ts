/** Mounts of the host: the few that volumes need, through mount(8) and umount(8). */
import { readFile } from "node:fs/promises";
import type { CommandRunner } from "#pkg/util/index.ts";

/** How a memory-backed file system is made. */
export interface TmpfsOptions {
  readonly sizeBytes?: number;
  /** Huge pages of this size instead of ordinary ones. */
  readonly pageSize?: string;
  /** Of the root directory, in octal digits; undefined leaves it open to all. */
  readonly mode?: string;
}

/** The machine's mount table, as far as volumes need it. */
export interface Mounts {
  /** A memory-backed file system; `sizeBytes` undefined leaves the kernel's default (half of memory). */
  mountTmpfs(path: string, options: TmpfsOptions): Promise<void>;
  /** Binds `source` (taken literally, no symbolic link is followed) to `target`, which must exist. */
  bind(source: string, target: string): Promise<void>;
  mount(source: string, target: string, type: string, options: readonly string[]): Promise<void>;
  unmount(path: string): Promise<void>;
  isMountPoint(path: string): Promise<boolean>;
  /** Mount points at or below the path, deepest first. */
  below(path: string): Promise<string[]>;
}

/** What the kernel escapes in a path. */
const ESCAPED = /[\s\\#]/;

/** The kernel writes space, tab, newline and backslash in mountinfo as octal escapes. */
function unescape(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** By the machine's own mount and umount. */
export class HostMounts implements Mounts {
  readonly #commands: CommandRunner;
  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }
  async mountTmpfs(path: string, { sizeBytes, pageSize, mode }: TmpfsOptions): Promise<void> {
    const type = pageSize === undefined ? "tmpfs" : "hugetlbfs";
    const options = [
      ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`]),
      ...(pageSize === undefined ? [] : [`pagesize=${pageSize}`]),
      ...(mode === undefined ? [] : [`mode=${mode}`]),
    ];
    await this.#commands.run("mount", [
      "-t",
      type,
      ...(options.length === 0 ? [] : ["-o", options.join(",")]),
      type,
      path,
    ]);
  }
  async bind(source: string, target: string): Promise<void> {
    await this.#commands.run("mount", ["--no-canonicalize", "--bind", source, target]);
  }
  async mount(source: string, target: string, type: string, options: readonly string[]): Promise<void> {
    await this.#commands.run(
      "mount",
      ["-t", type, ...(options.length === 0 ? [] : ["-o", options.join(",")]), source, target],
      { timeoutMs: 120_000 },
    );
  }
  async unmount(path: string): Promise<void> {
    const result = await this.#commands.run("umount", [path], { allowFailure: true });
    // A mount that is busy is detached lazily: its pod is gone and must not block the node.
    if (result.exitCode !== 0 && (await this.isMountPoint(path))) await this.#commands.run("umount", ["-l", path]);
  }
  async isMountPoint(path: string): Promise<boolean> {
    return (await this.#pointsAt(path)).includes(path);
  }
  async below(path: string): Promise<string[]> {
    const points = await this.#pointsAt(path);
    return points.filter((point) => point === path || point.startsWith(`${path}/`)).sort((a, b) => b.length - a.length);
  }
  /** Mount points among which are all at and below the path. */
  async #pointsAt(path: string): Promise<string[]> {
    const text = await readFile("/proc/self/mountinfo", "utf8");
    // Most pods have no mount of their own: the hundreds of others are not taken apart for them.
    if (!ESCAPED.test(path) && !text.includes(path)) return [];
    return text.split("\n").flatMap((line) => {
      const point = line.split(" ")[4];
      return point === undefined ? [] : [unescape(point)];
    });
  }
}
