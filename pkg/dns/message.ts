import type { Answer } from "./records.ts";

/** Header flag bits (RFC 1035 §4.1.1). */
const RESPONSE = 1 << 15;
const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;
const RECURSION_AVAILABLE = 1 << 7;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;
const TYPE = { A: 1, CNAME: 5, SOA: 6, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, OPT: 41 } as const;
const TYPE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(TYPE).map(([name, code]) => [code, name]));
const CLASS_IN = 1;
const CLASS_ANY = 255;
const HEADER_BYTES = 12;

/** Largest UDP answer we send even to clients that offer more: fits one Ethernet frame (DNS flag day 2020). */
const MAX_UDP_BYTES = 1232;

export interface Question {
  readonly id: number;
  /** In lower case; a dot within a label is written `\.`, so that it never looks like a border. */
  readonly name: string;
  /** "A", "AAAA" … or "TYPE65" for those without a name here. */
  readonly type: string;
  readonly recursionDesired: boolean;
  /** UDP payload size the client can take; 512 without EDNS0. */
  readonly maxBytes: number;
  readonly edns: boolean;
  /** The question section as it came: replies repeat it to the letter. */
  readonly raw: Buffer;
}

export interface Soa {
  readonly type: "SOA";
  readonly name: string;
  readonly ttl: number;
  readonly data: {
    readonly mname: string;
    readonly rname: string;
    readonly serial: number;
    readonly refresh: number;
    readonly retry: number;
    readonly expire: number;
    readonly minimum: number;
  };
}

export interface Reply {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly (Answer | Soa)[];
  readonly authorities?: readonly Soa[];
  readonly additionals?: readonly Answer[];
}

/** Reads a name without compression, as questions have it. Undefined when it is malformed. */
function readName(packet: Buffer, start: number): { name: string; end: number } | undefined {
  let at = start;
  let name = "";
  for (;;) {
    const length = packet[at];
    if (length === undefined || length > 63 || at - start > 254) return undefined;
    at++;
    if (length === 0) return { name: name === "" ? "." : name, end: at };
    if (at + length > packet.length) return undefined;
    const label = packet.toString("latin1", at, at + length);
    name += `${name === "" ? "" : "."}${label.includes(".") ? label.replaceAll(".", "\\.") : label}`;
    at += length;
  }
}

/** The offset behind a resource record; undefined when it is malformed. Pointers end a name, so loops cannot happen. */
function skipRecord(packet: Buffer, start: number): number | undefined {
  let at = start;
  for (;;) {
    const length = packet[at];
    if (length === undefined) return undefined;
    if (length === 0) {
      at++;
      break;
    }
    if (length >= 0xc0) {
      at += 2;
      break;
    }
    if (length > 63) return undefined;
    at += 1 + length;
  }
  if (at + 10 > packet.length) return undefined;
  const end = at + 10 + packet.readUInt16BE(at + 8);
  return end > packet.length ? undefined : end;
}

/** UDP payload size of the OPT record; 0 when there is none, undefined when the packet is malformed. */
function readPayloadSize(packet: Buffer, questionEnd: number): number | undefined {
  const before = packet.readUInt16BE(6) + packet.readUInt16BE(8);
  const total = before + packet.readUInt16BE(10);
  let at = questionEnd;
  for (let index = 0; index < total; index++) {
    const end = skipRecord(packet, at);
    if (end === undefined) return undefined;
    if (index >= before && packet[at] === 0 && packet.readUInt16BE(at + 1) === TYPE.OPT)
      return packet.readUInt16BE(at + 3);
    at = end;
  }
  return 0;
}

/**
 * Reads a query. Answers an rcode for what is a DNS query but not one we serve, and undefined for what deserves no answer
 * at all: too short, or a response (answering those would make us a reflector).
 */
