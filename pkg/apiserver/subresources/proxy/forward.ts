import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { pipeline } from "node:stream";
import { createUnzip } from "node:zlib";
import { badRequest, internalError, serviceUnavailable, StatusError } from "#pkg/apimachinery/index.ts";
import { backendErrorText, networkErrorText } from "#pkg/util/index.ts";
import type { Call } from "../../registry/call.ts";
import { asksForMessages, relayAsMessages } from "./messages.ts";
import { type Backend, endToEndHeaders, requestHeaders } from "./backend.ts";
import { PageLinks, type RewriteLink } from "./links.ts";

/** What forwarding needs to know of a request. */
export type ForwardCall = Pick<Call, "request" | "response" | "target"> & {
  readonly services: Pick<Call["services"], "log">;
};

export interface ForwardOptions {
  /** Headers of our own for the backend; the client's headers of these names, and of their x-remote- family, are dropped. */
  readonly headers?: Record<string, string | string[]>;
  /** Sends redirects of the backend, and the links of its pages, back through the proxy. */
  readonly links?: RewriteLink;
  /** The path that the client asked for: what the backend may put before links of its own. */
  readonly forwardedUri?: string;
  /** The backend cannot upgrade: a client that asks for a WebSocket gets the ordinary answer in messages. */
  readonly messages?: boolean;
  /** Turns refusals of the backend (400 and above, plain text) into Status errors, for answers of the API itself. */
  readonly refusalsAsStatus?: boolean;
}

const CORS_HEADERS = ["credentials", "headers", "methods", "origin"].map((what) => `access-control-allow-${what}`);
const BODILESS = new Set([204, 304]);
const MAX_REFUSAL_BYTES = 10 * 1024;

async function refusal(call: ForwardCall, incoming: IncomingMessage): Promise<Error> {
  let text = "";
  for await (const chunk of incoming) {
    text += (chunk as Buffer).toString("utf8");
    if (text.length > MAX_REFUSAL_BYTES) break;
  }
  const message = text.slice(0, MAX_REFUSAL_BYTES).trim();
  const code = incoming.statusCode ?? 500;
  if (code === 400) return badRequest(message);
  if (code === 404)
    return new StatusError({
      status: "Failure",
      reason: "NotFound",
      code,
      message,
      details: { name: call.target.name, kind: call.target.resource },
    });
  return internalError(message === "" ? `the node answered ${code}` : message);
}

function open(call: ForwardCall, backend: Backend, headers: Record<string, string | string[]>) {
  const { tls } = backend;
  const options = { host: backend.host, port: backend.port, path: backend.path, method: call.request.method, headers };
  // Backends are anybody's: what a lenient client understands (headers ended by a bare line feed) is passed on.
  const common = { ...options, signal: call.request.signal, agent: false as const, insecureHTTPParser: true };
  if (tls === undefined) return httpRequest(common);
  const { cert, key, ca, servername } = tls;
  const named = servername === undefined ? {} : { servername };
  return httpsRequest({ ...common, ...named, cert, key, ca, rejectUnauthorized: ca !== undefined });
}

/** Why an upgrade failed before the backend answered, as upstream's proxy says it: an error without a reason. */
function unanswered(error: Error): Error {
  return new StatusError({ status: "Failure", message: backendErrorText(error), code: 500 });
}

function unreachable(error: Error): Error {
  return serviceUnavailable(`error trying to reach service: ${networkErrorText(error)}`);
}

function outgoingHeaders(
  call: ForwardCall,
  backend: Backend,
  options: ForwardOptions,
): Record<string, string | string[]> {
  const headers = requestHeaders(call.request.headers, backend, call.request.remoteAddress);
  if (options.forwardedUri !== undefined) headers["x-forwarded-uri"] = options.forwardedUri;
  if (options.headers === undefined) return headers;
  for (const name of Object.keys(headers)) if (name.startsWith("x-remote-")) delete headers[name];
  return { ...headers, ...options.headers };
}

/** Passes a request to a backend and its answer back, body by body, at the pace of the slower side. */
export async function forward(call: ForwardCall, backend: Backend, options: ForwardOptions = {}): Promise<void> {
  const inMessages = options.messages === true && asksForMessages(call);
  if (call.request.upgrade !== undefined && !inMessages) return forwardUpgrade(call, backend, options);
  const headers = outgoingHeaders(call, backend, options);
  const outgoing = open(call, backend, headers);
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once("response", resolve);
    outgoing.once("error", (error) => reject(unreachable(error)));
  });
  // The answer may come, or the connection break, while the body is still on its way: both are awaited below.
  answered.catch(() => undefined);
  await sendBody(call, outgoing);
  const incoming = await answered;
  if (!inMessages) return relay(call, incoming, options);
  if ((incoming.statusCode ?? 500) >= 400) throw await refusal(call, incoming);
  await relayAsMessages(call, incoming);
}

