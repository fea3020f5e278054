import type { Logger } from "#pkg/util/index.ts";
import dnsPacket from "dns-packet";
import type { Forwarder } from "./forwarder.ts";
import {
  type Question,
  RCODE,
  type Reply,
  type Soa,
  rawQuestion,
  readQuery,
  writeError,
  writeReply,
  writeTruncated,
} from "./message.ts";
import type { DnsMetrics } from "./metrics.ts";
import type { Answer } from "./records.ts";
import type { ClusterZone } from "./zone.ts";

export interface ResolverDeps {
  readonly zone: ClusterZone;
  readonly forwarder: Forwarder;
  readonly log: Logger;
  readonly metrics?: DnsMetrics;
}

/** The start of the zone. In negative answers it lets clients cache them for a moment only (RFC 2308). */
function soa(zone: ClusterZone): Soa {
  return {
    type: "SOA",
    name: zone.domain,
    ttl: 5,
    data: {
      mname: `ns.dns.${zone.domain}`,
      rname: `hostmaster.${zone.domain}`,
      serial: 1,
      refresh: 7200,
      retry: 1800,
      expire: 86_400,
      minimum: 5,
    },
  };
}

/** Turns query packets into reply packets: from the zone where it is ours, from elsewhere otherwise. */
export class Resolver {
  readonly #deps: ResolverDeps;

  constructor(deps: ResolverDeps) {
    this.#deps = deps;
  }

  /** Counts a reply on its way out. */
  sent(reply: Buffer): void {
    this.#deps.metrics?.response(reply);
  }

  /**
   * Answers one packet; undefined means "say nothing". Synchronous for names of the cluster, so that the common case
   * costs no promise.
   */
  answer(packet: Buffer, tcp: boolean): Buffer | undefined | Promise<Buffer | undefined> {
    const question = readQuery(packet);
    if (question === undefined) return undefined;
    if (!("name" in question)) return writeError(question.id, question.rcode);
    this.#deps.metrics?.request(tcp ? "tcp" : "udp", question.type);
    const limit = tcp ? 65_535 : question.maxBytes;
    const found = this.#deps.zone.lookup(question.name, question.type);
    if (found.kind === "foreign") return this.#forward(question, tcp, limit);
    if (found.kind === "alias") return this.#follow(question, found.answer, found.target, limit);
    const { zone } = this.#deps;
    const atStart = question.type === "SOA" && question.name === zone.domain;
    const answers = atStart ? [soa(zone)] : found.answers;
    const reply: Reply = {
      rcode: found.exists ? RCODE.NOERROR : RCODE.NXDOMAIN,
      authoritative: true,
      answers,
      authorities: answers.length === 0 ? [soa(zone)] : [],
      ...(found.additionals === undefined ? {} : { additionals: found.additionals }),
    };
    return writeReply(question, reply, limit);
  }

  async #forward(question: Question, tcp: boolean, limit: number): Promise<Buffer> {
    try {
      const reply = await this.#deps.forwarder.resolve(question.name, question.type, question.raw, tcp);
      if (reply.length > limit) return writeTruncated(question);
      reply.writeUInt16BE(question.id, 0);
      return reply;
    } catch (err) {
      this.#deps.log.debug({ name: question.name, err }, "Could not forward a query");
      return writeReply(question, { rcode: RCODE.SERVFAIL, authoritative: false, answers: [] }, limit);
    }
  }

  /** An ExternalName: the alias, and behind it what its target resolves to as far as that can be found out. */
  async #follow(question: Question, alias: Answer, target: string, limit: number): Promise<Buffer> {
    const answers: Answer[] = [alias];
    if (question.type === "A" || question.type === "AAAA") {
      const inner = this.#deps.zone.lookup(target, question.type);
      if (inner.kind === "authoritative") answers.push(...inner.answers);
      else if (inner.kind === "foreign") {
        try {
          answers.push(...(await this.#addresses(target.toLowerCase(), question.type)));
        } catch (err) {
          this.#deps.log.debug({ target, err }, "Could not resolve the target of an ExternalName");
        }
      }
    }
    return writeReply(question, { rcode: RCODE.NOERROR, authoritative: true, answers }, limit);
  }

  /** What an outside name resolves to: its addresses and the aliases on the way. */
  async #addresses(target: string, type: "A" | "AAAA"): Promise<Answer[]> {
    const packet = await this.#deps.forwarder.resolve(target, type, rawQuestion(target, type));
    const { answers = [] } = dnsPacket.decode(packet);
    return answers.flatMap((answer): Answer[] =>
      answer.type === "A" || answer.type === "AAAA" || answer.type === "CNAME"
        ? [{ type: answer.type, name: answer.name, ttl: answer.ttl ?? 0, data: answer.data }]
        : [],
    );
  }
}
