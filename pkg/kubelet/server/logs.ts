/** Reads container logs: all of one, its end, or for as long as it grows. */
import { once } from "node:events";
import { constants, watch } from "node:fs";
import { open } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Writable } from "node:stream";
import { hasCode, sleep } from "#pkg/util/index.ts";
import type { Clock } from "#pkg/util/index.ts";
import { orClosed } from "../handles.ts";
import { type LogLine, parseLine } from "../logs/line.ts";

const BLOCK_BYTES = 64 * 1024;
/** Runtimes split lines long before; what has no line's end is no log of theirs, and must not fill the memory. */
const MAX_LINE_BYTES = 1024 * 1024;
/** Between looks at a quiet log, should a change go unnoticed. */
const FOLLOW_POLL_MS = 1000;

/** PodLogOptions, checked. */
export interface LogOptions {
  readonly follow: boolean;
  /** Lines from the end to begin with; undefined for all. */
  readonly tailLines?: number;
  /** Only lines written at or after this time, epoch milliseconds. */
  readonly since?: number;
  readonly timestamps: boolean;
  readonly limitBytes?: number;
  readonly stream: "All" | "Stdout" | "Stderr";
}

/** Where the last `count` lines of the first `size` bytes begin; a line that is still being written is none of them. */
async function tailOffset(file: FileHandle, size: number, count: number): Promise<number> {
  const block = Buffer.alloc(BLOCK_BYTES);
  let found = 0;
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    for (let i = bytesRead - 1; i >= 0; i--) {
      // The first newline from the end ends the last line.
      if (block[i] === 0x0a && found++ === count) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

interface FollowState {
  changed: boolean;
  rotated: boolean;
  wake: () => void;
}

/** Notices growth and rotation of the file through its directory. */
function watchFile(path: string, signal: AbortSignal): FollowState {
  const state: FollowState = { changed: false, rotated: false, wake: () => undefined };
  const watcher = watch(dirname(path), { signal, persistent: false }, (event, name) => {
    if (name !== null && name !== basename(path)) return;
    state.changed = true;
    if (event === "rename") state.rotated = true;
    state.wake();
  });
  // Without inotify (its instances are few by default) the poll still finds everything, a little later.
  watcher.on("error", () => undefined);
  return state;
}

async function waitForChange(state: FollowState, clock: Clock, signal: AbortSignal): Promise<void> {
  if (state.changed) return;
  const wake = new AbortController();
  state.wake = () => wake.abort();
  try {
    await sleep(clock, FOLLOW_POLL_MS, AbortSignal.any([signal, wake.signal]));
  } catch {
    return; // woken or aborted; the caller looks at its signal
  }
}

/** Where a container's lines are. */
export interface LogSource {
  /** Path of the log of the container at hand. */
  readonly path: string;
  /** False once the container has ended: following stops at the end of its log. */
  readonly running: () => boolean;
}

/** Output in chunks as a client is to see it. Ends at the log's end, or when following, at the container's. */
export async function* readLog(
  source: LogSource,
  options: LogOptions,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const watching = new AbortController();
  const bounded = AbortSignal.any([signal, watching.signal]);
  let file = await openLog(source.path);
  try {
    const state = options.follow ? watchFile(source.path, bounded) : undefined;
    const { size } = await file.stat();
    let offset = options.tailLines === undefined ? 0 : await tailOffset(file, size, options.tailLines);
    // Who does not follow gets what there was: lines written meanwhile would make more of the tail than was asked for.
    const until = options.follow ? Number.POSITIVE_INFINITY : size;
    const formatter = new Formatter(options);
    const drain = async function* (): AsyncGenerator<Buffer> {
      for await (const { chunk, next } of readToEnd(file, offset, until)) {
        offset = next;
        const out = formatter.push(chunk);
        if (out.length > 0) yield out;
        if (formatter.full) return;
      }
    };
    for (;;) {
      const running = source.running();
      if (state !== undefined) state.changed = false;
      const rotated = state?.rotated ?? false;
      yield* drain();
      if (formatter.full || state === undefined || signal.aborted) return;
      if (rotated) {
        state.rotated = false;
        const reopened = await reopen(source.path, file);
        if (reopened !== undefined) {
          // Once the new file is there the old one is complete: what came after the last look is read now.
          yield* drain();
          await file.close();
          file = reopened;
          offset = 0;
          if (formatter.full) return;
          continue;
        }
      }
      if (!running) return;
      await waitForChange(state, clock, signal);
      if (signal.aborted) return;
    }
  } finally {
    watching.abort();
    await file.close();
  }
}

/**
 * Writes a log as fast as it is taken. The reader may be gone at any moment: then the log is closed, for nothing would ever
 * end the wait for a reader that is not there, and a file that is forgotten open ends the program.
 */
export async function sendLog(chunks: AsyncIterable<Buffer>, reader: Writable, signal: AbortSignal): Promise<void> {
  for await (const chunk of chunks) {
    if (reader.destroyed) return;
    if (!reader.write(chunk)) await once(reader, "drain", { signal });
  }
}

/**
 * Whoever may write beside logs can put anything in their place: a pipe or a device must not hold up the node, a link must
 * not show another file of it.
 */
async function openLog(path: string): Promise<FileHandle> {
  const refused = new Error(`${basename(path)} is not a regular file`);
  const file = await openUnlinked(path);
  if (file === undefined) throw refused;
  return orClosed(file, async () => {
    if (!(await file.stat()).isFile()) throw refused;
    return file;
  });
}

async function openUnlinked(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (hasCode(error, "ELOOP")) return undefined;
    throw error;
  }
}

/** The new file of that name, unless it is still the one already open or not there yet. */
async function reopen(path: string, current: FileHandle): Promise<FileHandle | undefined> {
  let next: FileHandle;
  try {
    next = await openLog(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
  const isNew = await orClosed(next, async () => (await next.stat()).ino !== (await current.stat()).ino);
  if (isNew) return next;
  await next.close();
  return undefined;
}

async function* readToEnd(
  file: FileHandle,
  from: number,
  until: number,
): AsyncGenerator<{ chunk: Buffer; next: number }> {
  for (let offset = from; offset < until;) {
    const block = Buffer.alloc(BLOCK_BYTES);
    const { bytesRead } = await file.read(block, 0, Math.min(BLOCK_BYTES, until - offset), offset);
    if (bytesRead === 0) return;
    offset += bytesRead;
    yield { chunk: block.subarray(0, bytesRead), next: offset };
  }
}

/** Turns raw log bytes into what was asked for, across chunk boundaries. */
class Formatter {
  readonly #options: LogOptions;
  #rest: Buffer = Buffer.alloc(0);
  #sent = 0;
  #inPartial = false;
  full = false;

  constructor(options: LogOptions) {
    this.#options = options;
    this.full = options.limitBytes === 0;
  }

  push(chunk: Buffer): Buffer {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const out: Buffer[] = [];
    let start = 0;
    for (let end = data.indexOf(0x0a, start); end >= 0; end = data.indexOf(0x0a, start)) {
      const formatted = this.#format(parseLine(data.subarray(start, end)));
      if (formatted !== undefined) out.push(formatted);
      start = end + 1;
    }
    this.#rest = data.subarray(start);
    if (this.#rest.length > MAX_LINE_BYTES) {
      const formatted = this.#format(parseLine(this.#rest));
      if (formatted !== undefined) out.push(formatted);
      this.#rest = Buffer.alloc(0);
    }
    return this.#limit(Buffer.concat(out));
  }

  #format({ time, stream, partial, text }: LogLine): Buffer | undefined {
    const { since, stream: wanted, timestamps } = this.#options;
    if (since !== undefined && time !== "" && Date.parse(time) < since) return undefined;
    if (wanted !== "All" && wanted.toLowerCase() !== stream) return undefined;
    // A long line comes in pieces: only its first carries the time, only its last the line's end.
    const prefix = timestamps && time !== "" && !this.#inPartial ? `${time} ` : "";
    this.#inPartial = partial;
    return Buffer.concat([Buffer.from(prefix), text, Buffer.from(partial ? "" : "\n")]);
  }

  #limit(out: Buffer): Buffer {
    const { limitBytes } = this.#options;
    if (limitBytes === undefined) return out;
    const left = limitBytes - this.#sent;
    const kept = out.length > left ? out.subarray(0, left) : out;
    this.#sent += kept.length;
    this.full = this.#sent >= limitBytes;
    return kept;
  }
}
