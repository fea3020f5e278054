import { appendFile, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock, Logger } from "#pkg/util/index.ts";

export interface AuditLogOptions {
  readonly path: string;
  /** `--audit-log-maxsize` in MiB; default 100. */
  readonly maxSizeMiB?: number;
  /** `--audit-log-maxbackup`; 0 or absent keeps all. */
  readonly maxBackups?: number;
  /** `--audit-log-maxage`: days that rotated files are kept; 0 or absent keeps them. */
  readonly maxAgeDays?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Lines held while the disk is slow; beyond it the newest are dropped and counted. */
const MAX_PENDING = 10_000;
const DAY_MS = 86_400_000;

/** Appends lines to a file in batches and rotates it by size. Never slows a request down, never grows without bound. */
export class AuditLogFile {
  readonly #options: AuditLogOptions;
  #pending: string[] = [];
  #dropped = 0;
  #writing: Promise<void> | undefined;
  #size: number | undefined;

  constructor(options: AuditLogOptions) {
    this.#options = options;
  }

  write(line: string): void {
    if (this.#pending.length >= MAX_PENDING) {
      this.#dropped++;
      return;
    }
    this.#pending.push(line);
    this.#writing ??= this.#drain();
  }

  /** Resolves when everything written so far is in the file. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async #drain(): Promise<void> {
    const { path, log } = this.#options;
    try {
      while (this.#pending.length > 0) {
        const batch = Buffer.from(`${this.#pending.join("\n")}\n`);
        this.#pending = [];
        await this.#rotateIfFull(batch.length);
        await appendFile(path, batch, { mode: 0o600 });
        this.#size = (this.#size ?? 0) + batch.length;
        if (this.#dropped > 0) {
          log.warn({ dropped: this.#dropped }, "Dropped audit events because the log could not keep up");
          this.#dropped = 0;
        }
      }
    } catch (err) {
      log.error({ err, path }, "Could not write the audit log");
    } finally {
      this.#writing = undefined;
    }
  }

  async #rotateIfFull(more: number): Promise<void> {
    const { path, maxSizeMiB = 100, clock } = this.#options;
    if (this.#size === undefined) {
      await mkdir(dirname(path), { recursive: true });
      this.#size = await stat(path).then(
        ({ size }) => size,
        () => 0,
      );
    }
    if (this.#size === 0 || this.#size + more <= maxSizeMiB * 1024 * 1024) return;
    const { stem, extension } = parts(path);
    await rename(path, join(dirname(path), `${stem}-${stamp(clock.now())}${extension}`));
    this.#size = 0;
    await this.#prune();
  }

  /** Removes rotated files that are too many or too old; their names tell when they were rotated. */
  async #prune(): Promise<void> {
    const { path, maxBackups = 0, maxAgeDays = 0, clock } = this.#options;
    if (maxBackups <= 0 && maxAgeDays <= 0) return;
    const { stem, extension } = parts(path);
    const names = await readdir(dirname(path));
    const backups = names.filter((name) => name.startsWith(`${stem}-`) && name.endsWith(extension)).sort();
    const tooMany = maxBackups > 0 ? Math.max(0, backups.length - maxBackups) : 0;
    const oldest = maxAgeDays > 0 ? `${stem}-${stamp(clock.now() - maxAgeDays * DAY_MS)}${extension}` : "";
    for (const [index, name] of backups.entries())
      if (index < tooMany || name < oldest) await rm(join(dirname(path), name), { force: true });
  }
}

/** The form of upstream's rotation: name-2026-01-02T03-04-05.678.log */
function stamp(time: number): string {
  return new Date(time).toISOString().slice(0, 23).replaceAll(":", "-");
}

function parts(path: string): { stem: string; extension: string } {
  const name = basename(path);
  const dot = name.lastIndexOf(".");
  return dot <= 0 ? { stem: name, extension: "" } : { stem: name.slice(0, dot), extension: name.slice(dot) };
}
