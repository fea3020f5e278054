import { type Field, HpackDecoder } from "#pkg/http2/index.ts";
import type { RequestHead } from "./exchange.ts";

/** A request that HTTP/2 does not allow (RFC 9113, section 8.1.1); its stream is reset. */
export interface Malformed {
  readonly malformed: true;
}
const MALFORMED: Malformed = { malformed: true };
/** A request whose head is beyond the bound; the client is told (RFC 9113, section 10.5.1). */
export const TOO_LARGE = Symbol("too large");

/** Fields of HTTP/1 connections (section 8.2.2). */
const CONNECTION_FIELDS = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
/** A token without upper case (section 8.2.1). */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
/** Neither line breaks, which would begin a field of their own in HTTP/1, nor other control characters. */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** What a request line could carry: no spaces, no control characters. */
const TARGET = /^[\x21-\x7e\x80-\xff]+$/;
const DIGITS = /^\d{1,15}$/;
/** Fields of which there is one; two readers of the same request could choose different ones. */
const SINGLE = new Set(["host", "content-length", "authorization", "content-type"]);

/** Reads the header blocks of one connection into requests. */
export class RequestHeads {
  readonly #decoder: HpackDecoder;
  #method = "";
  #path = "";
  #scheme = "";
  #authority = "";
  #pseudoOver = false;
  #malformed = false;
  #headers: Record<string, string | undefined> = {};
  #repeated: Map<string, string[]> | undefined;
  readonly #visit = (name: string, value: string, field: Field) => this.#field(name, value, field);

  constructor(maxHeaderBytes: number) {
    this.#decoder = new HpackDecoder(maxHeaderBytes);
  }
  /** @throws Http2Error when the block cannot be decoded. */
  read(block: Buffer): RequestHead | Malformed | typeof TOO_LARGE {
    const headers = this.#decode(block, false);
    if (headers === undefined) return TOO_LARGE;
    const length = headers["content-length"];
    if (this.#malformed || this.#method === "" || this.#path === "" || this.#scheme === "") return MALFORMED;
    if (length !== undefined && !DIGITS.test(length)) return MALFORMED;
    if (this.#authority !== "") {
      headers["host"] ??= this.#authority;
      if (headers["host"] !== this.#authority) return MALFORMED;
    }
    return { method: this.#method, path: this.#path, headers, repeated: this.#repeated };
  }
  /** Reads fields behind a body, of which only the form matters. @throws Http2Error when the block cannot be decoded. */
  readTrailers(block: Buffer): Malformed | undefined {
    const fields = this.#decode(block, true);
    return this.#malformed || fields === undefined ? MALFORMED : undefined;
  }

  /** undefined when there are more fields than the bound allows. */
  #decode(block: Buffer, pseudoOver: boolean): Record<string, string | undefined> | undefined {
    this.#method = this.#path = this.#scheme = this.#authority = "";
    this.#pseudoOver = pseudoOver;
    this.#malformed = false;
    this.#repeated = undefined;
    const headers: Record<string, string | undefined> = Object.create(null) as Record<string, string | undefined>;
    this.#headers = headers;
    return this.#decoder.decode(block, this.#visit) ? headers : undefined;
  }
  #field(name: string, value: string, field: Field): void {
    if (!(field.fit ??= isFit(name, value))) {
      if (!name.startsWith(":")) value = bare(value);
      this.#malformed ||= !isFit(name, value);
    }
    if (name.charCodeAt(0) === 0x3a) {
      this.#pseudo(name, value);
      return;
    }
    this.#pseudoOver = true;
    const before = this.#headers[name];
    if (before === undefined) this.#headers[name] = value;
    else if (SINGLE.has(name)) this.#malformed ||= before !== value;
    else {
      this.#headers[name] = `${before}${name === "cookie" ? "; " : ", "}${value}`;
      const lines = this.#repeated?.get(name);
      if (lines === undefined) (this.#repeated ??= new Map()).set(name, [before, value]);
      else lines.push(value);
    }
  }
  #pseudo(name: string, value: string): void {
    if (this.#pseudoOver) this.#malformed = true;
    else if (name === ":method" && this.#method === "") this.#method = value;
    else if (name === ":path" && this.#path === "") this.#path = value;
    else if (name === ":scheme" && this.#scheme === "") this.#scheme = value;
    else if (name === ":authority" && this.#authority === "") this.#authority = value;
    else this.#malformed = true;
  }
}

/**
 * A value without the spaces around it, which are no part of it (RFC 9110, section 5.5). HTTP/2 calls them malformed, but
 * Go's clients send what they were given, such as a user agent made of names of which the last is empty, and upstream's
 * server takes it.
 */
function bare(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isSpace(value.charCodeAt(start))) start++;
  while (end > start && isSpace(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** What can be said of a field alone. */
function isFit(name: string, value: string): boolean {
  if (name === ":method") return METHOD.test(value);
  if (name.startsWith(":")) return TARGET.test(value);
  if (CONNECTION_FIELDS.has(name) || (name === "te" && value !== "trailers")) return false;
  return NAME.test(name) && VALUE.test(value);
}
