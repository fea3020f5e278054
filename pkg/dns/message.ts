import dnsPacket from "dns-packet";
import type { Answer } from "./records.ts";

/** dns-packet's flag bits (RFC 1035 §4.1.1). */
const AUTHORITATIVE = 1 << 10;
const TRUNCATED = 1 << 9;
const RECURSION_DESIRED = 1 << 8;
const RECURSION_AVAILABLE = 1 << 7;

export const RCODE = { NOERROR: 0, FORMERR: 1, SERVFAIL: 2, NXDOMAIN: 3, NOTIMP: 4, REFUSED: 5 } as const;

/** Largest UDP answer we send even to clients that offer more: fits one Ethernet frame (DNS flag day 2020). */
const MAX_UDP_BYTES = 1232;

export interface Question {
  readonly id: number;
  readonly name: string;
  readonly type: string;
  readonly recursionDesired: boolean;
  /** UDP payload size the client can take; 512 without EDNS0. */
  readonly maxBytes: number;
  readonly edns: boolean;
}

export interface Reply {
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly answers: readonly Answer[];
  readonly authorities?: readonly object[];
  readonly additionals?: readonly Answer[];
}

/**
 * Reads a query. Answers an rcode for what is a DNS query but not one we serve, and undefined for what deserves no answer
 * at all: too short, a response, or malformed in its header (answering those would make us a reflector).
 */
export function readQuery(packet: Buffer): Question | { readonly id: number; readonly rcode: number } | undefined {
  if (packet.length < 12) return undefined;
  const id = packet.readUInt16BE(0);
  const flags = packet.readUInt16BE(2);
  if ((flags & 0x8000) !== 0) return undefined;
  if (((flags >> 11) & 0xf) !== 0) return { id, rcode: RCODE.NOTIMP };
  if (packet.readUInt16BE(4) !== 1) return { id, rcode: RCODE.FORMERR };
  let decoded: dnsPacket.DecodedPacket;
  try {
    decoded = dnsPacket.decode(packet);
  } catch {
    return { id, rcode: RCODE.FORMERR }; // hostile or broken: compression loops, lengths beyond the end
  }
  const question = decoded.questions?.[0];
  if (question === undefined) return { id, rcode: RCODE.FORMERR };
  const opt = decoded.additionals?.find((record) => record.type === "OPT") as { udpPayloadSize?: number } | undefined;
  return {
    id,
    name: question.name,
    type: question.type,
    recursionDesired: (flags & RECURSION_DESIRED) !== 0,
    maxBytes: Math.min(Math.max(opt?.udpPayloadSize ?? 512, 512), MAX_UDP_BYTES),
    edns: opt !== undefined,
  };
}

/** The wire form of a reply; cut down to header and question with TC set when it exceeds `limit`. */
export function writeReply(question: Question, reply: Reply, limit: number): Buffer {
  const flags =
    (reply.authoritative ? AUTHORITATIVE : 0) |
    (question.recursionDesired ? RECURSION_DESIRED : 0) |
    RECURSION_AVAILABLE |
    reply.rcode;
  const questions = [{ name: question.name, type: question.type as dnsPacket.RecordType, class: "IN" as const }];
  const opt = question.edns ? [{ type: "OPT", name: ".", udpPayloadSize: MAX_UDP_BYTES, flags: 0, options: [] }] : [];
  const encode = (
    extra: number,
    answers: readonly object[],
    authorities: readonly object[],
    additionals: readonly object[],
  ) =>
    dnsPacket.encode({
      type: "response",
      id: question.id,
      flags: flags | extra,
      questions,
      answers: answers as dnsPacket.Answer[],
      authorities: authorities as dnsPacket.Answer[],
      additionals: [...additionals, ...opt] as dnsPacket.Answer[],
    });
  const whole = encode(0, reply.answers, reply.authorities ?? [], reply.additionals ?? []);
  if (whole.length <= limit) return whole;
  const lean = encode(0, reply.answers, reply.authorities ?? [], []);
  return lean.length <= limit ? lean : encode(TRUNCATED, [], [], []);
}

/** A reply that only says what went wrong, for queries that could not be read. */
export function writeError(id: number, rcode: number): Buffer {
  return dnsPacket.encode({ type: "response", id, flags: rcode, questions: [] });
}