export function readQuery(packet: Buffer): Question | { readonly id: number; readonly rcode: number } | undefined {
  if (packet.length < HEADER_BYTES) return undefined;
  const id = packet.readUInt16BE(0);
  const flags = packet.readUInt16BE(2);
  if ((flags & RESPONSE) !== 0) return undefined;
  if (((flags >> 11) & 0xf) !== 0) return { id, rcode: RCODE.NOTIMP };
  if (packet.readUInt16BE(4) !== 1) return { id, rcode: RCODE.FORMERR };
  const found = readName(packet, HEADER_BYTES);
  if (found === undefined || found.end + 4 > packet.length) return { id, rcode: RCODE.FORMERR };
  const type = packet.readUInt16BE(found.end);
  const questionClass = packet.readUInt16BE(found.end + 2);
  const payload = readPayloadSize(packet, found.end + 4);
  if (payload === undefined) return { id, rcode: RCODE.FORMERR };
  if (questionClass !== CLASS_IN && questionClass !== CLASS_ANY) return { id, rcode: RCODE.REFUSED };
  return {
    id,
    name: found.name.toLowerCase(),
    type: TYPE_NAMES.get(type) ?? `TYPE${type}`,
    recursionDesired: (flags & RECURSION_DESIRED) !== 0,
    maxBytes: Math.min(Math.max(payload, 512), MAX_UDP_BYTES),
    edns: payload !== 0,
    raw: packet.subarray(HEADER_BYTES, found.end + 4),
  };
}

/** Writes messages with name compression (RFC 1035 §4.1.4) into one buffer. */
class Writer {
  #buffer = Buffer.allocUnsafe(1024);
  #at = 0;
  /** Name, in lower case → where it was written. */
  readonly #names = new Map<string, number>();

