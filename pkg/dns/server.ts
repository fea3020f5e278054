import { type Socket as UdpSocket, createSocket } from "node:dgram";
import { type Server, type Socket, createServer, isIPv6 } from "node:net";
import type { Logger } from "#pkg/util/index.ts";
import { RCODE, writeError } from "./message.ts";
import type { Resolver } from "./resolver.ts";

const MAX_TCP_CONNECTIONS = 512;
const TCP_IDLE_MS = 10_000;
const MAX_UNREAD_BYTES = 1 << 20;

/** Listens on UDP and TCP (RFC 7766) at one address. */
export class DnsServer {
  readonly #resolver: Resolver;
  readonly #log: Logger;
  readonly #tcp: Server;
  #udp: UdpSocket | undefined;
  #closed = false;
  readonly #connections = new Set<Socket>();

  constructor(resolver: Resolver, log: Logger) {
    this.#resolver = resolver;
    this.#log = log;
    this.#tcp = createServer((socket) => this.#serve(socket));
    this.#tcp.maxConnections = MAX_TCP_CONNECTIONS;
  }

  /** Resolves with the port once both sockets listen; port 0 picks one that is free for both. */
  async listen(address: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once("error", reject);
      this.#tcp.listen(port, address, () => {
        this.#tcp.off("error", reject);
        resolve();
      });
    });
    const bound = (this.#tcp.address() as { port: number }).port;
    const udp = createSocket({ type: isIPv6(address) ? "udp6" : "udp4", recvBufferSize: 1 << 20 });
    this.#udp = udp;
    udp.on("message", (packet, { address: from, port: fromPort }) => {
      const reply = this.#answer(packet, false);
      if (reply === undefined) return;
      if (reply instanceof Promise)
        void reply.then((bytes) => bytes !== undefined && this.#send(udp, bytes, fromPort, from));
      else this.#send(udp, reply, fromPort, from);
    });
    await new Promise<void>((resolve, reject) => {
      udp.once("error", reject);
      udp.bind(bound, address, () => {
        udp.off("error", reject);
        udp.on("error", (err) => this.#log.warn({ err }, "UDP socket of the DNS server failed"));
        resolve();
      });
    });
    return bound;
  }

  /** No packet, however odd, may end the program. */
  #answer(packet: Buffer, tcp: boolean): ReturnType<Resolver["answer"]> {
    const failed = (err: unknown) => {
      this.#log.warn({ err }, "Could not answer a DNS query");
      return packet.length < 2 ? undefined : writeError(packet.readUInt16BE(0), RCODE.SERVFAIL);
    };
    try {
      const reply = this.#resolver.answer(packet, tcp);
      return reply instanceof Promise ? reply.catch(failed) : reply;
    } catch (err) {
      return failed(err);
    }
  }

  #send(udp: UdpSocket, bytes: Buffer, port: number, address: string): void {
    if (this.#closed) return; // a forwarded reply may come late
    this.#resolver.sent(bytes);
    // A client that has gone is no failure of ours; the callback keeps the error off the socket.
    udp.send(bytes, port, address, (err) => {
      if (err !== null) this.#log.debug({ err }, "Could not send a DNS reply");
    });
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.setTimeout(TCP_IDLE_MS, () => socket.destroy());
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#connections.delete(socket));
    let buffered: Buffer = Buffer.alloc(0);
    socket.on("data", (data) => {
      const chunk = data as Buffer; // no encoding is set, so never a string
      buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
      while (buffered.length >= 2 && buffered.length >= 2 + buffered.readUInt16BE(0)) {
        const end = 2 + buffered.readUInt16BE(0);
        const packet = buffered.subarray(2, end);
        buffered = buffered.subarray(end);
        void Promise.resolve(this.#answer(packet, true)).then((reply) => {
          if (reply === undefined || socket.destroyed) return;
          this.#resolver.sent(reply);
          const length = Buffer.alloc(2);
          length.writeUInt16BE(reply.length);
          // Somebody who asks and asks but never reads must not fill our memory.
          if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
          else socket.write(Buffer.concat([length, reply]));
        });
      }
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const socket of this.#connections) socket.destroy();
    await Promise.all([
      new Promise<void>((resolve) => (this.#udp === undefined ? resolve() : this.#udp.close(() => resolve()))),
      new Promise<void>((resolve) => (this.#tcp.listening ? this.#tcp.close(() => resolve()) : resolve())),
    ]);
  }
}