async function sendBody(call: ForwardCall, outgoing: ReturnType<typeof open>): Promise<void> {
  const { request } = call;
  if (request.method === "GET" || request.method === "HEAD") {
    outgoing.end();
    return;
  }
  const body = request.bodyStream?.() ?? [await request.body()];
  for await (const chunk of body) {
    if (outgoing.destroyed) return;
    if (!outgoing.write(chunk))
      await new Promise<void>((resolve) => outgoing.once("drain", resolve).once("close", resolve));
  }
  outgoing.end();
}

/** A redirect or a page with its links rewritten; other answers keep their body. Changes `headers` to match. */
function leadBack(
  request: ForwardCall["request"],
  incoming: IncomingMessage,
  headers: Record<string, string | string[]>,
  links: RewriteLink,
): AsyncIterable<Buffer> {
  // Whom else a page may be shown by is for us to say, not for the backend.
  for (const name of CORS_HEADERS) delete headers[name];
  const { location, "content-type": type = "", "content-encoding": encoding = "" } = incoming.headers;
  if (location !== undefined) headers["location"] = links(location);
  const isPage = type.split(";", 1)[0]!.trim() === "text/html";
  if (location !== undefined || !isPage || !["", "gzip", "deflate"].includes(encoding)) return incoming;
  delete headers["content-length"];
  delete headers["content-encoding"];
  if (request.method === "HEAD" || BODILESS.has(incoming.statusCode ?? 0)) return incoming;
  return rewritten(encoding === "" ? incoming : pipeline(incoming, createUnzip(), () => undefined), links);
}

async function* rewritten(body: AsyncIterable<Buffer>, links: RewriteLink): AsyncGenerator<Buffer> {
  const page = new PageLinks(links);
  for await (const chunk of body) yield page.push(chunk);
  yield page.end();
}

async function relay(
  call: ForwardCall,
  incoming: IncomingMessage,
  { links, refusalsAsStatus }: ForwardOptions,
): Promise<void> {
  if (refusalsAsStatus === true && (incoming.statusCode ?? 500) >= 400) throw await refusal(call, incoming);
  const headers = endToEndHeaders(incoming.headers);
  const body = links === undefined ? incoming : leadBack(call.request, incoming, headers, links);
  const stream = call.response.stream(incoming.statusCode ?? 502, headers as Record<string, string>);
  try {
    for await (const chunk of body) {
      if (!stream.write(chunk as Buffer)) await stream.drained();
      if (call.request.signal.aborted) break;
    }
    stream.end();
  } catch (err) {
    call.services.log.debug({ err }, "A proxied answer was cut off");
    stream.destroy();
  }
}

/** Passes an upgrade (WebSocket, SPDY) on; from the backend's 101 on the two sockets talk to each other. */
async function forwardUpgrade(call: ForwardCall, backend: Backend, options: ForwardOptions): Promise<void> {
  const { upgrade } = call.request;
  if (upgrade === undefined) throw badRequest("the request is no upgrade");
  const headers = outgoingHeaders(call, backend, options);
  const outgoing = open(call, backend, { ...headers, connection: "Upgrade", upgrade: upgrade.protocol });
  await new Promise<void>((resolve, reject) => {
    outgoing.once("error", (error) => reject(unanswered(error)));
    // The backend refused: its answer is an ordinary one.
    outgoing.once("response", (incoming: IncomingMessage) => void relay(call, incoming, options).then(resolve, reject));
    outgoing.once("upgrade", (incoming: IncomingMessage, far, head: Buffer) => {
      const near = upgrade.accept();
      const lines = [`HTTP/1.1 101 Switching Protocols`];
      for (let i = 0; i < incoming.rawHeaders.length; i += 2)
        lines.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
      near.write(`${lines.join("\r\n")}\r\n\r\n`);
      if (head.length > 0) near.write(head);
      if (upgrade.head.length > 0) far.write(upgrade.head);
      // Either side may end; a broken one takes the other with it.
      const finish = () => {
        near.destroy();
        far.destroy();
        resolve();
      };
      for (const side of [near, far]) {
        side.once("close", finish);
        side.on("error", (err: Error) => {
          call.services.log.debug({ err }, "An upgraded connection broke");
          finish();
        });
      }
      near.pipe(far);
      far.pipe(near);
    });
    outgoing.end();
  });
}
