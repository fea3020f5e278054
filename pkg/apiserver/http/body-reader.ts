import type { Readable } from "node:stream";
import { requestEntityTooLarge } from "#pkg/apimachinery/index.ts";

/** Upstream's limit for what a client may send at once. */
export const BODY_LIMIT_BYTES = 3 * 1024 * 1024;

export const BODY_TOO_LARGE = `Request entity too large: limit is ${BODY_LIMIT_BYTES}`;

/** The whole body. @throws StatusError 413; the stream's error when the client goes away */
export function readBody(stream: Readable, contentLength: string | undefined): Promise<Buffer> {
  if (contentLength !== undefined && Number(contentLength) > BODY_LIMIT_BYTES) {
    stream.resume();
    return Promise.reject(requestEntityTooLarge(BODY_TOO_LARGE));
  }
  if (stream.destroyed) return Promise.reject(new Error("the client closed the request"));
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    stream.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > BODY_LIMIT_BYTES) {
        chunks.length = 0;
        reject(requestEntityTooLarge(BODY_TOO_LARGE));
      } else chunks.push(chunk);
    });
    let complete = false;
    stream.once("end", () => {
      complete = true;
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks));
    });
    stream.once("error", reject);
    stream.once("close", () => {
      if (!complete) reject(new Error("the client closed the request"));
    });
  });
}
