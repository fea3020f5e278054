/** Rotates container logs by size, keeps a few compressed, and maintains the flat links of /var/log/containers. */
import { createReadStream, createWriteStream } from "node:fs";
import { lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { hasCode } from "#pkg/util/index.ts";
import type { Clock, Logger } from "#pkg/util/index.ts";
import type { Runtime } from "../cri/runtime.ts";
import type { ObservedContainer } from "../pod/observed.ts";

/** How large logs may be, and how many are kept of each. */
export interface RotationDeps {
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxBytes: number;
  /** Including the one being written; at least 2. */
  readonly maxFiles: number;
  readonly linkDirectory: string;
}

/** Linux's limit for one name of a path. */
const MAX_NAME = 255;

export class LogRotation {
  readonly #deps: RotationDeps;
  constructor(deps: RotationDeps) {
    this.#deps = deps;
  }

  /** Rotates what has grown too large. One container's trouble does not keep the others. */
  async rotate(containers: readonly ObservedContainer[], signal: AbortSignal): Promise<void> {
    if (this.#deps.runtime.rotatesLogs) return;
    for (const container of containers) {
      if (container.state !== "Running" || container.logPath === "") continue;
      try {
        const info = await lstat(container.logPath);
        if (info.isFile() && info.size >= this.#deps.maxBytes) await this.#rotateOne(container, signal);
      } catch (err) {
        if (signal.aborted) return;
        if (!hasCode(err, "ENOENT"))
          this.#deps.log.warn({ err, container: container.metadata.name }, "Rotating a container's log failed");
      }
    }
  }

  async #rotateOne(container: ObservedContainer, signal: AbortSignal): Promise<void> {
    const { runtime, clock, maxFiles } = this.#deps;
    const { logPath } = container;
    const directory = dirname(logPath);
    const prefix = `${basename(logPath)}.`;
    const old = (await readdir(directory)).filter((name) => name.startsWith(prefix));
    for (const name of old.filter((candidate) => candidate.endsWith(".tmp")))
      await rm(join(directory, name), { force: true });
    const kept = old.filter((name) => !name.endsWith(".tmp")).sort();
    // The one written now and the one about to be rotated away count as well.
    const surplus = kept.slice(0, Math.max(0, kept.length - (maxFiles - 2)));
    for (const name of surplus) await rm(join(directory, name), { force: true });
    // The newest rotated file stays readable for those who follow it; older ones are compressed.
    for (const name of kept.slice(surplus.length)) if (!name.endsWith(".gz")) await compress(join(directory, name));
    const stamp = new Date(clock.now()).toISOString().replaceAll(/[-:]/g, "").slice(0, 15).replace("T", "-");
    const rotated = `${logPath}.${stamp}`;
    await rename(logPath, rotated);
    try {
      await runtime.reopenContainerLog(container.id, { signal });
    } catch (error) {
      // The runtime still writes to the old file: give it its name back.
      await rename(rotated, logPath);
      throw error;
    }
  }

  /** Links <pod>_<namespace>_<container>-<id>.log to each log, for log collectors, and drops links that lead nowhere. */
  async link(containers: readonly ObservedContainer[]): Promise<void> {
    const { linkDirectory } = this.#deps;
    await mkdir(linkDirectory, { recursive: true, mode: 0o755 });
    const wanted = new Map<string, string>();
    for (const { labels, metadata, id, logPath } of containers) {
      if (logPath === "") continue;
      const head = `${labels["io.kubernetes.pod.name"] ?? ""}_${labels["io.kubernetes.pod.namespace"] ?? ""}_${metadata.name}`;
      wanted.set(`${head.slice(0, MAX_NAME - id.length - 5)}-${id}.log`, logPath);
    }
    const present = new Set(await readdir(linkDirectory));
    for (const [name, target] of wanted) if (!present.has(name)) await symlink(target, join(linkDirectory, name));
    for (const name of present) {
      if (wanted.has(name) || !name.endsWith(".log")) continue;
      const path = join(linkDirectory, name);
      try {
        await stat(await readlink(path));
      } catch (error) {
        if (hasCode(error, "ENOENT")) await rm(path, { force: true });
        else if (!hasCode(error, "EINVAL")) throw error; // a file that somebody else put here
      }
    }
  }
}

/** Only what a log was written to: a link that somebody planted among logs must not be read. */
async function compress(path: string): Promise<void> {
  if (!(await lstat(path)).isFile()) return;
  await pipeline(createReadStream(path), createGzip(), createWriteStream(`${path}.gz.tmp`));
  await rename(`${path}.gz.tmp`, `${path}.gz`);
  await rm(path);
}
