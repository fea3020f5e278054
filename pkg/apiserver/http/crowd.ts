import type { Socket } from "node:net";
import type { Server as HttpsServer } from "node:https";

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

/**
 * Bounds the connections whose TLS handshake has begun and not ended. When there are too many, the oldest has to go:
 * clients that mean it are done in a few milliseconds, so those who open connections and fall silent get in each
 * other's way and nobody else's.
 */
export function boundHandshakes(server: HttpsServer, most: number): void {
  const open = new Map<string, Socket>();
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket);
    open.set(name, socket);
    socket.once("close", () => {
      if (open.get(name) === socket) open.delete(name);
    });
    if (open.size <= most) return;
    const [oldest] = open;
    const [itsName, silent] = oldest!;
    open.delete(itsName);
    silent.destroy();
  });
  server.on("secureConnection", (socket: Socket) => open.delete(nameOf(socket)));
}
