/** /logs/: the node's own log files, and what directories hold, as net/http's file server shows them. */
import type { Stats } from "node:fs";
import { open, readdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { hasCode } from "#pkg/util/index.ts";
import { openPlace } from "../volumes/subpath.ts";
import { VolumeError } from "../volumes/volume.ts";
import { HttpError } from "./http-error.ts";

/** What looks like text is shown as text; the beginning decides. */
const SNIFFED_BYTES = 512;

/**
 * Answers with what lies at the path below the root. Links are followed inside of the root only: whoever may write a log
 * must not show other files of the node.
 */
export async function serveNodeLogs(
  root: string,
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  if (request.method !== "GET" && request.method !== "HEAD") throw new HttpError(405, "method not allowed");
  const path = decoded(pathname.replace(/^\/logs\/?/, ""));
  const place = await find(root, path);
  try {
    const info = await place.stat();
    if (info.isDirectory()) await showDirectory(place, pathname, request, response);
    // Opening a pipe or a device would wait for, or wake, whoever is behind it.
    else if (info.isFile()) await showFile(place, info, request, response, signal);
    else throw notFound();
  } finally {
    await place.close();
  }
}

const notFound = () => new HttpError(404, "404 page not found");

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw new HttpError(400, "invalid URL path");
  }
}

async function find(root: string, path: string): Promise<FileHandle> {
  if (path.includes("\0")) throw notFound();
  try {
    return await openPlace(root, path);
  } catch (error) {
    if (error instanceof VolumeError || hasCode(error, "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG")) throw notFound();
    throw error;
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

async function showDirectory(
  place: FileHandle,
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (!pathname.endsWith("/")) {
    response.setHeader("location", `${pathname.slice(pathname.lastIndexOf("/") + 1)}/`);
    response.statusCode = 301;
    response.end();
    return;
  }
  const entries = await readdir(`/proc/self/fd/${place.fd}`, { withFileTypes: true });
  const lines = entries
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .sort()
    .map((name) => {
      // A name with a colon would be taken for a scheme.
      const link = name.split("/").map(encodeURIComponent).join("/");
      return `<a href="${link}">${name.replaceAll(/[&<>"']/g, (found) => ESCAPES[found]!)}</a>\n`;
    });
  response.setHeader("content-type", "text/html; charset=utf-8");
  const head = '<!doctype html>\n<meta name="viewport" content="width=device-width">\n';
  response.end(request.method === "HEAD" ? undefined : `${head}<pre>\n${lines.join("")}</pre>\n`);
}

async function showFile(
  place: FileHandle,
  { size, mtime }: Stats,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(`/proc/self/fd/${place.fd}`, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SNIFFED_BYTES), 0, SNIFFED_BYTES, 0);
    const binary = buffer.subarray(0, bytesRead).includes(0);
    response.setHeader("content-type", binary ? "application/octet-stream" : "text/plain; charset=utf-8");
    response.setHeader("accept-ranges", "bytes");
    response.setHeader("last-modified", mtime.toUTCString());
    const range = rangeOf(request.headers.range, size);
    if (range === "unsatisfiable") {
      response.setHeader("content-range", `bytes */${size}`);
      throw new HttpError(416, "invalid range: failed to overlap");
    }
    const { start, end } = range ?? { start: 0, end: size - 1 };
    response.setHeader("content-length", end - start + 1);
    if (range !== undefined) {
      response.statusCode = 206;
      response.setHeader("content-range", `bytes ${start}-${end}/${size}`);
    }
    if (request.method === "HEAD" || end < start) response.end();
    // What is written meanwhile is another request's.
    else await pipeline(file.createReadStream({ start, end, autoClose: false }), response, { signal });
  } finally {
    await file.close();
  }
}

/** One range of bytes; anything else that the header may say is answered with all of it. */
function rangeOf(
  header: string | undefined,
  size: number,
): { start: number; end: number } | "unsatisfiable" | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null || (match[1] === "" && match[2] === "")) return undefined;
  if (match[1] === "") {
    const length = Math.min(Number(match[2]), size);
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size - 1 };
  }
  const start = Number(match[1]);
  const end = match[2] === "" ? size - 1 : Math.min(Number(match[2]), size - 1);
  if (start >= size) return "unsatisfiable";
  return end < start ? undefined : { start, end };
}
