/** What a container left to say when it ended: the file at terminationMessagePath, or the end of its log. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import type { ObservedContainer } from "./observed.ts";
import { parseLine } from "../logs/line.ts";
import { ANNOTATIONS } from "./annotations.ts";

const MAX_FILE_BYTES = 4096;
const MAX_LOG_BYTES = 2048;
const MAX_LOG_LINES = 80;

/** A file's last bytes. */
function readEnd(path: string, maxBytes: number): string {
  let fd: number;
  try {
    // A pipe in the place of a log must not hold up the node, a link not show another file of it.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (["ENOENT", "ELOOP"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
  try {
    const info = fstatSync(fd);
    if (!info.isFile()) return "";
    const { size } = info;
    const length = Math.min(size, maxBytes);
    const buffer = Buffer.alloc(length);
    const read = readSync(fd, buffer, 0, length, size - length);
    return buffer.subarray(0, read).toString("utf8");
  } finally {
    closeSync(fd);
  }
}

/** The log's last lines without what the runtime adds to them. */
function logTail(path: string): string {
  // What the runtime adds takes room in the file that the message may use: read more than is kept.
  const lines = readEnd(path, MAX_LOG_BYTES * 4).split("\n");
  let text = "";
  for (const line of lines.slice(-MAX_LOG_LINES - 1)) {
    const { time, partial, text: written } = parseLine(Buffer.from(line));
    if (time !== "") text += written.toString("utf8") + (partial ? "" : "\n");
  }
  return text.slice(-MAX_LOG_BYTES);
}

export function terminationMessage(container: ObservedContainer): string {
  const path = container.annotations[ANNOTATIONS.terminationMessagePath];
  const mount = container.mounts.find(({ containerPath }) => containerPath === path);
  const fromFile = mount === undefined ? "" : readEnd(mount.hostPath, MAX_FILE_BYTES);
  if (fromFile !== "") return fromFile;
  const wantsLog =
    container.annotations[ANNOTATIONS.terminationMessagePolicy] === "FallbackToLogsOnError" && container.exitCode !== 0;
  if (wantsLog && container.logPath !== "") return logTail(container.logPath);
  return container.message;
}
