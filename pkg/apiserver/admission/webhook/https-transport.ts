import { request as httpRequest } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { LRUCache } from "lru-cache";
import { type Clock, networkErrorText, sleep } from "#pkg/util/index.ts";
import { BrokenAnswerError, type WebhookRequest, type WebhookResponse, type WebhookTransport } from "./client.ts";

/** Longest answer read; AdmissionReviews carry at most one object's patch. */
const MAX_RESPONSE_BYTES = 8 * 1024 * 1024;
/** Further attempts at one call. */
const MAX_RETRIES = 10;
/** Of one call, when it is sent from one place to another. */
const MAX_QUESTIONS = 10;
const MAX_AGENTS = 64;
const IDLE_SOCKETS = 8;
/** Longer than any call may take, so that only idle connections run into it. */
const IDLE_TIMEOUT_MS = 90_000;

/** Go's words for what node's TLS calls by OpenSSL's codes: users search for them. */
const TLS_ERRORS: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  SELF_SIGNED_CERT_IN_CHAIN: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  CERT_SIGNATURE_FAILURE: "tls: failed to verify certificate: x509: certificate signed by unknown authority",
  CERT_HAS_EXPIRED: "tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
};

function describe(error: NodeJS.ErrnoException & { reason?: string }): string {
  const { code } = error;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return `tls: failed to verify certificate: x509: ${error.reason ?? error.message}`;
  if (code === "ECONNRESET") return "EOF";
  return TLS_ERRORS[code ?? ""] ?? networkErrorText(error);
}

/** One question of a call: where and how it is put. */
type Question = WebhookRequest & { readonly method: "POST" | "GET" };

interface Answer {
  readonly response: WebhookResponse;
  /** Where the server sends the client instead. */
  readonly location: string | undefined;
  /** When the server wants to be asked again. */
  readonly retryAfterMs: number | undefined;
}

/** Of refusals that may pass; a date, which the header may be, too, is not waited for. */
function retryAfterMs(status: number, header: string | undefined): number | undefined {
  const passing = status === 429 || status >= 500;
  return passing && header !== undefined && /^\d{1,9}$/.test(header) ? Number(header) * 1000 : undefined;
}

/**
 * The question that a redirection makes of one, as Go's client has it: only 307 and 308 pass it on, and a token is for the
 * host that it was meant for.
 */
function redirected(question: Question, { response: { status }, location }: Answer): Question | undefined {
  const passedOn = status === 307 || status === 308;
  if (location === undefined || (!passedOn && (status < 301 || status > 303))) return undefined;
  const url = URL.parse(location, question.url);
  if (url === null || !/^https?:$/.test(url.protocol)) return undefined;
  const asked: Question = passedOn ? { ...question, url } : { ...question, url, method: "GET", body: Buffer.alloc(0) };
  if (url.host === question.url.host) return asked;
  const { cert, key } = question.credentials ?? {};
  return { ...asked, address: undefined, credentials: { ...(cert !== undefined && { cert, key }) } };
}

/** Webhook calls over HTTPS with connections kept alive per authority and address. */
export class HttpsTransport implements WebhookTransport {
  readonly #clock: Clock;
  /** A forgotten agent closes what is idle; calls on their way end in their own time. */
  readonly #agents = new LRUCache<string, Agent>({ max: MAX_AGENTS, dispose: closeIdle });
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** One call. A server that says when to come back is asked again then, within the time that the call has. */
  async post(call: WebhookRequest): Promise<WebhookResponse> {
    const deadline = this.#clock.monotonic() + call.timeoutMs;
    for (let retries = 0; ; retries++) {
      const { response, retryAfterMs } = await this.#follow({ ...call, method: "POST" }, deadline);
      if (retryAfterMs === undefined || retries === MAX_RETRIES) return response;
      const left = deadline - this.#clock.monotonic();
      await sleep(this.#clock, Math.max(0, Math.min(retryAfterMs, left)));
      if (retryAfterMs >= left) throw new Error("context deadline exceeded");
    }
  }

  async #follow(question: Question, deadline: number): Promise<Answer> {
    for (let next = question, questions = 1; ; questions++) {
      const answer = await this.#attempt(next, deadline);
      const other = redirected(next, answer);
      if (other === undefined) return answer;
      if (questions === MAX_QUESTIONS) throw new Error(`stopped after ${MAX_QUESTIONS} redirects`);
      next = other;
    }
  }

