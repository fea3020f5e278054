/** Opens an upgraded connection to the runtime's streaming server. */
import { request as httpRequest } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import { networkErrorText } from "#pkg/util/index.ts";

/** A connection that has left HTTP; `head` came with the answer and belongs to what follows. */
export interface Upgraded {
  readonly socket: Socket;
  readonly head: Buffer;
  readonly headers: IncomingHttpHeaders;
}
/** The runtime's server said no. */
export class UpgradeRefused extends Error {
  readonly statusCode: number;
  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

const MAX_REFUSAL_BYTES = 64 * 1024;

/** What clients are told of a failed dial, in the words of upstream's SPDY client. */
export function dialErrorText(url: string, error: unknown): string {
  if (error instanceof UpgradeRefused) return `unable to upgrade connection: ${error.message}`;
  const text = error instanceof Error ? networkErrorText(error) : String(error);
  return `error sending request: Post ${JSON.stringify(url)}: ${text}`;
}

export function dialUpgrade(
  url: string,
  headers: Readonly<Record<string, string | string[]>>,
  signal: AbortSignal,
): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const target = new URL(url);
    const send = target.protocol === "https:" ? httpsRequest : httpRequest;
    // The runtime's server has a certificate of its own making; the URL came over its trusted socket.
    const request = send(target, { method: "POST", headers, agent: false, rejectUnauthorized: false, signal });
    request.on("upgrade", (response, socket, head) => {
      socket.setNoDelay(true);
      resolve({ socket, head, headers: response.headers });
    });
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        if (text.length < MAX_REFUSAL_BYTES) text += chunk;
      });
      response.on("end", () => reject(new UpgradeRefused(response.statusCode ?? 500, text.trim())));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}

export const SPDY_HEADERS = { connection: "Upgrade", upgrade: "SPDY/3.1" } as const;
