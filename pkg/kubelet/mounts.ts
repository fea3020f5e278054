/** Mounts of the host: the few that volumes need, through mount(8) and umount(8). */
import { readFile } from "node:fs/promises";
import type { CommandRunner } from "#pkg/util/index.ts";

export interface Mounts {
  /** A memory-backed file system; `sizeBytes` undefined leaves the kernel's default (half of memory). */
  mountTmpfs(path: string, options: { sizeBytes?: number; pageSize?: string }): Promise<void>;
  /** Binds `source` (taken literally, no symbolic link is followed) to `target`, which must exist. */
  bind(source: string, target: string): Promise<void>;
  mount(source: string, target: string, type: string, options: readonly string[]): Promise<void>;
  unmount(path: string): Promise<void>;
  isMountPoint(path: string): Promise<boolean>;
  /** Mount points at or below the path, deepest first. */
  below(path: string): Promise<string[]>;
}

/** The kernel writes space, tab, newline and backslash in mountinfo as octal escapes. */
function unescape(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

export class HostMounts implements Mounts {
  readonly #commands: CommandRunner;
  constructor(commands: CommandRunner) {
    this.#commands = commands;
  }
  async mountTmpfs(path: string, { sizeBytes, pageSize }: { sizeBytes?: number; pageSize?: string }): Promise<void> {
    const type = pageSize === undefined ? "tmpfs" : "hugetlbfs";
    const options = [
      ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`]),
      ...(pageSize === undefined ? [] : [`pagesize=${pageSize}`]),
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
    return (await this.#points()).includes(path);
  }
  async below(path: string): Promise<string[]> {
    const points = await this.#points();
    return points.filter((point) => point === path || point.startsWith(`${path}/`)).sort((a, b) => b.length - a.length);
  }
  async #points(): Promise<string[]> {
    const text = await readFile("/proc/self/mountinfo", "utf8");
    return text.split("\n").flatMap((line) => {
      const point = line.split(" ")[4];
      return point === undefined ? [] : [unescape(point)];
    });
  }
}
