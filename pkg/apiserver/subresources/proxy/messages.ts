/**
 * An answer as WebSocket messages, for clients that ask for a log by an upgrade: the backend is asked an ordinary
 * question, and what it answers travels in messages, as bytes or as base64.
 */
import type { IncomingMessage } from "node:http";
import { type WebSocket, WebSocketServer } from "ws";
import { badRequest } from "#pkg/apimachinery/index.ts";
import type { ForwardCall } from "./forward.ts";

/** Best first; a client that names none gets bytes. */
const PROTOCOLS = ["binary.k8s.io", "base64.binary.k8s.io"];

export function asksForMessages({ request }: ForwardCall): boolean {
  return request.upgrade?.protocol.toLowerCase() === "websocket";
}

function accept(call: ForwardCall): Promise<WebSocket> {
  const { upgrade, method, headers } = call.request;
  if (upgrade === undefined) throw badRequest("the request is no upgrade");
  const server = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  });
  const opening = { method, headers } as unknown as IncomingMessage;
  const socket = upgrade.accept();
  return new Promise((resolve, reject) => {
    server.once("wsClientError", (error) => {
      socket.destroy();
      reject(error);
    });
    server.handleUpgrade(opening, socket, upgrade.head, resolve);
  });
}

/** Sends the body message by message at the client's pace, then closes. */
export async function relayAsMessages(call: ForwardCall, body: AsyncIterable<Buffer>): Promise<void> {
  const socket = await accept(call);
  const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", (err) => call.services.log.debug({ err }, "A client of a log broke off"));
  const encode = (chunk: Buffer) => (socket.protocol.startsWith("base64.") ? chunk.toString("base64") : chunk);
  try {
    for await (const chunk of body) {
      if (socket.readyState !== socket.OPEN) break;
      await Promise.race([new Promise<void>((resolve) => socket.send(encode(chunk), () => resolve())), gone]);
    }
  } catch (err) {
    call.services.log.debug({ err }, "A log over WebSocket was cut off");
  }
  socket.close(1000);
  await gone;
}
