import * as http from "node:http";
import * as https from "node:https";
import type { ExtenderTls } from "./config.ts";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_IDLE_CONNECTIONS = 16;

/** Connections to one extender, kept open between requests. */
export class ExtenderConnection {
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;

  constructor(urlPrefix: string, tls: ExtenderTls | undefined) {
    const kept = { keepAlive: true, maxFreeSockets: MAX_IDLE_CONNECTIONS };
    if (!urlPrefix.startsWith("https:")) {
      this.#agent = new http.Agent(kept);
      this.#request = http.request;
      return;
    }
    const { insecure = false, serverName, ca, cert, key } = tls ?? {};
    this.#agent = new https.Agent({ ...kept, rejectUnauthorized: !insecure, servername: serverName, ca, cert, key });
    this.#request = https.request;
  }

  /** Posts JSON; the status and text of the answer. Rejects when there is none, and when the signal aborts. */
  post(url: string, body: unknown, signal: AbortSignal): Promise<{ readonly status: number; readonly text: string }> {
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = { "content-type": "application/json", "content-length": bytes.length };
    return new Promise((resolve, reject) => {
      // An aborted request says so itself; what the signal says is more to the point.
      const fail = (error: unknown) => reject(signal.aborted ? signal.reason : error);
      const request = this.#request(url, { method: "POST", headers, agent: this.#agent, signal }, (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size > MAX_ANSWER_BYTES) response.destroy(new Error("the extender's answer is too large"));
          else chunks.push(chunk);
        });
        response.on("error", fail);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      });
      request.on("error", fail);
      request.end(bytes);
    });
  }
}
