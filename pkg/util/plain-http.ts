import type { Socket } from "node:net";
import type { Server } from "node:tls";

const REFUSAL = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/** Has a TLS server tell those who speak plain HTTP to it so, in the words of Go's servers, where it would hang up on them. */
export function refusePlainHttp(server: Server): void {
  const greeting = new Map<string, Socket>();
  server.on("connection", (socket: Socket) => {
    const name = nameOf(socket);
    greeting.set(name, socket);
    socket.once("close", () => {
      if (greeting.get(name) === socket) greeting.delete(name);
    });
  });
  server.on("secureConnection", (socket) => greeting.delete(nameOf(socket)));
  server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
    if (error.code !== "ERR_SSL_HTTP_REQUEST") return;
    // The TLS socket can say nothing any more; the one below it can.
    const plain = greeting.get(nameOf(socket));
    plain?.write(REFUSAL);
    plain?.destroySoon();
  });
}

const nameOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;
