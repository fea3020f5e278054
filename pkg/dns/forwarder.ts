import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { LRUCache } from "lru-cache";
import dnsPacket from "dns-packet";
import type { Clock, Random } from "#pkg/util/index.ts";
import { RCODE, answersQuestion, writeQuery } from "./message.ts";

export interface ForwarderOptions {
  /** Servers for everything that no stub domain takes, in order of preference. */
  readonly servers: readonly string[];
  /** Domain → servers. */
  readonly stubDomains: Readonly<Record<string, readonly string[]>>;
  readonly clock: Clock;
  readonly random: Random;
  readonly timeoutMs?: number;
  readonly cacheEntries?: number;
}

interface Cached {
  readonly packet: Buffer;
  readonly expires: number;
}

const MAX_TTL_SECONDS = 30;
const NEGATIVE_TTL_SECONDS = 5;
/** Queries under way at once; beyond it clients are told to try again, so that a dead upstream cannot fill memory. */
const MAX_IN_FLIGHT = 1000;

/** Asks other servers, with a bounded cache. Equal questions that are under way share one answer. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #cache: LRUCache<string, Cached>;
  readonly #underWay = new Map<string, Promise<Buffer>>();

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#cache = new LRUCache({ max: options.cacheEntries ?? 10_000 });
  }

  /** Questions answered from the cache, and questions sent to other servers. */
  readonly counts = { cached: 0, sent: 0 };

  /**
   * The raw reply to a question section (`name` in lower case), its id zero, the question as it was asked. Rejects when no
   * server answers in time.
   */
  async resolve(name: string, type: string, raw: Buffer, tcp = false): Promise<Buffer> {
    const key = `${name}|${type}|${tcp}`;
    const cached = this.#cache.get(key);
    if (cached !== undefined && cached.expires > this.#options.clock.now()) {
      this.counts.cached++;
      return withQuestion(cached.packet, raw);
    }
    let pending = this.#underWay.get(key);
    if (pending === undefined) {
      if (this.#underWay.size >= MAX_IN_FLIGHT) throw new Error("too many queries are being forwarded");
      // A copy, because the question lies in the buffer of a packet.
      pending = this.#ask(name, Buffer.from(raw), tcp).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, pending);
    }
    const packet = await pending;
    this.#remember(key, packet);
    return withQuestion(packet, raw);
  }

  #remember(key: string, packet: Buffer): void {
    const { answers = [], flags = 0 } = dnsPacket.decode(packet);
    const rcode = flags & 0xf;
    // Neither what was cut off nor a failure that may be over the next moment.
    if ((flags & 0x200) !== 0 || (rcode !== RCODE.NOERROR && rcode !== RCODE.NXDOMAIN)) return;
    const ttls = answers.map((answer) => ("ttl" in answer ? (answer.ttl ?? 0) : 0));
    const seconds = ttls.length === 0 ? NEGATIVE_TTL_SECONDS : Math.min(...ttls, MAX_TTL_SECONDS);
    if (seconds > 0) this.#cache.set(key, { packet, expires: this.#options.clock.now() + seconds * 1000 });
  }

  #serversFor(name: string): readonly string[] {
    const stub = Object.entries(this.#options.stubDomains)
      .filter(([domain]) => name === domain || name.endsWith(`.${domain}`))
      .sort(([a], [b]) => b.length - a.length)[0];
    return stub?.[1] ?? this.#options.servers;
  }

  async #ask(name: string, raw: Buffer, tcp: boolean): Promise<Buffer> {
    const query = writeQuery(this.#options.random.int(65_536), raw);
    let last: unknown = new Error("no upstream server is configured");
    let refused: Buffer | undefined;
    for (const server of this.#serversFor(name)) {
      try {
        this.counts.sent++;
        const reply = await (tcp ? this.#overTcp(server, query) : this.#overUdp(server, query, raw));
        if (!answersQuestion(reply, raw)) throw new Error(`${server} answered another question`);
        reply.writeUInt16BE(0, 0);
        const rcode = reply.readUInt16BE(2) & 0xf;
        if (rcode !== RCODE.SERVFAIL && rcode !== RCODE.REFUSED) return reply;
        refused ??= reply; // another server may know more
      } catch (error) {
        last = error;
      }
    }
    if (refused !== undefined) return refused;
    throw last;
  }

  #overUdp(server: string, query: Buffer, raw: Buffer): Promise<Buffer> {
    const { host, port } = splitServer(server);
    return new Promise((resolve, reject) => {
      // A socket of its own per query draws a fresh source port, which is what makes replies hard to forge. Connected, it hears
      // only that server, and hears at once when nothing listens there.
      const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
      let finished = false;
      const finish = (settle: () => void) => {
        if (finished) return; // a server that is not there may refuse more than once
        finished = true;
        cancel();
        socket.close();
        settle();
      };
      const cancel = this.#options.clock.schedule(this.#options.timeoutMs ?? 2000, () =>
        finish(() => reject(new Error(`${server} did not answer`))),
      );
      socket.on("error", (error) => finish(() => reject(error)));
      socket.on("connect", () => socket.send(query));
      socket.on("message", (reply) => {
        if (reply.length < 12 || reply.readUInt16BE(0) !== query.readUInt16BE(0)) return;
        if (!answersQuestion(reply, raw)) return; // forged, or for somebody else: the right one may still come
        finish(() => resolve(reply));
      });
      socket.connect(port, host);
    });
  }

  #overTcp(server: string, query: Buffer): Promise<Buffer> {
    const { host, port } = splitServer(server);
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port });
      const chunks: Buffer[] = [];
      const finish = (settle: () => void) => {
        cancel();
        socket.destroy();
        settle();
      };
      const cancel = this.#options.clock.schedule(this.#options.timeoutMs ?? 2000, () =>
        finish(() => reject(new Error(`${server} did not answer`))),
      );
      socket.on("error", (error) => finish(() => reject(error)));
      socket.on("close", () => finish(() => reject(new Error(`${server} closed the connection`))));
      socket.on("data", (chunk) => {
        chunks.push(chunk as Buffer); // no encoding is set, so never a string
        const all = Buffer.concat(chunks);
        if (all.length >= 2 && all.length >= 2 + all.readUInt16BE(0))
          finish(() => resolve(all.subarray(2, 2 + all.readUInt16BE(0))));
      });
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.length);
      socket.write(Buffer.concat([length, query]));
    });
  }
}

/** A copy of a reply that repeats the question with the letters of whoever asks. */
function withQuestion(packet: Buffer, raw: Buffer): Buffer {
  const copy = Buffer.from(packet);
  raw.copy(copy, 12);
  return copy;
}

/** "10.0.0.1", "10.0.0.1:5353" or "[fd00::1]:53". */
function splitServer(server: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)|(.+:.*:.+?))(?::(\d+))?$/.exec(server);
  const host = match?.[1] ?? match?.[2] ?? match?.[3] ?? server;
  return { host, port: match?.[4] === undefined ? 53 : Number(match[4]) };
}
