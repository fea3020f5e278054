/** SPDY/3.1 header blocks: name and value pairs in one zlib stream per direction, primed with SPDY's dictionary. */
import { constants, createInflate } from "node:zlib";
import type { Inflate } from "node:zlib";

/** Names and values the dictionary holds with a 32-bit length before each; SPDY draft 3.1, section 2.6.10.1. */
const WORDS =
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status";
const MORE_WORDS = ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"];
const TAIL =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/** A peer's header block may not unpack to more than this. */
const MAX_HEADER_BYTES = 64 * 1024;
/** A stored block of deflate holds at most this much. */
const MAX_STORED = 0xffff;
/** An empty stored block, as a flush leaves it: Go's reader hands data on only when it sees one. */
const SYNC_MARKER = Buffer.from([0, 0, 0, 0xff, 0xff]);

function lengthPrefixed(word: string): Buffer {
  const bytes = Buffer.from(word, "latin1");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export const DICTIONARY: Buffer = Buffer.concat([
  ...[...WORDS.split(" "), ...MORE_WORDS].map(lengthPrefixed),
  Buffer.from(TAIL, "latin1"),
]);

/** Checksum of RFC 1950. */
export function adler32(data: Uint8Array): number {
  let a = 1;
  let b = 0;
  for (const byte of data) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

/** Writes header blocks as stored (uncompressed) deflate blocks: valid zlib, without a compressor's state or delay. */
export class HeaderWriter {
  #begun = false;

  encode(headers: Readonly<Record<string, string>>): Buffer {
    const entries = Object.entries(headers);
    const count = Buffer.alloc(4);
    count.writeUInt32BE(entries.length);
    const block = Buffer.concat([
      count,
      ...entries.flatMap(([name, value]) => [lengthPrefixed(name.toLowerCase()), lengthPrefixed(value)]),
    ]);
    const parts: Buffer[] = [];
    if (!this.#begun) {
      this.#begun = true;
      const begin = Buffer.from([0x78, 0x20, 0, 0, 0, 0]); // deflate, 32 KiB window, dictionary follows
      begin.writeUInt32BE(adler32(DICTIONARY), 2);
      parts.push(begin);
    }
    for (let offset = 0; offset < block.length; offset += MAX_STORED) {
      const piece = block.subarray(offset, offset + MAX_STORED);
      const head = Buffer.alloc(5);
      head.writeUInt16LE(piece.length, 1);
      head.writeUInt16LE(piece.length ^ 0xffff, 3);
      parts.push(head, piece);
    }
    parts.push(SYNC_MARKER);
    return Buffer.concat(parts);
  }
}

/** Reads the header blocks of one direction, in order. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({
    dictionary: DICTIONARY,
    finishFlush: constants.Z_SYNC_FLUSH,
    flush: constants.Z_SYNC_FLUSH,
  });

  decode(block: Buffer): Promise<Record<string, string>> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const onData = (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_HEADER_BYTES) chunks.push(chunk);
      };
      const finish = (error?: Error | null) => {
        this.#inflate.off("data", onData);
        this.#inflate.off("error", finish);
        if (error !== null && error !== undefined) reject(error);
        else if (size > MAX_HEADER_BYTES) reject(new Error("a SPDY header block is too large"));
        else {
          try {
            resolve(parsePairs(Buffer.concat(chunks)));
          } catch (cause) {
            reject(cause);
          }
        }
      };
      this.#inflate.on("data", onData);
      this.#inflate.once("error", finish);
      this.#inflate.write(block);
      this.#inflate.flush(constants.Z_SYNC_FLUSH, () => finish());
    });
  }
  close(): void {
    this.#inflate.close();
  }
}

function parsePairs(data: Buffer): Record<string, string> {
  const result: Record<string, string> = Object.create(null);
  let offset = 4;
  const text = () => {
    const length = data.readUInt32BE(offset);
    const value = data.toString("latin1", offset + 4, offset + 4 + length);
    if (offset + 4 + length > data.length) throw new Error("a SPDY header block is cut off");
    offset += 4 + length;
    return value;
  };
  for (let count = data.length >= 4 ? data.readUInt32BE(0) : 0; count > 0; count--) {
    const name = text();
    result[name] = text();
  }
  return result;
}