  async #attempt(call: Question, deadline: number): Promise<Answer> {
    const left = () => deadline - this.#clock.monotonic();
    try {
      return await this.#send(call, left(), false);
    } catch (error) {
      if (!(error instanceof StaleConnectionError)) throw error;
      // The server had closed an idle connection just as we used it: it has not seen the request.
      return this.#send(call, left(), true);
    }
  }

  /** One attempt. `fresh`: on a connection of its own. */
  #send(call: Question, timeoutMs: number, fresh: boolean): Promise<Answer> {
    const { url, address, body, credentials, method } = call;
    return new Promise((resolve, reject) => {
      const host = address?.host ?? url.hostname.replace(/^\[|\]$/g, "");
      const port = address?.port ?? Number(url.port === "" ? (url.protocol === "http:" ? 80 : 443) : url.port);
      const secure = url.protocol !== "http:";
      const outgoing = (secure ? httpsRequest : httpRequest)({
        host,
        port,
        method,
        path: url.pathname + url.search,
        ...(secure
          ? {
              agent: fresh ? oneShot(call) : this.#agent(host, port, call),
              servername: isIP(url.hostname) === 0 ? url.hostname : "",
            }
          : {}),
        headers: {
          host: url.host,
          "content-type": "application/json",
          accept: "application/json, */*",
          "content-length": body.length,
          "user-agent": "kube-apiserver-admission",
          ...(credentials?.token === undefined ? {} : { authorization: `Bearer ${credentials.token}` }),
        },
      });
      let finished = false;
      const finish = (settle: () => void): void => {
        if (finished) return;
        finished = true;
        cancel();
        settle();
      };
      let answered = false;
      const fail = (message: string, cause?: unknown): void =>
        finish(() => reject(new (answered ? BrokenAnswerError : Error)(message, { cause })));
      const cancel = this.#clock.schedule(timeoutMs, () => {
        fail("context deadline exceeded");
        outgoing.destroy();
      });
      outgoing.on("error", (error: NodeJS.ErrnoException) => {
        const stale = outgoing.reusedSocket && !answered && (error.code === "ECONNRESET" || error.code === "EPIPE");
        if (stale && !fresh) finish(() => reject(new StaleConnectionError()));
        else fail(describe(error), error);
      });
      outgoing.on("response", (incoming) => {
        answered = true;
        const chunks: Buffer[] = [];
        let size = 0;
        incoming.on("data", (chunk: Buffer) => {
          size += chunk.length;
          if (size <= MAX_RESPONSE_BYTES) chunks.push(chunk);
          else {
            fail(`the response is larger than ${MAX_RESPONSE_BYTES} bytes`);
            outgoing.destroy();
          }
        });
        incoming.on("error", (error) => fail(describe(error), error));
        incoming.on("aborted", () => fail("unexpected EOF"));
        incoming.on("end", () =>
          finish(() => {
            const contentType = incoming.headers["content-type"];
            const typed = contentType === undefined ? {} : { contentType };
            const status = incoming.statusCode ?? 0;
            const response = { status, body: Buffer.concat(chunks), ...typed };
            const { location } = incoming.headers;
            resolve({ response, location, retryAfterMs: retryAfterMs(status, incoming.headers["retry-after"]) });
          }),
        );
      });
      outgoing.end(body);
    });
  }

  /** Closes idle connections. */
  close(): void {
    this.#agents.clear();
  }

  #agent(host: string, port: number, call: WebhookRequest): Agent {
    const cacheKey = [host, port, call.ca ?? "", call.credentials?.cert ?? ""].join("\0");
    let agent = this.#agents.get(cacheKey);
    if (agent === undefined) {
      agent = new Agent({ ...trustOf(call), keepAlive: true, maxFreeSockets: IDLE_SOCKETS, timeout: IDLE_TIMEOUT_MS });
      this.#agents.set(cacheKey, agent);
    }
    return agent;
  }
}

function closeIdle(agent: Agent): void {
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

function trustOf({ ca, credentials }: WebhookRequest): { ca?: string; cert?: string; key?: string } {
  const { cert, key } = credentials ?? {};
  return { ...(ca === undefined ? {} : { ca }), ...(cert === undefined ? {} : { cert, key }) };
}

function oneShot(call: WebhookRequest): Agent {
  return new Agent(trustOf(call));
}

/** A kept connection turned out to be dead before anything came back on it. */
class StaleConnectionError extends Error {}
