import { HpackDecoder } from "./hpack-decoder.ts";
import type { RequestHead } from "./exchange.ts";

/** A request that HTTP/2 does not allow; its stream is reset. */
export interface Malformed {
  readonly malformed: true;
}
const MALFORMED: Malformed = { malformed: true };

/** Fields of HTTP/1 connections. */
const CONNECTION_FIELDS = new Set(["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]);
const UPPER_CASE = /[A-Z]/;
const DIGITS = /^\d{1,15}$/;

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
  readonly #visit = (name: string, value: string) => this.#field(name, value);

  constructor(maxHeaderBytes: number) {
    this.#decoder = new HpackDecoder(maxHeaderBytes);
  }
  /** @throws Http2Error when the block cannot be decoded. */
  read(block: Buffer): RequestHead | Malformed {
    this.#method = this.#path = this.#scheme = this.#authority = "";
    this.#pseudoOver = false;
    this.#malformed = false;
    const headers: Record<string, string | undefined> = Object.create(null) as Record<string, string | undefined>;
    this.#headers = headers;
    this.#decoder.decode(block, this.#visit);
    const length = headers["content-length"];
    if (this.#malformed || this.#method === "" || this.#path === "" || this.#scheme === "") return MALFORMED;
    if (length !== undefined && !DIGITS.test(length)) return MALFORMED;
    if (this.#authority !== "") headers["host"] ??= this.#authority;
    return { method: this.#method, path: this.#path, headers };
  }

  #field(name: string, value: string): void {
    if (name.charCodeAt(0) === 0x3a) {
      this.#pseudo(name, value);
      return;
    }
    this.#pseudoOver = true;
    if (
      CONNECTION_FIELDS.has(name) ||
      UPPER_CASE.test(name) ||
      name === "" ||
      (name === "te" && value !== "trailers")
    ) {
      this.#malformed = true;
      return;
    }
    const before = this.#headers[name];
    if (before === undefined) this.#headers[name] = value;
    else this.#headers[name] = `${before}${name === "cookie" ? "; " : ", "}${value}`;
  }
  #pseudo(name: string, value: string): void {
    if (this.#pseudoOver || value === "") this.#malformed = true;
    else if (name === ":method" && this.#method === "") this.#method = value;
    else if (name === ":path" && this.#path === "") this.#path = value;
    else if (name === ":scheme" && this.#scheme === "") this.#scheme = value;
    else if (name === ":authority" && this.#authority === "") this.#authority = value;
    else this.#malformed = true;
  }
}
