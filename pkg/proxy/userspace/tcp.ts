import { type Server, type Socket, connect, createServer } from "node:net";
import type { ProxyEndpoint } from "../model/types.ts";
import type { Balancer } from "./balancer.ts";

const CONNECT_TIMEOUT_MS = 2000;
/** Endpoints tried for one connection before the client is cut off. */
const MAX_ATTEMPTS = 4;

/** Forwards TCP connections to endpoints; the endpoint sees this node as the client. */
export class TcpForwarder {
  readonly #balancer: Balancer;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(balancer: Balancer) {
    this.#balancer = balancer;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) =>
      this.#accept(client),
    );
  }

  /** Answers the port that was picked. */
  listen(address: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, address, () => {
        this.#server.off("error", reject);
        resolve((this.#server.address() as { port: number }).port);
      });
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #accept(client: Socket): void {
    this.#track(client);
    client.on("error", () => client.destroy());
    const source = client.remoteAddress ?? "";
    void this.#dial(this.#balancer.choose(source).slice(0, MAX_ATTEMPTS)).then((found) => {
      if (found === undefined) {
        client.resetAndDestroy();
        return;
      }
      const { endpoint, server } = found;
      if (client.destroyed) {
        server.destroy();
        return;
      }
      this.#balancer.remember(source, endpoint);
      client.on("close", () => server.destroy());
      server.on("close", () => client.destroySoon());
      // Each direction ends by itself: `pipe` passes on the end of one side and leaves the other open.
      client.pipe(server);
      server.pipe(client);
    });
  }

  async #dial(endpoints: readonly ProxyEndpoint[]): Promise<{ endpoint: ProxyEndpoint; server: Socket } | undefined> {
    for (const endpoint of endpoints) {
      const server = await this.#connect(endpoint);
      if (server !== undefined) return { endpoint, server };
    }
    return undefined;
  }

  #connect({ ip, port }: ProxyEndpoint): Promise<Socket | undefined> {
    return new Promise((resolve) => {
      const socket = connect({ host: ip, port, allowHalfOpen: true, noDelay: true, timeout: CONNECT_TIMEOUT_MS });
      this.#track(socket);
      socket.once("connect", () => {
        socket.setTimeout(0);
        resolve(socket);
      });
      socket.once("timeout", () => socket.destroy());
      socket.on("error", () => socket.destroy());
      socket.once("close", () => resolve(undefined));
    });
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
