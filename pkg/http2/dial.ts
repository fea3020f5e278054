import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls, type SecureContextOptions } from "node:tls";
import type { Clock } from "#pkg/util/index.ts";
import { ClientConnection } from "./client-connection.ts";

export interface DialOptions {
  /** http (without negotiation) or https. */
  readonly endpoint: URL;
  /** For https: whom we trust, and who we are. */
  readonly tls: Pick<SecureContextOptions, "ca" | "cert" | "key">;
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** The connection takes no more requests. */
  readonly onRetired: (connection: ClientConnection) => void;
}

const READ_BYTES = 64 * 1024;

/** Connects; resolves when the server has shown that it speaks HTTP/2 and takes us for who we are. */
export function dial({ endpoint, tls, timeoutMs, clock, onRetired }: DialOptions): Promise<ClientConnection> {
  return new Promise((resolve, reject) => {
    const host = endpoint.hostname.replace(/^\[|\]$/g, "");
    const secure = endpoint.protocol === "https:";
    const port = Number(endpoint.port || (secure ? 443 : 80));
    const socket: Socket = secure
      ? connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ALPNProtocols: ["h2"], ...tls })
      : connectTcp({ host, port, onread: intoOneBuffer((chunk) => connection.receive(chunk)) });
    if (secure) socket.on("data", (chunk: Buffer) => connection.receive(chunk));
    const connection = new ClientConnection({
      socket,
      clock,
      common: [
        [":scheme", secure ? "https" : "http"],
        [":authority", endpoint.host],
      ],
      // A client certificate is judged after the handshake: only the server's settings prove that it was accepted.
      onReady: () => {
        cancel();
        resolve(connection);
      },
      onRetired: () => onRetired(connection),
      onClose: (error) => {
        cancel();
        reject(error);
      },
    });
    const cancel = clock.schedule(timeoutMs, () => connection.destroy(new Error("no connection in time")));
  });
}

/**
 * Reads without TLS would each get 64 KiB of their own, of which an answer takes some hundred octets: V8, which is told
 * of all, collects all the time. Here they share one buffer, and what has arrived is copied.
 */
function intoOneBuffer(take: (chunk: Buffer) => void): OnReadOpts {
  return {
    buffer: Buffer.allocUnsafeSlow(READ_BYTES),
    callback(length, buffer) {
      take(Buffer.from(buffer.subarray(0, length)));
      return true;
    },
  };
}
