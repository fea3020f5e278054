import { createHash } from "node:crypto";

/** What stands for a document in ETag headers and in the addresses of OpenAPI's index: its SHA-512, as upstream shows it. */
export function etagOf(bytes: Uint8Array): string {
  return createHash("sha512").update(bytes).digest("hex").toUpperCase();
}
