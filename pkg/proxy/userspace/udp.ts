import { type Socket, createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { Clock } from "#pkg/util/index.ts";
import type { ProxyEndpoint } from "../model/types.ts";
import type { Balancer } from "./balancer.ts";

/** A client that says nothing for so long starts anew, as a connection tracking entry would. */
const IDLE_MS = 60_000;
/** Clients at once per service port; packets of more are dropped, so that forged sources cannot use up all ports. */
const MAX_SESSIONS = 4096;

interface Session {
  readonly endpoint: ProxyEndpoint;
  readonly socket: Socket;
  lastUsed: number;
}

/** Forwards UDP packets: one socket towards the endpoint per client, so that answers find back. */
export class UdpForwarder {
  readonly #balancer: Balancer;
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();
  #socket: Socket | undefined;
  #cancel: () => void = () => undefined;

  constructor(balancer: Balancer, clock: Clock) {
    this.#balancer = balancer;
    this.#clock = clock;
  }

  listen(address: string): Promise<number> {
    const socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4", ipv6Only: isIPv6(address) });
    this.#socket = socket;
    socket.on("message", (packet, from) => this.#forward(socket, packet, from.address, from.port));
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(0, address, () => {
        socket.off("error", reject);
        socket.on("error", () => undefined); // an answer that could not be delivered concerns its client only
        this.#expireLater();
        resolve(socket.address().port);
      });
    });
  }

  #forward(socket: Socket, packet: Buffer, address: string, port: number): void {
    const key = `${address}|${port}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      const endpoint = this.#balancer.choose(address)[0];
      if (endpoint === undefined || this.#sessions.size >= MAX_SESSIONS) return;
      this.#balancer.remember(address, endpoint);
      session = this.#open(socket, key, endpoint, address, port);
    }
    session.lastUsed = this.#clock.now();
    session.socket.send(packet, session.endpoint.port, session.endpoint.ip);
  }

  #open(socket: Socket, key: string, endpoint: ProxyEndpoint, address: string, port: number): Session {
    const upstream = createSocket(isIPv6(endpoint.ip) ? "udp6" : "udp4");
    const session = { endpoint, socket: upstream, lastUsed: this.#clock.now() };
    upstream.on("message", (reply, from) => {
      if (from.address === endpoint.ip && from.port === endpoint.port) socket.send(reply, port, address);
    });
    upstream.on("error", () => this.#end(key));
    this.#sessions.set(key, session);
    return session;
  }

  #end(key: string): void {
    this.#sessions.get(key)?.socket.close();
    this.#sessions.delete(key);
  }

  /** Ends the sessions of endpoints that are gone: their clients' next packet goes to another one. */
  endpointsChanged(): void {
    for (const [key, { endpoint }] of this.#sessions) if (!this.#balancer.has(endpoint)) this.#end(key);
  }

  #expireLater(): void {
    this.#cancel = this.#clock.schedule(IDLE_MS / 4, () => {
      for (const [key, { lastUsed }] of this.#sessions) if (lastUsed + IDLE_MS < this.#clock.now()) this.#end(key);
      this.#expireLater();
    });
  }

  close(): Promise<void> {
    this.#cancel();
    for (const key of this.#sessions.keys()) this.#end(key);
    return new Promise((resolve) => (this.#socket === undefined ? resolve() : this.#socket.close(() => resolve())));
  }
}
