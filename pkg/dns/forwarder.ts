import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { LRUCache } from "lru-cache";
import dnsPacket from "dns-packet";
import type { Clock, Random } from "#pkg/util/index.ts";

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

  /** The raw reply to a question, its id zero. Rejects when no server answers in time. */
  async resolve(name: string, type: string, tcp = false): Promise<Buffer> {
    const key = `${name.toLowerCase()}|${type}|${tcp}`;
    const cached = this.#cache.get(key);
    if (cached !== undefined && cached.expires > this.#options.clock.now()) return Buffer.from(cached.packet);
    let pending = this.#underWay.get(key);
    if (pending === undefined) {
      if (this.#underWay.size >= MAX_IN_FLIGHT) throw new Error("too many queries are being forwarded");
      pending = this.#ask(name, type, tcp).finally(() => this.#underWay.delete(key));
      this.#underWay.set(key, pending);
    }
    const packet = await pending;
    this.#remember(key, packet);
    return Buffer.from(packet);
  }

  #remember(key: string, packet: Buffer): void {
    const { answers = [], flags = 0 } = dnsPacket.decode(packet);
    if ((flags & 0x200) !== 0) return; // truncated
    const ttls = answers.map((answer) => ("ttl" in answer ? (answer.ttl ?? 0) : 0));
    const seconds = ttls.length === 0 ? NEGATIVE_TTL_SECONDS : Math.min(...ttls, MAX_TTL_SECONDS);
    if (seconds > 0) this.#cache.set(key, { packet, expires: this.#options.clock.now() + seconds * 1000 });
  }

  #serversFor(name: string): readonly string[] {
    const asked = name.toLowerCase();
    const stub = Object.entries(this.#options.stubDomains)
      .filter(([domain]) => asked === domain || asked.endsWith(`.${domain}`))
      .sort(([a], [b]) => b.length - a.length)[0];
    return stub?.[1] ?? this.#options.servers;
  }

  async #ask(name: string, type: string, tcp: boolean): Promise<Buffer> {
    const query = dnsPacket.encode({
      type: "query",
      id: this.#options.random.int(65_536),
      flags: dnsPacket.RECURSION_DESIRED,
      questions: [{ name, type: type as dnsPacket.RecordType }],
    });
    let last: unknown = new Error("no upstream server is configured");
    for (const server of this.#serversFor(name)) {
      try {
        const reply = await (tcp ? this.#overTcp(server, query) : this.#overUdp(server, query));
        reply.writeUInt16BE(0, 0);
        return reply;
      } catch (error) {
        last = error;
      }
    }
    throw last;
  }

  #overUdp(server: string, query: Buffer): Promise<Buffer> {
    const { host, port } = splitServer(server);
    return new Promise((resolve, reject) => {
      // A socket of its own per query draws a fresh source port, which is what makes replies hard to forge.
      const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
      const finish = (settle: () => void) => {
        cancel();
        socket.close();
        settle();
      };
      const cancel = this.#options.clock.schedule(this.#options.timeoutMs ?? 2000, () =>
        finish(() => reject(new Error(`${server} did not answer`))),
      );
      socket.on("error", (error) => finish(() => reject(error)));
      socket.on("message", (reply, from) => {
        if (from.address !== host || reply.length < 12 || reply.readUInt16BE(0) !== query.readUInt16BE(0)) return;
        finish(() => resolve(reply));
      });
      socket.send(query, port, host);
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

/** "10.0.0.1", "10.0.0.1:5353" or "[fd00::1]:53". */
function splitServer(server: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)|(.+:.*:.+?))(?::(\d+))?$/.exec(server);
  const host = match?.[1] ?? match?.[2] ?? match?.[3] ?? server;
  return { host, port: match?.[4] === undefined ? 53 : Number(match[4]) };
}
