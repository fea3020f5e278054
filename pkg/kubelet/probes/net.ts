/** Network checks of probes and lifecycle hooks: HTTP(S) and TCP, from the node. */
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { goQuote } from "#pkg/apimachinery/index.ts";
import { errorMessage, networkErrorText } from "#pkg/util/index.ts";
import { limited } from "./limited.ts";

const BODY_LIMIT_BYTES = 10_240;
const MAX_REDIRECTS = 10;

/** A request to be made, and of whom. */
export interface HttpCheck {
  readonly scheme: "HTTP" | "HTTPS";
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  readonly userAgent: string;
  readonly timeoutMs: number;
}

/** What a check has found; `output` is what events quote. */
export type Verdict = { readonly result: "Success" | "Failure"; readonly output: string; readonly warning?: string };

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

function get(url: URL, check: HttpCheck, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string | string[]> = {
      "user-agent": check.userAgent,
      accept: "*/*",
      connection: "close",
    };
    for (const { name, value } of check.headers) {
      const key = name.toLowerCase();
      const old = headers[key];
      if (key === "user-agent" || key === "accept" || old === undefined) headers[key] = value;
      else headers[key] = [...(Array.isArray(old) ? old : [old]), value];
    }
    if (headers["accept"] === "") delete headers["accept"];
    if (headers["user-agent"] === "") delete headers["user-agent"];
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    // Probes do not verify certificates and are lenient with what they read: they ask whether the container answers.
    const lenient = { rejectUnauthorized: false, insecureHTTPParser: true };
    const request = send(url, { method: "GET", headers, agent: false, signal, ...lenient }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const done = () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString("utf8").slice(0, BODY_LIMIT_BYTES),
          location: response.headers.location,
        });
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        if (size <= BODY_LIMIT_BYTES) chunks.push(chunk);
        else {
          done();
          response.destroy();
        }
      });
      response.on("end", done);
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}

const isIPv6 = (host: string) => host.includes(":") && !host.startsWith("[");

/** 200 to 399 is success. Redirects are followed on the same host; elsewhere they count as success with a warning. */
export function checkHttp(check: HttpCheck, signal: AbortSignal): Promise<Verdict> {
  return limited(check.timeoutMs, signal, (bounded) => checkHttpWithin(bounded, check, signal));
}

async function checkHttpWithin(bounded: AbortSignal, check: HttpCheck, signal: AbortSignal): Promise<Verdict> {
  const host = isIPv6(check.host) ? `[${check.host}]` : check.host;
  let url: URL;
  try {
    url = new URL(
      `${check.scheme.toLowerCase()}://${host}:${check.port}${check.path.startsWith("/") ? "" : "/"}${check.path}`,
    );
  } catch (error) {
    return { result: "Failure", output: errorMessage(error) };
  }
  const first = url;
  // The port is always told, also where the scheme implies it.
  let shown = `${url.protocol}//${host}:${check.port}${url.pathname}${url.search}`;
  const failure = (why: string): Verdict => ({ result: "Failure", output: `Get ${goQuote(shown)}: ${why}` });
  try {
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const answer = await get(url, check, bounded);
      if (answer.status >= 300 && answer.status < 400 && answer.location !== undefined) {
        const next = new URL(answer.location, url);
        if (next.hostname !== first.hostname) {
          return {
            result: "Success",
            output: answer.body,
            warning: `Probe terminated redirects, Response body: ${answer.body}`,
          };
        }
        url = next;
        shown = next.href;
        continue;
      }
      if (answer.status >= 200 && answer.status < 400) return { result: "Success", output: answer.body };
      return { result: "Failure", output: `HTTP probe failed with statuscode: ${answer.status}` };
    }
    return failure(`stopped after ${MAX_REDIRECTS} redirects`);
  } catch (error) {
    return bounded.aborted && !signal.aborted
      ? failure("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
      : failure(networkErrorText(error as Error));
  }
}

/** Succeeds when the port lets itself be connected to in time. */
export function checkTcp(host: string, port: number, timeoutMs: number, signal: AbortSignal): Promise<Verdict> {
  const dial = (bounded: AbortSignal) =>
    new Promise<Verdict>((resolve) => {
      const socket = connect({ host, port, signal: bounded });
      socket.on("connect", () => {
        socket.destroy();
        resolve({ result: "Success", output: "" });
      });
      socket.on("error", (error) => {
        socket.destroy();
        const output =
          bounded.aborted && !signal.aborted ? `dial tcp ${host}:${port}: i/o timeout` : networkErrorText(error);
        resolve({ result: "Failure", output });
      });
    });
  return limited(timeoutMs, signal, dial);
}