  get length(): number {
    return this.#at;
  }
  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
  u8(value: number): void {
    this.#room(1);
    this.#buffer[this.#at++] = value;
  }
  u16(value: number): void {
    this.#room(2);
    this.#at = this.#buffer.writeUInt16BE(value, this.#at);
  }
  u32(value: number): void {
    this.#room(4);
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }
  bytes(bytes: Uint8Array): void {
    this.#room(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }
  patch16(at: number, value: number): void {
    this.#buffer.writeUInt16BE(value, at);
  }
  /** Notes that `name` and its parents stand at `at`, as they do in the question. */
  known(name: string, at: number): void {
    let offset = at;
    for (let rest = name; rest !== "" && rest !== "." && !rest.includes("\\");) {
      this.#names.set(rest, offset);
      const dot = rest.indexOf(".");
      if (dot < 0) return;
      offset += dot + 1;
      rest = rest.slice(dot + 1);
    }
  }
  name(name: string): void {
    let rest = name.replace(/\.$/, "").toLowerCase();
    while (rest !== "") {
      const before = this.#names.get(rest);
      if (before !== undefined) {
        this.u16(0xc000 | before);
        return;
      }
      if (this.#at < 0x3fff) this.#names.set(rest, this.#at);
      const dot = rest.indexOf(".");
      const label = Buffer.from(dot < 0 ? rest : rest.slice(0, dot), "latin1").subarray(0, 63);
      this.u8(label.length);
      this.bytes(label);
      rest = dot < 0 ? "" : rest.slice(dot + 1);
    }
    this.u8(0);
  }
  done(): Buffer {
    return this.#buffer.subarray(0, this.#at);
  }
}

function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

function ipv6Bytes(text: string): Uint8Array {
  const [head = "", tail] = text.split("::");
  const groups = (part: string) =>
    part === ""
      ? []
      : part.split(":").flatMap((group) => {
          if (!group.includes(".")) return [Number.parseInt(group, 16)];
          const [a = 0, b = 0, c = 0, d = 0] = ipv4Bytes(group);
          return [(a << 8) | b, (c << 8) | d];
        });
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const all = [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => 0), ...right];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

function writeData(writer: Writer, record: Answer | Soa): void {
  switch (record.type) {
    case "A":
      return writer.bytes(ipv4Bytes(record.data));
    case "AAAA":
      return writer.bytes(ipv6Bytes(record.data));
    case "CNAME":
    case "PTR":
      return writer.name(record.data);
    case "TXT": {
      const text = Buffer.from(record.data).subarray(0, 255);
      writer.u8(text.length);
      return writer.bytes(text);
    }
    case "SRV":
      writer.u16(record.data.priority);
      writer.u16(record.data.weight);
      writer.u16(record.data.port);
      return writer.name(record.data.target);
    case "SOA":
      writer.name(record.data.mname);
      writer.name(record.data.rname);
      for (const value of [record.data.serial, record.data.refresh, record.data.retry, record.data.expire])
        writer.u32(value);
      return writer.u32(record.data.minimum);
  }
}

function writeRecord(writer: Writer, record: Answer | Soa): void {
  writer.name(record.name);
  writer.u16(TYPE[record.type]);
  writer.u16(CLASS_IN);
  writer.u32(record.ttl);
  const length = writer.length;
  writer.u16(0);
  writeData(writer, record);
  writer.patch16(length, writer.length - length - 2);
}

function writeHeader(
  writer: Writer,
  question: Question,
  flags: number,
  counts: readonly [number, number, number],
): void {
  writer.u16(question.id);
  writer.u16(RESPONSE | RECURSION_AVAILABLE | (question.recursionDesired ? RECURSION_DESIRED : 0) | flags);
  writer.u16(1);
  for (const count of counts) writer.u16(count);
  writer.bytes(question.raw);
  writer.known(question.name, HEADER_BYTES);
}

function writeOpt(writer: Writer): void {
  writer.u8(0);
  writer.u16(TYPE.OPT);
  writer.u16(MAX_UDP_BYTES);
  writer.u32(0);
  writer.u16(0);
}

function encode(question: Question, reply: Reply, flags: number, additionals: readonly Answer[]): Buffer {
  const writer = new Writer();
  const { answers, authorities = [] } = reply;
  writeHeader(writer, question, flags, [
    answers.length,
    authorities.length,
    additionals.length + (question.edns ? 1 : 0),
  ]);
  for (const record of answers) writeRecord(writer, record);
  for (const record of authorities) writeRecord(writer, record);
  for (const record of additionals) writeRecord(writer, record);
  if (question.edns) writeOpt(writer);
  return writer.done();
}

/** The wire form of a reply; cut down to header and question with TC set when it exceeds `limit`. */
export function writeReply(question: Question, reply: Reply, limit: number): Buffer {
  const flags = (reply.authoritative ? AUTHORITATIVE : 0) | reply.rcode;
  const whole = encode(question, reply, flags, reply.additionals ?? []);
  if (whole.length <= limit) return whole;
  // Additional records are a convenience; without answers the client must come back over TCP.
  const lean = encode(question, reply, flags, []);
  return lean.length <= limit ? lean : writeTruncated(question, flags);
}

/** A reply without records that says "ask again over TCP". */
export function writeTruncated(question: Question, flags = 0): Buffer {
  const writer = new Writer();
  writeHeader(writer, question, flags | TRUNCATED, [0, 0, question.edns ? 1 : 0]);
  if (question.edns) writeOpt(writer);
  return writer.done();
}

/** A reply that only says what went wrong, for queries that could not be read. */
export function writeError(id: number, rcode: number): Buffer {
  const reply = Buffer.alloc(HEADER_BYTES);
  reply.writeUInt16BE(id, 0);
  reply.writeUInt16BE(RESPONSE | rcode, 2);
  return reply;
}

/** A question for another server, with EDNS0. `raw` is a question section. */
export function writeQuery(id: number, raw: Buffer): Buffer {
  const writer = new Writer();
  writer.u16(id);
  writer.u16(RECURSION_DESIRED);
  for (const count of [1, 0, 0, 1]) writer.u16(count);
  writer.bytes(raw);
  writeOpt(writer);
  return writer.done();
}

/** A question section made from a name that we hold ourselves (the target of an ExternalName). */
export function rawQuestion(name: string, type: "A" | "AAAA"): Buffer {
  const writer = new Writer();
  writer.name(name);
  writer.u16(TYPE[type]);
  writer.u16(CLASS_IN);
  return writer.done();
}

/** Does `reply` answer the question `raw`, whatever the case of its letters? Guards against forged replies. */
export function answersQuestion(reply: Buffer, raw: Buffer): boolean {
  if (reply.length < HEADER_BYTES + raw.length || reply.readUInt16BE(4) !== 1) return false;
  const theirs = reply.toString("latin1", HEADER_BYTES, HEADER_BYTES + raw.length);
  return theirs.toLowerCase() === raw.toString("latin1").toLowerCase();
}
